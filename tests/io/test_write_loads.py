"""Loads survive the way through every format that can hold them."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eplb_opt.errors import FormatError
from eplb_opt.io import LOAD_WRITERS, Loads, open_trace, read_loads, read_total, write_loads
from eplb_opt.io.recordings import trace
from tests.io.samples import LOAD
from tests.io.test_read_loads import TRACES

PACKINGS = [(name, ext) for name, chunks in LOAD_WRITERS.items() for ext in chunks]
#: They keep no layer ids, or count the layers from the first that has experts.
WITHOUT_IDS = {"npy", "pt", "vllm", "adrs"}
#: They hold the sum over the steps.
SUMS = {("lmdeploy", ".json"), ("vllm", ".safetensors")}


@pytest.mark.parametrize(("name", "extension"), PACKINGS)
def test_loads_are_read_back(tmp_path, monkeypatch, name, extension):
    monkeypatch.setattr(trace, "CHUNK_BYTES", 1)  # a step at a time
    path = tmp_path / f"a{extension}"
    write_loads(path, Loads(LOAD, (2, 3, 4), 5), format=name, model="m")
    loads = read_loads(path, None if name != "lmdeploy" else name)
    assert (loads.load == (LOAD.sum(axis=0) if (name, extension) in SUMS else LOAD)).all()
    assert loads.layer_ids == ((0, 1, 2) if name in WITHOUT_IDS else (2, 3, 4))
    assert loads.format == name
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("name", ["npz", "npy", "csv", "json", "parquet", "pt", "vllm"])
def test_fractions_are_read_back(tmp_path, name):
    path = tmp_path / f"a{next(iter(LOAD_WRITERS[name]))}"
    write_loads(path, LOAD / 7, format=name)
    assert (read_loads(path).load == LOAD / 7).all()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_integers_survive_every_format(tmp_path_factory, data):
    shape = data.draw(st.tuples(*[st.integers(1, 4)] * 3))
    count = int(np.prod(shape))
    values = data.draw(st.lists(st.integers(0, 2**60), min_size=count, max_size=count))
    load = np.array(values, dtype=np.int64).reshape(shape)
    load[0, 0, 0] += 1  # leading idle layers would be taken for dense ones
    name, extension = data.draw(st.sampled_from(PACKINGS))
    if (name, extension) in SUMS:
        load = load[:1]
    if extension == ".safetensors":
        load %= 2**24  # what float32 holds exactly
        load[0, 0, 0] += 1
    path = tmp_path_factory.mktemp("round") / f"a{extension}"
    write_loads(path, load, format=name, model="m")
    assert (read_loads(path, name).load == load).all()


def test_a_recording_is_written_as_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "CHUNK_BYTES", 1)
    write_loads(tmp_path / "a.npz", Loads(LOAD, (2, 3, 4), 9))
    write_loads(tmp_path / "b.npz", open_trace(tmp_path / "a.npz"))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert read_loads(tmp_path / "b.npz").num_hidden_layers == 9


@pytest.mark.skipif(not TRACES.is_dir(), reason="the recorded traces are not beside the project")
@pytest.mark.parametrize(("name", "extension"), PACKINGS)
def test_a_recorded_trace_goes_through_every_format(tmp_path, name, extension):
    recorded = read_loads(TRACES / "mixtral_8x7b_olmoe_domains.npz")
    path = tmp_path / f"a{extension}"
    write_loads(path, recorded, format=name, model="m")
    found = read_total(path, name)
    assert (found.total == recorded.total).all()
    assert name in WITHOUT_IDS or found.layer_ids == recorded.layer_ids


def test_lmdeploy_gets_whole_numbers_for_every_hidden_layer(tmp_path):
    write_loads(tmp_path / "a.json", LOAD, format="lmdeploy")
    total = LOAD.sum(axis=0).tolist()
    assert json.loads((tmp_path / "a.json").read_text()) == total
    write_loads(tmp_path / "a.json", Loads(LOAD, (1, 2, 4), 6), format="lmdeploy")
    dense = [0] * 4
    due = [dense, total[0], total[1], dense, total[2], dense]
    assert json.loads((tmp_path / "a.json").read_text()) == due


def test_what_a_format_cannot_hold_is_refused(tmp_path, monkeypatch):
    with pytest.raises(FormatError, match="these loads have fractions"):
        write_loads(tmp_path / "a.pt", LOAD / 7, format="sglang")
    with pytest.raises(FormatError, match="'nope' is unknown; known: npz, npy"):
        write_loads(tmp_path / "a.pt", LOAD, format="nope")
    with pytest.raises(FormatError, match="has shape"):
        write_loads(tmp_path / "a.npz", LOAD[0, 0])
    monkeypatch.setattr("eplb_opt.io.recordings.write.MAX_UNPACKED_BYTES", 10)
    with pytest.raises(FormatError, match=r"a.json: .*write .npy"):
        write_loads(tmp_path / "a.json", LOAD, format="json")
    assert os.listdir(tmp_path) == []


def test_a_recording_that_turns_bad_leaves_no_file(tmp_path):
    load = LOAD.astype(float)
    load[1, 2, 3] = np.nan
    with pytest.raises(FormatError, match=r"load\[1, 2, 3\] = nan"):
        write_loads(tmp_path / "a.npy", load, format="npy")
    assert os.listdir(tmp_path) == []
