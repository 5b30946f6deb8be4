"""Recordings of many files and of lines: in order, added up, in little memory."""

import sys
import tracemalloc

import numpy as np
import pytest

from eplb_opt.errors import FormatError, MissingDependency
from eplb_opt.io import open_trace, read_loads, read_plan, read_total
from eplb_opt.io.recordings.folding import Fold
from tests.io.samples import (
    LOAD,
    PLAN,
    jsonl_bytes,
    load_files,
    load_folders,
    passes,
    pt_bytes,
    safetensors_bytes,
    slot_loads,
    statistics,
)
from tests.io.test_read_loads import folder, written

torch = pytest.importorskip("torch")


def dumps(*ranks, num_ranks=3, first=100):
    return {f"r_{first}_{rank}.pt": pt_bytes(passes(rank, num_ranks, first)) for rank in ranks}


@pytest.mark.parametrize("name", [*load_files(), *load_folders()])
def test_total_and_trace_agree_with_the_whole(tmp_path, name):
    content = load_files().get(name)
    path = folder(tmp_path, name) if content is None else written(tmp_path, name, content)
    whole, total, trace = read_loads(path), read_total(path), open_trace(path)
    assert (total.load[0] == LOAD.sum(axis=0)).all()
    assert (np.concatenate(list(trace.chunks())) == LOAD).all()
    for other in (total, trace):
        assert other.layer_ids == whole.layer_ids
        assert other.num_hidden_layers == whole.num_hidden_layers
    assert total.format == whole.format
    assert total.source == whole.source or name.endswith(".npz")


@pytest.mark.parametrize("name", ["passes.pt", "vllm.jsonl", "passes", "dumps", "statistics"])
def test_progress_ends_at_the_size(tmp_path, name):
    content = load_files().get(name)
    path = folder(tmp_path, name) if content is None else written(tmp_path, name, content)
    for read in (read_total, open_trace):
        calls = []
        read(path, progress=lambda done, total, calls=calls: calls.append((done, total)))
        assert [done for done, _ in calls] == sorted(done for done, _ in calls)
        assert calls[-1][0] == calls[-1][1]


def test_passes_are_put_in_order_and_walked_again(tmp_path):
    files = dumps(0, 1, 2, first=200) | dumps(2, 1, 0, first=100)
    trace = open_trace(folder(tmp_path, "f", files))
    twice = [np.concatenate(list(trace.chunks(3))) for _ in range(2)]
    assert trace.shape == (4, 3, 4)
    assert (twice[0] == np.concatenate([LOAD, LOAD])).all()
    assert (twice[0] == twice[1]).all()


def test_steps_of_two_batches_in_one_pass_are_added(tmp_path):
    document = passes(0)
    for record in passes(0)["records"]:
        document["records"].append(record | {"gatherer_key": "child"})
    assert (read_loads(written(tmp_path, "a.pt", pt_bytes(document))).load == 2 * LOAD).all()


def test_a_map_may_differ_from_dump_to_dump(tmp_path):
    other = passes(0, first=900)
    other["last_physical_to_logical_map"] = other["last_physical_to_logical_map"].flip(1)
    for record in other["records"]:
        record["global_physical_count"] = record["global_physical_count"].flip(1)
    files = {"a.pt": pt_bytes(passes(0)), "b.pt": pt_bytes(other)}
    loads = read_loads(folder(tmp_path, "f", files))
    assert (loads.load == np.concatenate([LOAD, LOAD])).all()


def test_missing_and_doubled_ranks_are_named(tmp_path):
    both = {"x.pt": pt_bytes(passes(0))} | dumps(0, num_ranks=1)
    mixed = dumps(0, num_ranks=1) | {"s.pt": load_files()["sglang.pt"]}
    for name, files, message in (
        ("gap", dumps(0, 2), "there is rank 2, but none of rank 1"),
        ("alone", dumps(1), "there is rank 1, but none of rank 0"),
        ("twice", both, "x.pt: rank 0 has pass 100 twice"),
        ("mixed", mixed, r"s.pt: it has logical_count, other files of the folder have not"),
        ("other", {"a.pt": pt_bytes({"b": 1})}, "a.pt: there is no key logical_count or records"),
        ("empty", {"note.txt": b"x"}, "this is a directory with note.txt"),
        ("meta", {"meta_info.json": b'{"num_experts": 4}'}, "rank0.safetensors"),
    ):
        with pytest.raises(FormatError, match=message):
            read_loads(folder(tmp_path, name, files))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": -1}, "rank = -1"),
        ({"rank": 10**30}, "a record has rank"),
        ({"rank": True}, "rank = True"),
        ({"forward_pass_id": None}, "forward_pass_id = None"),
        ({"global_physical_count": torch.zeros(4, 7)}, r"shape \[4, 7\]"),
        ({"global_physical_count": "x"}, "type <U1"),
        ({"global_physical_count": [[1], [2, 3]]}, "no rectangular"),
        ({"global_physical_count": -torch.ones(4, 6)}, "below 0|first one int64"),
        ({"global_physical_count": torch.zeros(1).expand(4, 6)}, "claims 24 values"),
        ({"global_physical_count": torch.zeros(4, 6).to_sparse()}, "no dense tensor"),
        ({"global_physical_count": torch.full((4, 6), 2**62)}, "beyond 64-bit|below 0"),
    ],
)
def test_damaged_records_say_what_is_wrong(tmp_path, change, message):
    document = passes(0)
    document["records"][1].update(change)
    with pytest.raises(FormatError, match=message):
        read_total(written(tmp_path, "a.pt", pt_bytes(document)))


