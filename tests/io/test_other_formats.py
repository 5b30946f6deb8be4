"""Formats that hold several models, less than any plan, or counts that grow from file to file."""

import json
from pathlib import Path

import numpy as np
import pytest

from eplb_opt.errors import EngineRefusal, FormatError
from eplb_opt.guide import read_topic
from eplb_opt.io import (
    LOAD_FORMATS,
    LOAD_WRITERS,
    PLAN_FORMATS,
    VALIDATORS,
    WRITERS,
    kind_of,
    open_trace,
    read_loads,
    read_plan,
    read_stored_plan,
    read_total,
    write_loads,
    write_plan,
)
from eplb_opt.placement.plan import Plan
from tests.io.samples import (
    LOAD,
    PLAN,
    config_text,
    expert_counts,
    load_history,
    model_maps,
    npy_bytes,
    npz_file,
    pattern,
    pt_bytes,
    safetensors_bytes,
    yaml_text,
)
from tests.io.test_read_loads import folder, written

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "make.py"
APART = np.array([[0, 1, 2, 0, 1, 3], [1, 2, 3, 0, 1, 3], [0, 1, 2, 0, 2, 3]])


# lmdeploy ---------------------------------------------------------------------------------------


def dumps(parent, counts):
    """A folder of dumps: (rank, step) to the counts since the start."""
    files = {
        f"rank{rank}_step{step}_expert_counts.pt": pt_bytes(expert_counts(c, step, rank))
        for (rank, step), c in counts.items()
    }
    return folder(parent, "dumps", files)


def test_what_came_between_two_dumps_is_a_step(tmp_path):
    first, second = LOAD
    path = dumps(tmp_path, {(0, 9): first, (0, 100): first + second})
    assert (read_loads(path).load == LOAD).all()
    assert (read_total(path).total == first + second).all()


def test_ranks_of_a_step_are_added_up(tmp_path):
    path = dumps(tmp_path, {(0, 9): LOAD[0], (1, 9): LOAD[1]})
    assert (read_loads(path).load == LOAD.sum(axis=0)).all()


def test_a_server_that_was_started_anew_counts_from_zero(tmp_path):
    first, less = LOAD[1], LOAD[0]
    path = dumps(tmp_path, {(0, 9): first, (0, 20): less})
    assert (read_total(path).total == first + less).all()


def test_dumps_beside_other_files_are_told_by_their_names(tmp_path):
    path = dumps(tmp_path, {(0, 9): LOAD[0]})
    written(path, "rank0_step9_expert_counts_heatmap.png", b"no recording")
    assert read_loads(path).format == "lmdeploy"
    written(path, "rank0_step10_expert_counts.pt", pt_bytes({"counts": 1}))
    with pytest.raises(FormatError, match=r"step10_expert_counts.pt: keys counts; counts, balanc"):
        read_total(path)


def test_counts_of_more_dimensions_are_refused(tmp_path):
    with pytest.raises(FormatError, match=r"counts have shape \[2, 3, 4\]"):
        read_loads(written(tmp_path, "a.pt", pt_bytes(expert_counts(LOAD))))


def test_a_list_for_lmdeploy_begins_with_its_dense_layers(tmp_path):
    rows = np.concatenate([np.zeros((3, 4), int), LOAD[0]]).tolist()
    loads = read_loads(written(tmp_path, "a.json", json.dumps(rows)), "lmdeploy")
    assert (loads.layer_ids, loads.num_hidden_layers) == ((3, 4, 5), 6)
    assert (loads.load == LOAD[0]).all()
    with pytest.raises(FormatError, match="a JSON dict; lmdeploy reads a list"):
        read_loads(written(tmp_path, "b.json", '{"load": [[1]]}'), "lmdeploy")


@pytest.mark.skipif(not CASES.is_file(), reason="the cases are not beside the project")
def test_the_recorder_of_today_is_read(tmp_path, monkeypatch):
    import runpy

    monkeypatch.setattr("sys.argv", ["make.py", str(tmp_path)])
    runpy.run_path(str(CASES))
    loads = read_loads(tmp_path / "rank0_step9_expert_counts.pt")
    assert loads.load.tolist() == [[[10, 20, 30, 40], [5, 6, 7, 8]]]
    assert loads.format == "lmdeploy"


# Several models in a file -----------------------------------------------------------------------


