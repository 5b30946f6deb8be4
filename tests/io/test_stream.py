"""Recordings that are read as they are walked through."""

import tracemalloc
import zipfile

import numpy as np
import pytest

from eplb_opt.errors import FormatError
from eplb_opt.io import Trace, open_trace, read_loads
from eplb_opt.io.containers import steps
from eplb_opt.io.containers.npz import npz_bytes
from eplb_opt.io.recordings import stream, trace

LOAD = np.random.default_rng(0).integers(0, 1000, (23, 3, 5))


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(trace, "CHUNK_BYTES", 4 * LOAD[0].nbytes)


def written(tmp_path, kind, load=LOAD):
    path = tmp_path / f"trace.{kind.removesuffix(' packed')}"
    if kind == "npy":
        np.save(path, load)
    elif kind == "json":
        path.write_text(str(load.tolist()))
    else:
        save = np.savez_compressed if "packed" in kind else np.savez
        save(path, load=load, layer_ids=[3, 4, 7], note=np.zeros(2))
    return path


@pytest.mark.parametrize("kind", ["npy", "npz", "npz packed", "json"])
@pytest.mark.parametrize("dtype", ["<i8", "<i4", ">i2", "<u8", "<f4"])
def test_a_stream_holds_what_the_whole_file_holds(tmp_path, small_chunks, kind, dtype):
    path = written(tmp_path, kind, LOAD.astype(dtype))
    trace = open_trace(path)
    chunks = list(trace.chunks())
    assert max(map(len, chunks)) == 4
    assert (np.concatenate(chunks) == LOAD).all()
    assert chunks[0].dtype == (np.float64 if dtype == "<f4" else np.int64)
    assert trace.shape == LOAD.shape
    assert trace.layer_ids == read_loads(path).layer_ids


@pytest.mark.parametrize("every", [1, 3, 4, 5, 23, 100])
def test_no_chunk_reaches_over_a_boundary(small_chunks, every):
    ends = np.cumsum([len(chunk) for chunk in Trace.of(LOAD).chunks(every)])
    assert set(range(every, 23, every)) <= set(ends.tolist())
    assert ends[-1] == 23


def test_it_can_be_walked_through_again(tmp_path):
    trace = open_trace(written(tmp_path, "npz packed"))
    first, again = (np.concatenate(list(trace.chunks(7))) for _ in range(2))
    assert (first == again).all()


@pytest.mark.parametrize("kind", ["npy", "npz", "npz packed"])
def test_memory_stays_far_below_the_size_of_the_file(tmp_path, monkeypatch, kind):
    path = written(tmp_path, kind, np.ones((4000, 3, 1000), dtype=np.int32))  # 48 MB
    monkeypatch.setattr(trace, "CHUNK_BYTES", 2**20)
    tracemalloc.start()
    total = sum(int(chunk.sum()) for chunk in open_trace(path).chunks())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 4000 * 3 * 1000
    assert peak < 6 * 2**20


def test_arrays_in_fortran_order_are_read_whole(tmp_path):
    path = tmp_path / "trace.npy"
    np.save(path, np.asfortranarray(LOAD))
    assert (np.concatenate(list(open_trace(path).chunks())) == LOAD).all()


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_a_truncated_file_is_refused_before_a_step_is_used(tmp_path, kind):
    path = written(tmp_path, kind)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(FormatError, match=r"trace\.np.*(truncated|damaged)"):
        open_trace(path)


def test_bytes_that_turn_bad_on_the_way_are_noticed(tmp_path):
    path = written(tmp_path, "npz packed")
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("load.npy")
    content = bytearray(path.read_bytes())
    at = member.header_offset + 30 + len("load.npy") + member.compress_size - 40
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(content))
    with pytest.raises(FormatError, match="damaged"):
        list(open_trace(path).chunks())


def test_a_step_too_large_for_memory_is_not_streamed(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "MAX_STEP_BYTES", 8 * LOAD[0].size - 1)
    path = written(tmp_path, "npz packed")
    assert stream.streamed_array(path) is None
    assert (np.concatenate(list(open_trace(path).chunks())) == LOAD).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_what_cannot_be_a_load_is_refused_with_its_place(value):
    load = LOAD.astype(float)
    load[20, 1, 2] = value
    chunks = Trace.of(load).chunks(10)
    assert len(next(chunks)) == len(next(chunks)) == 10
    with pytest.raises(FormatError, match=r"load\[20, 1, 2\]"):
        next(chunks)


def test_an_archive_with_two_candidates_is_refused(tmp_path):
    path = tmp_path / "two.npz"
    path.write_bytes(npz_bytes({"a": LOAD, "b": LOAD}))
    with pytest.raises(FormatError, match="2 arrays"):
        open_trace(path)


def test_a_total_alone_is_a_recording_of_one_step(tmp_path):
    path = tmp_path / "total.npy"
    np.save(path, LOAD[0])
    assert open_trace(path).num_steps == 1
