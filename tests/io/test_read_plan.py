import numpy as np
import pytest

from eplb_opt.errors import FormatError
from eplb_opt.io import PLAN_FORMATS, read_plan
from tests.io.samples import LOAD, PLAN, npy_bytes, npz_file, plan_files, pt_bytes
from tests.io.test_read_loads import written

#: They cannot hold any plan: see `test_other_formats`.
LESS = {"omni", "vllm-ranks"}


@pytest.mark.parametrize("name", list(plan_files()))
def test_every_format_reads_the_same_placement(tmp_path, name):
    plan = read_plan(written(tmp_path, name, plan_files()[name]))
    assert plan.dtype == np.int64
    assert (plan == PLAN).all()


@pytest.mark.parametrize("name", sorted({row.name for row in PLAN_FORMATS} - LESS))
def test_every_format_of_the_table_can_be_forced(tmp_path, name):
    suitable = [n for n in plan_files() if n.partition(".")[0] == name or n == f"p.{name}"]
    suitable = suitable or ["tensor.pt"]
    for file_name in suitable:
        path = written(tmp_path, file_name, plan_files()[file_name])
        assert (read_plan(path, format=name) == PLAN).all()


def test_layer_ids_pick_the_rows_of_a_map_of_all_hidden_layers(tmp_path):
    path = written(tmp_path, "p.npy", npy_bytes(PLAN))
    assert (read_plan(path, layer_ids=[1, 2]) == PLAN[1:]).all()
    assert (read_plan(path, layer_ids=[3, 5, 6]) == PLAN).all()
    with pytest.raises(FormatError, match="do not hold the layers"):
        read_plan(path, layer_ids=[2, 3])


def test_an_empty_slot_and_whole_floats_are_read(tmp_path):
    path = written(tmp_path, "p.npy", npy_bytes(np.array([[0.0, -1.0]])))
    assert read_plan(path).tolist() == [[0, -1]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", npy_bytes(np.array([[0.5]])), "holds 0.5"),
        ("a.npy", npy_bytes(np.array([[np.nan]])), "holds nan"),
        ("a.npy", npy_bytes(np.array([[-2]])), "holds -2"),
        ("a.npy", npy_bytes(np.zeros((1, 1, 1), int)), r"shape \[1, 1, 1\]"),
        ("a.npz", npz_file(load=LOAD), "recording of loads"),
        ("a.npz", npz_file(a=PLAN, b=PLAN), "2 arrays of 2"),
        ("a.json", b'{"logical_to_physical": []}', "keys logical_to_physical"),
        ("a.json", b'{"physical_to_logical_map": [[0], [0, 1]]}', "row 1 has 2"),
        ("a.csv", b"snapshot,slot0\n0,1\n1,1", "2 snapshots"),
        ("a.jsonl", b"{}", "this is jsonl"),
        ("a.json", b'{"layer_list": []}', "no list layer_list"),
        ("a.pt", pt_bytes({"map": 3}), "keys map"),
        ("a.pt", pt_bytes({"phy2log": "x"}), "phy2log has type"),
    ],
)
def test_bad_placements_say_what_is_wrong(tmp_path, name, content, message):
    with pytest.raises(FormatError, match=message):
        read_plan(written(tmp_path, name, content))


def test_an_unknown_format_lists_the_known_ones(tmp_path):
    with pytest.raises(
        FormatError,
        match="known: vllm-hcu, vllm-ranks, sglang, trtllm-config, trtllm, vllm-ascend, vllm, deep",
    ):
        read_plan(tmp_path, format="nope")