def test_loads_of_one_of_several_models(tmp_path):
    arrays = {"org/big": LOAD[0].astype(np.float32), "org/draft": LOAD[1, :1].astype(np.float32)}
    path = written(tmp_path, "a.safetensors", safetensors_bytes(arrays, "1"))
    assert (read_loads(path, model="org/draft").load == LOAD[1, :1]).all()
    assert (read_total(path, model="org/big").load == LOAD[0]).all()
    assert open_trace(path, model="org/draft").shape == (1, 1, 4)
    with pytest.raises(FormatError, match=r"2 models: org/big, org/draft. Take one out of it"):
        read_loads(path)
    with pytest.raises(FormatError, match="no model 'org/small'; it has org/big, org/draft"):
        read_loads(path, model="org/small")
    unnamed = written(tmp_path, "a.npz", npz_file(load=LOAD))
    assert (read_loads(unnamed, model="m").load == LOAD).all()


@pytest.mark.parametrize(
    ("arrays", "version", "message"),
    [
        ({"m": LOAD[0]}, "2", "version 2; known: 1"),
        ({"10_3": LOAD[0, 0]}, None, r"10_3 \[4\]; loads are .* name the folder"),
        ({"m": LOAD[0] > 3}, "1", "m has type bool"),
    ],
)
def test_other_tensors_are_refused(tmp_path, arrays, version, message):
    with pytest.raises(FormatError, match=message):
        read_loads(written(tmp_path, "a.safetensors", safetensors_bytes(arrays, version)))


def test_a_damaged_header_is_refused(tmp_path):
    content = safetensors_bytes({"m": LOAD[0]}, "1")
    for bad in (content[:-8], content[:20], content[:8] + b"{" * 40):
        with pytest.raises(FormatError, match=r"a.safetensors: .*cut off"):
            read_loads(written(tmp_path, "a.safetensors", bad))


def test_vllm_is_given_one_float32_tensor_by_the_models_name(tmp_path):
    from safetensors import safe_open

    path = tmp_path / "a.safetensors"
    with pytest.raises(FormatError, match="give model="):
        write_loads(path, LOAD, format="vllm")
    assert not path.exists()
    write_loads(path, LOAD, format="vllm", model="org/model")
    with safe_open(path, framework="np") as stored:
        assert stored.metadata() == {"version": "1"}
        assert list(stored.keys()) == ["org/model"]
        tensor = stored.get_tensor("org/model")
    assert tensor.dtype == np.float32
    assert (tensor == LOAD.sum(axis=0)).all()


def test_maps_of_a_target_and_its_draft_share_a_file(tmp_path):
    path = tmp_path / "maps.json"
    for name, placed in (("Target", PLAN), ("Draft", PLAN[:1]), ("Target", PLAN[::-1])):
        write_plan(path, Plan(placed, 2, 4), engine="vllm-hcu", model=name)
    assert (read_stored_plan(path, model="Draft").physical_to_logical == PLAN[:1]).all()
    assert (read_stored_plan(path, model="Target").physical_to_logical == PLAN[::-1]).all()
    with pytest.raises(FormatError, match="2 models: Target, Draft"):
        read_plan(path)
    entry = json.loads(path.read_text())["model_maps"]["Draft"]
    assert entry["num_redundant_experts"] == 2
    assert entry["model_class"] == "Draft"
    check = VALIDATORS["vllm-hcu"]
    facts = {"num_gpus": 2, "num_experts": 4, "num_slots": 6}
    assert len(check(path, layer_ids=(61,), **facts).physical_to_logical) == 1
    assert len(check(path, layer_ids=(3, 4, 5), **facts).physical_to_logical) == 3
    with pytest.raises(EngineRefusal, match="3 layers; vllm_hcu wants one for each of the 2"):
        check(path, layer_ids=(3, 4), **facts)


def test_an_unrelated_file_makes_way_for_the_maps(tmp_path):
    path = written(tmp_path, "maps.json", "[[1]")
    write_plan(path, Plan(PLAN, 2, 4), engine="vllm-hcu", model="Target")
    assert (read_plan(path) == PLAN).all()
    with pytest.raises(FormatError, match="give model="):
        write_plan(path, Plan(PLAN, 2, 4), engine="vllm-hcu")


def test_a_pipeline_stage_has_an_entry_of_its_own(tmp_path):
    path = tmp_path / "maps.json"
    write_plan(path, Plan(PLAN, 2, 4), engine="vllm-hcu", model="Target#pp_rank=1")
    entry = json.loads(path.read_text())["model_maps"]["Target#pp_rank=1"]
    assert entry["model_class"] == "Target"


