import json
import os
import stat

import numpy as np
import pytest

from eplb_opt.errors import FormatError
from eplb_opt.io import VALIDATORS, WRITERS, read_loads, read_plan, write_plan
from eplb_opt.placement.plan import Plan
from tests.io.samples import PLAN, pt_bytes, sglang_dump

APART = np.array([[0, 1, 2, 3, 0, 1], [3, 2, 1, 0, 3, 1], [1, 0, 2, 3, 0, 2]])
PACKINGS = [(engine, ext) for engine, writer in WRITERS.items() for ext in writer.packings]


#: What an engine can say in its file, where that is less than any plan; each as it is read back.
SAYABLE = {
    "omni": np.array([[0, 1, 2, 0, 1, 3], [1, 2, 3, 0, 1, 3], [0, 1, 2, 0, 2, 3]]),
    "vllm-ranks": np.array([[1, 2, 0, 3]] * 3),
}


@pytest.mark.parametrize(("engine", "extension"), PACKINGS)
def test_every_writer_has_a_reader(tmp_path, engine, extension):
    path, placed = tmp_path / f"p{extension}", SAYABLE.get(engine, APART)
    write_plan(path, Plan(placed, 2, 4), engine=engine, model="Target")
    assert (read_plan(path, layer_ids=range(3)) == placed).all()
    assert (read_plan(path, format=engine, layer_ids=range(3)) == placed).all()
    assert os.listdir(tmp_path) == [path.name]
    if engine in VALIDATORS:
        num_slots = placed.shape[1]
        stored = VALIDATORS[engine](path, num_gpus=2, num_experts=4, num_slots=num_slots)
        assert (stored.rows(range(3)) == placed).all()


def test_our_archive_holds_the_plan_and_its_proof(tmp_path):
    path, plan = tmp_path / "p.npz", Plan(PLAN, 2, 4)
    write_plan(
        path,
        plan,
        layer_ids=[1, 2, 4],
        objective=np.array([3.5, 2, 1]),
        lower_bound=np.array([3, 2, 1]),
        status=["feasible", "optimal", "optimal"],
    )
    with np.load(path, allow_pickle=False) as stored:
        assert (stored["logical_count"] == plan.logical_count).all()
        assert (stored["logical_to_physical"] == plan.logical_to_physical).all()
        assert (int(stored["num_gpus"]), int(stored["num_experts"])) == (2, 4)
        assert stored["layer_ids"].tolist() == [1, 2, 4]
        assert int(stored["num_hidden_layers"]) == 5
        assert stored["objective"].tolist() == [3.5, 2.0, 1.0]
        assert stored["lower_bound"].tolist() == [3.0, 2.0, 1.0]
        assert stored["status"].tolist() == ["feasible", "optimal", "optimal"]


def test_a_result_of_other_layers_is_refused(tmp_path):
    with pytest.raises(FormatError, match=r"objective has shape \[2\]; it must be \[3\]"):
        write_plan(tmp_path / "p.npz", PLAN, objective=np.zeros(2))
    assert os.listdir(tmp_path) == []


def test_deepseek_gets_three_int64_tensors(tmp_path):
    import torch

    path = tmp_path / "p.pt"
    write_plan(path, PLAN, engine="deepseek")
    stored = torch.load(path, weights_only=True)
    assert {key: t.dtype for key, t in stored.items()} == {
        key: torch.int64 for key in ("phy2log", "log2phy", "logcnt")
    }
    assert stored["log2phy"].shape == (3, 4, int(stored["logcnt"].max()))
    for layer, expert in np.ndindex(3, 4):
        slots = [p for p in stored["log2phy"][layer, expert].tolist() if p >= 0]
        assert slots == np.flatnonzero(PLAN[layer] == expert).tolist()


def test_sglang_gets_a_row_for_every_hidden_layer_under_its_one_key(tmp_path):
    path = tmp_path / "p.json"
    write_plan(path, PLAN, engine="sglang", layer_ids=[1, 2, 4], num_hidden_layers=6)
    document = json.loads(path.read_text())
    trivial = [0, 1, 2, 3, 0, 1]
    rows = PLAN.tolist()
    assert document == {
        "physical_to_logical_map": [trivial, rows[0], rows[1], trivial, rows[2], trivial]
    }
    assert (read_plan(path, layer_ids=[1, 2, 4]) == PLAN).all()


def test_a_recorder_dump_gives_the_map_of_the_whole_model(tmp_path):
    dump, path = tmp_path / "dump.pt", tmp_path / "p.json"
    dump.write_bytes(pt_bytes(sglang_dump()))
    loads = read_loads(dump)
    write_plan(
        path,
        PLAN,
        engine="sglang",
        layer_ids=loads.layer_ids,
        num_hidden_layers=loads.num_hidden_layers,
    )
    assert read_plan(path).shape == (4, 6)
    assert (read_plan(path, layer_ids=loads.layer_ids) == PLAN).all()


@pytest.mark.parametrize("engine", list(VALIDATORS))
def test_an_engine_is_not_given_empty_slots_or_lost_experts(tmp_path, engine):
    with pytest.raises(FormatError, match="layer 0: slot 1 is empty"):
        write_plan(tmp_path / "p", np.array([[0, -1, 1]]), engine=engine, num_gpus=1)
    with pytest.raises(FormatError, match="layer 0: expert 1 is on no GPU"):
        write_plan(tmp_path / "p", np.array([[0, 2, 2]]), engine=engine, num_gpus=1)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"engine": "nope"}, "known: npz, deepseek, sglang, vllm, vllm-hcu, vllm-ranks"),
        ({"layer_ids": [0, 1]}, "layer_ids"),
        ({"layer_ids": [2, 1, 0]}, "ascend"),
        ({"layer_ids": [-1, 1, 2]}, "ascend"),
        ({"num_hidden_layers": 2}, "take 3 or more"),
    ],
)
def test_bad_arguments_say_what_is_wrong(tmp_path, arguments, message):
    with pytest.raises(FormatError, match=message):
        write_plan(tmp_path / "p.json", PLAN, **arguments)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_write_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch, step):
    path = tmp_path / "p.json"
    path.write_text("old")

    def fails(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (type(path), "replace")}[step], fails)
    with pytest.raises(FormatError, match="No space left"):
        write_plan(path, PLAN, engine="sglang")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["p.json"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_plan(tmp_path / "p.json", PLAN, engine="sglang")
    assert os.listdir(tmp_path) == []


def test_a_directory_or_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(FormatError, match="directory"):
        write_plan(tmp_path, PLAN)
    with pytest.raises(FormatError, match="cannot be written"):
        write_plan(tmp_path / "none" / "p.npz", PLAN)


def test_a_link_is_followed_and_the_mode_is_kept(tmp_path):
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_plan(link, PLAN, engine="sglang")
    assert link.is_symlink()
    assert (read_plan(target) == PLAN).all()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_device_is_written_to_and_not_replaced():
    write_plan("/dev/null", PLAN, engine="sglang")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