def test_records_cannot_share_what_they_hold(tmp_path):
    document = passes(0)
    shared = document["records"][0]["global_physical_count"]
    document["records"][1]["global_physical_count"] = shared
    with pytest.raises(FormatError, match="claims 24 values: 192 bytes so far, 96 are stored"):
        read_total(written(tmp_path, "a.pt", pt_bytes(document)))


@pytest.mark.parametrize(
    ("placed", "message"),
    [
        ([[0, 2, 2]], "expert 1 is in no slot"),
        ([[0, 2**40, 2]], "ids up to 1099511627776 in 3 slots"),
        ([[-1, -1, -1]], "ids up to -1"),
    ],
)
def test_maps_that_leave_loads_unknown_are_refused(placed, message):
    with pytest.raises(FormatError, match=message):
        Fold(np.array(placed))


def test_empty_slots_are_left_out_of_a_fold():
    fold = Fold(np.array([[0, -1, 1, 0]]))
    assert fold(np.array([[1, 9, 2, 3]])).tolist() == [[4, 2]]
    assert fold(np.array([[2**62, 9, 2, 2**62 - 1]])).tolist() == [[2**63 - 1, 2]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"record_type": "eplb_load_stats", "version": 2}', "line 0 has version 2"),
        ('{"record_type": "eplb_load_meta", "version": 1, "num_layers": 4}\nSTATS', "3 layers, no"),
        ('STATS\n{"expert_load": []}', "line 1 has no record_type"),
        ("STATS\n[1]", "line 1 has no record_type"),
        ("STATS\nSTATS cut", "line 1: this is no JSON"),
        ('{"record_type": "other"}', "no steps in it"),
    ],
)
def test_damaged_lines_say_what_is_wrong(tmp_path, lines, message):
    stats = jsonl_bytes().decode().splitlines()[2]
    text = lines.replace("STATS cut", stats[:-40]).replace("STATS", stats)
    with pytest.raises(FormatError, match=message):
        read_loads(written(tmp_path, "a.jsonl", text))


def test_lines_without_an_end_are_refused_before_they_are_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("eplb_opt.io.engines.vllm_stats.MAX_LINE_BYTES", 50)
    with pytest.raises(FormatError, match="more than 50 bytes"):
        read_loads(written(tmp_path, "a.jsonl", jsonl_bytes()))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rank1.safetensors", b"\x00" * 7, "rank1.safetensors: safetensors cannot read it"),
        ("rank1.safetensors", None, "rank1.safetensors: safetensors cannot read it"),
        ("rank3.safetensors", b"x", "those of all other ranks"),
        ("meta_info.json", b'{"num_experts": "4"}', "num_experts is 4"),
        ("meta_info.json", b'{"num_experts": 5}', r"shape \[4\]; meta_info.json tells of 5"),
        ("meta_info.json", b"[", "no JSON"),
    ],
)
def test_damaged_statistics_say_what_is_wrong(tmp_path, name, content, message):
    files = statistics()
    files[name] = files[name][:-3] if content is None else content
    with pytest.raises(FormatError, match=message):
        read_loads(folder(tmp_path, "f", files))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"1_a": np.zeros(4)}, "'1_a'; iteration_layer is due"),
        ({"01_3": np.zeros(4)}, "'01_3'"),
        ({"1_3": np.zeros(4), "2_4": np.zeros(4)}, "different layers"),
        ({"1_3": np.zeros(4, bool)}, "type bool"),
        ({}, "no steps in it"),
    ],
)
def test_odd_tensors_of_statistics_are_refused(tmp_path, arrays, message):
    files = statistics(1) | {"rank0.safetensors": safetensors_bytes(arrays)}
    with pytest.raises(FormatError, match=message):
        read_loads(folder(tmp_path, "f", files))


def test_ranks_may_hold_different_layers(tmp_path):
    files = statistics(1)
    for rank, layer in enumerate((3, 7)):
        row = np.arange(4) + rank
        files[f"rank{rank}.safetensors"] = safetensors_bytes({f"0_{layer}": row})
    loads = read_loads(folder(tmp_path, "f", files))
    assert loads.layer_ids == (3, 7)
    assert loads.load.tolist() == [[[0, 1, 2, 3], [1, 2, 3, 4]]]


@pytest.mark.parametrize("package", ["safetensors", "yaml", "pyarrow"])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, package):
    path, read = {
        "safetensors": (folder(tmp_path, "statistics"), read_loads),
        "yaml": (written(tmp_path, "a.yaml", "num_slots: 1"), read_plan),
        "pyarrow": (written(tmp_path, "a.parquet", load_files()["a.parquet"]), read_loads),
    }[package]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependency, match=r"eplb-opt\[formats\]"):
        read(path)


def test_memory_does_not_grow_with_the_recording(tmp_path):
    """12 MB are read in the memory of some steps; what grows is the index of the steps."""
    rows = {f"{t}_{layer}": np.ones(1000, np.int64) for t in range(375) for layer in range(4)}
    files = {
        "meta_info.json": b'{"num_experts": 1000}',
        "rank0.safetensors": safetensors_bytes(rows),
    }
    path = folder(tmp_path, "f", files)
    del rows, files
    tracemalloc.start()
    total = read_total(path).load
    trace = open_trace(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (total == 375).all()
    assert trace.shape == (375, 4, 1000)
    assert peak < 2e6


def test_slot_loads_of_the_samples_fold_to_the_loads():
    assert (Fold(PLAN)(slot_loads(LOAD)[0]) == LOAD[0]).all()