def test_the_version_of_one_model_is_read_too(tmp_path):
    entry = model_maps({"Target": PLAN})["model_maps"]["Target"]
    del entry["record_kind"]
    document = {"version": 1, "format": "vllm_offline_eplb_physical_to_logical"} | entry
    path = written(tmp_path, "a.json", json.dumps(document))
    assert (read_plan(path) == PLAN).all()
    assert kind_of(path) == "plan"
    VALIDATORS["vllm-hcu"](path, num_experts=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_moe_layers": 4}, "Target: num_moe_layers is 4; vllm_hcu wants 3"),
        ({"num_redundant_experts": 1}, "num_redundant_experts is 1; vllm_hcu wants 2"),
        ({"num_redundant_experts": True}, "num_redundant_experts is True"),
        ({"record_kind": "initial"}, "record_kind is initial; vllm_hcu wants proposal"),
        ({"physical_to_logical_map": [[0, 1, 2, 2, 0, 1]] * 3}, "expert 3 is on no GPU"),
    ],
)
def test_facts_that_do_not_agree_with_the_map_are_refused(change, message):
    document = model_maps({"Target": PLAN})
    document["model_maps"]["Target"] |= change
    with pytest.raises(EngineRefusal, match=message):
        VALIDATORS["vllm-hcu"](document)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 3}, "version 3 and format do not go together"),
        ({"format": "other"}, "version 2 and format"),
        ({"model_maps": {}}, "no model_maps"),
        ({"model_maps": {"Target": [1]}}, "Target is no object"),
    ],
)
def test_other_files_of_several_models_are_refused(tmp_path, change, message):
    document = model_maps({"Target": PLAN}) | change
    with pytest.raises(FormatError, match=message):
        read_plan(written(tmp_path, "a.json", json.dumps(document)))


# Formats that can say less than any plan --------------------------------------------------------


def test_a_rank_of_every_expert_makes_the_slots(tmp_path):
    path = written(tmp_path, "a.json", '{"expert_to_ep_rank": [1, 0, 0, 1]}')
    stored = read_stored_plan(path)
    assert stored.rows([3, 4]).tolist() == [[1, 2, 0, 3]] * 2
    assert (stored.num_gpus, stored.num_experts) == (2, 4)
    assert kind_of(path) == "plan"
    VALIDATORS["vllm-ranks"](path, num_gpus=2, num_experts=4, layer_ids=(3, 4))


def test_ranks_that_hold_unequally_many_are_padded_and_refused(tmp_path):
    path = written(tmp_path, "a.json", '{"expert_to_ep_rank": [1, 0, 0, 0]}')
    assert read_plan(path).tolist() == [[1, 2, 3, 0, -1, -1]]
    with pytest.raises(EngineRefusal, match="slot 4 is empty"):
        VALIDATORS["vllm-ranks"](path)


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        ("[0, -1]", "holds -1 to 0; ranks start at 0"),
        ("[0, 70000]", "holds 0 to 70000"),
        ("[0, 0.5]", "ids are integers"),
        ("7", "has shape"),
        (str([0] * 20 + [60000]), "ranks up to 60000, unevenly"),
    ],
)
def test_bad_ranks_are_refused(tmp_path, ranks, message):
    with pytest.raises(FormatError, match=message):
        read_plan(written(tmp_path, "a.json", f'{{"expert_to_ep_rank": {ranks}}}'))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"num_gpus": 4}, "names 2 ranks; vLLM runs on 4"),
        ({"num_experts": 5}, "has 4 experts; the model has 5"),
    ],
)
def test_ranks_of_another_machine_are_refused(facts, message):
    with pytest.raises(EngineRefusal, match=message):
        VALIDATORS["vllm-ranks"]({"expert_to_ep_rank": [1, 0, 0, 1]}, **facts)


def test_replicas_and_layers_that_differ_have_no_ranks(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(EngineRefusal, match="no replicas; plan with --slots 4"):
        write_plan(path, Plan(PLAN, 2, 4), engine="vllm-ranks")
    with pytest.raises(EngineRefusal, match="layer 1 differs from layer 0"):
        write_plan(path, Plan(np.array([[0, 1, 2, 3], [0, 2, 1, 3]]), 2, 4), engine="vllm-ranks")
    assert not path.exists()


def test_a_pattern_is_told_from_loads(tmp_path):
    path = written(tmp_path, "a.npy", npy_bytes(pattern(APART, 2)))
    assert kind_of(path) == "plan"
    stored = read_stored_plan(path)
    assert (stored.physical_to_logical == APART).all()
    assert (stored.num_gpus, stored.num_experts) == (2, 4)
    assert kind_of(written(tmp_path, "b.npy", npy_bytes(LOAD))) == "loads"


def test_devices_that_hold_unequally_many_are_padded(tmp_path):
    found = pattern(APART, 2)
    found[1, 0, 0] = 0  # the copy of expert 0 on device 1, layer 0
    path = written(tmp_path, "a.npy", npy_bytes(found.astype(np.float32)))
    assert read_plan(path).tolist()[0] == [0, 1, 2, 1, 3, -1]
    VALIDATORS["omni"](path, num_gpus=2, num_experts=4, num_slots=6, layer_ids=(3, 4, 5))


def test_a_pattern_is_int32_and_holds_an_expert_once_a_device(tmp_path):
    path = tmp_path / "a.npy"
    write_plan(path, Plan(APART, 2, 4), engine="omni")
    stored = np.load(path)
    assert stored.dtype == np.int32
    assert (stored == pattern(APART, 2)).all()
    with pytest.raises(EngineRefusal, match="layer 1: expert 3 stands twice on device 1"):
        write_plan(path, Plan(PLAN, 2, 4), engine="omni")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"num_gpus": 4}, "2 devices; OmniPlacement runs on 4"),
        ({"num_experts": 5}, "4 experts; OmniPlacement runs on 5"),
        ({"num_slots": 8}, "6 slots in all; OmniPlacement is started with 8"),
        ({"layer_ids": (1, 2)}, "3 layers; OmniPlacement wants one for each of the 2"),
    ],
)
def test_a_pattern_of_another_machine_is_refused(facts, message):
    with pytest.raises(EngineRefusal, match=message):
        VALIDATORS["omni"](pattern(APART, 2), **facts)


def test_an_expert_on_no_device_is_refused():
    found = pattern(APART, 2)
    found[:, 1, 0] = 0
    with pytest.raises(EngineRefusal, match="layer 1: expert 0 is on no device"):
        VALIDATORS["omni"](found)
    with pytest.raises(FormatError, match="a pattern of OmniPlacement is 0 and 1"):
        VALIDATORS["omni"](2 * found)


# The rest ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"load_history": []}, "no list load_history"),
        ({"load_history": [{"load": 1}]}, r"load_history\[0\] has keys load"),
        ({"load_history": [{"logical_expert_load": LOAD.tolist()}]}, "no list .layers..experts"),
        (load_history(LOAD[:, :, :1]) | {"load_history": [7]}, r"\[0\] has int"),
    ],
)
def test_other_histories_are_refused(tmp_path, document, message):
    with pytest.raises(FormatError, match=message):
        read_loads(written(tmp_path, "a.json", json.dumps(document)))


def test_steps_of_different_models_are_refused(tmp_path):
    document = load_history(LOAD)
    document["load_history"][1]["logical_expert_load"].pop()
    with pytest.raises(FormatError, match=r"step 1 has loads int64 \[2, 4\], the first one"):
        read_loads(written(tmp_path, "a.json", json.dumps(document)))


def test_settings_of_a_whole_server_hold_the_assignments(tmp_path):
    path = written(tmp_path, "a.yaml", config_text(PLAN))
    stored = read_stored_plan(path)
    assert (stored.physical_to_logical == PLAN).all()
    assert stored.layer_ids == (3, 4, 5)
    bare = written(tmp_path, "bare", f"moe_config:{config_text(PLAN).partition('moe_config:')[2]}")
    assert (read_plan(bare) == PLAN).all()


def test_settings_that_name_a_file_say_so(tmp_path):
    text = "moe_config:\n  backend: WIDEEP\n  load_balancer: ./balancer.yaml\n"
    with pytest.raises(FormatError, match=r"names another file, ./balancer.yaml; give that one"):
        read_plan(written(tmp_path, "a.yaml", text))
    with pytest.raises(FormatError, match="moe_config has no load_balancer"):
        read_plan(written(tmp_path, "a.yaml", "moe_config: {backend: WIDEEP}\n"))


def test_settings_are_written_to_be_pasted(tmp_path):
    import yaml

    path = tmp_path / "a.yaml"
    write_plan(path, Plan(PLAN, 2, 4), engine="trtllm-config", layer_ids=(3, 4, 5))
    document = yaml.safe_load(path.read_text())
    assert document["moe_config"]["load_balancer"] == yaml.safe_load(yaml_text(PLAN))


def test_the_guide_names_every_format():
    text = read_topic("formats")
    table = text[text.index("| engine or file") : text.index("The format is found")]
    names = {row.name for row in (*LOAD_FORMATS, *PLAN_FORMATS)} | {*WRITERS, *LOAD_WRITERS}
    assert {name for name in names if f"`{name}`" not in table} == set()
