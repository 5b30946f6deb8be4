"""What each runtime rejects is rejected before it starts; what it takes passes."""

import json

import numpy as np
import pytest

from eplb_opt.engines.survivors import keep_slots
from eplb_opt.errors import EngineRefusal, FormatError, PlanError
from eplb_opt.io import VALIDATORS, WRITERS, write_plan
from eplb_opt.placement.plan import Plan
from tests.io.samples import expert_map, model_maps, pt_bytes, yaml_text
from tests.io.test_read_loads import written

GOOD = np.array([[0, 1, 2, 3, 0, 1], [3, 2, 1, 0, 3, 1], [1, 0, 2, 3, 0, 2]])
FACTS = {"num_gpus": 2, "num_experts": 4, "num_slots": 6, "layer_ids": (3, 4, 5)}
KEY = "physical_to_logical_map"
#: Those that take any plan; `test_other_formats` has what cannot hold replicas, or their order.
ENGINES = ["sglang", "vllm", "vllm-hcu", "trtllm", "trtllm-config", "vllm-ascend", "deepseek"]


def changed(layer, slot, expert):
    placed = GOOD.copy()
    placed[layer, slot] = expert
    return placed


def hidden(placed):
    """A map with a row for each of six hidden layers, the first three of them dense."""
    return np.concatenate([np.tile(np.arange(6) % 4, (3, 1)), placed])


def document(engine, placed):
    return {
        "sglang": lambda: {KEY: hidden(placed).tolist()},
        "vllm": lambda: placed.tolist(),
        "trtllm": lambda: {
            "num_slots": 6,
            "initial_global_assignments": dict(zip((3, 4, 5), placed.tolist(), strict=True)),
        },
        "trtllm-config": lambda: {"moe_config": {"load_balancer": document("trtllm", placed)}},
        "vllm-ascend": lambda: expert_map(placed, 2),
        "vllm-hcu": lambda: model_maps({"Target": placed, "Draft": placed[:, ::-1]}),
        "deepseek": lambda: {"phy2log": placed},
    }[engine]()


def test_every_validator_has_a_writer():
    assert set(VALIDATORS) <= set(WRITERS)
    assert {*ENGINES, "omni", "vllm-ranks"} == set(VALIDATORS)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_good_map_passes(engine):
    stored = VALIDATORS[engine](document(engine, GOOD), num_hidden_layers=6, **FACTS)
    assert (stored.rows((3, 4, 5)) == GOOD).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("placed", "message"),
    [
        (changed(1, 2, -1), "layer [14]: slot 2 is empty"),
        (changed(1, 2, 4), "layer [14]: slot 2 has none of 4 experts"),
        (changed(0, 3, 0), "layer [03]: expert 3 is on no GPU"),
    ],
)
def test_bad_slots_are_refused_by_every_runtime(engine, placed, message):
    bad = {KEY: placed.tolist()} if engine == "sglang" else document(engine, placed)
    with pytest.raises(EngineRefusal, match=message):
        VALIDATORS[engine](bad, **FACTS)


@pytest.mark.parametrize("engine", ENGINES)
def test_another_machine_is_refused(engine):
    placed = document(engine, GOOD)
    for facts, message in (
        ({"num_gpus": 4}, "no multiple of 4 GPUs|runs on 4"),
        ({"num_slots": 8}, "6 slots; .* is started with 8"),
        ({"num_experts": 5}, "expert 4 is on no GPU"),
        ({"num_experts": 7}, "7 experts do not fit 6 slots"),
    ):
        with pytest.raises(EngineRefusal, match=message):
            VALIDATORS[engine](placed, **(FACTS | facts))


@pytest.mark.parametrize(
    ("engine", "bad", "message"),
    [
        ("sglang", {KEY: GOOD, "num_gpus": 2}, "takes physical_to_logical_map alone"),
        ("sglang", {KEY: GOOD}, "3 rows; SGLang wants one for each of 6 hidden layers"),
        ("sglang", {"physical_to_logical": GOOD}, "no key physical_to_logical_map"),
        ("vllm", GOOD[:2].tolist(), "2 layers; vLLM wants one for each of the 3"),
        ("vllm", [0, 1, 2, 3, 0, 0.5], "expert ids are integers"),
        ("trtllm", {"num_slots": 6, "ep_size": 2}, "no initial_global_assignments"),
        ("vllm-ascend", expert_map(GOOD[:2], 2), "2 layers; vllm-ascend wants one"),
        ("vllm-ascend", expert_map(changed(0, 1, 0), 2), "expert 1 is on no|0 stands twice"),
        ("deepseek", {"phy2log": GOOD, "logcnt": np.ones((3, 4))}, "logcnt tells of another"),
    ],
)
def test_what_one_runtime_rejects_is_named(engine, bad, message):
    with pytest.raises(FormatError, match=message):
        VALIDATORS[engine](bad, num_hidden_layers=6, **FACTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ep_size": 2}, "the key ep_size is unknown"),
        ({"num_slots": 8}, "num_slots is 8, the layers have 6"),
        ({"num_slots": None}, "num_slots is None"),
        ({"layer_updates_per_iter": -1}, "layer_updates_per_iter is -1"),
        ({"initial_global_assignments": {3: [0] * 6}}, "layer 4 is missing"),
        ({"initial_global_assignments": {"a": [0] * 6}}, "layers are whole numbers"),
        ({"initial_global_assignments": {-1: [0] * 6}}, "ascend from 0"),
    ],
)
def test_tensorrt_llm_is_strict(change, message):
    with pytest.raises(FormatError, match=message):
        VALIDATORS["trtllm"](document("trtllm", GOOD) | change, **FACTS)


def test_vllm_ascend_keeps_replicas_apart_and_survivors_in_place():
    check = VALIDATORS["vllm-ascend"]
    twice = np.array([[0, 1, 0, 3, 2, 1]])
    with pytest.raises(EngineRefusal, match="layer 0: expert 0 stands twice on device 0"):
        check(expert_map(twice, 2))
    current = np.array([[1, 0, 2, 3, 0, 1]])
    with pytest.raises(EngineRefusal, match="expert 0 stays on device 0 but changes its slot"):
        check(expert_map(GOOD[:1], 2), current=current)
    placed = keep_slots(GOOD[:1], current, 2)
    assert (check(expert_map(placed, 2), current=current).physical_to_logical == placed).all()
    with pytest.raises(EngineRefusal, match=r"shape \[1, 4\], the new one \[1, 6\]"):
        check(expert_map(placed, 2), current=current[:, :4])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(moe_layer_count=2), "moe_layer_count is 2, layer_list has 3"),
        (lambda d: d["layer_list"][1].update(layer_id=2), "layer 1 is called 2"),
        (lambda d: d["layer_list"][1].update(device_count=1), "device_count is 1"),
        (lambda d: d["layer_list"][1]["device_list"].reverse(), "device 0 is not in its place"),
        (lambda d: d["layer_list"][1]["device_list"][0]["device_expert"].pop(), "2 to 3 experts"),
        (lambda d: d["layer_list"][1]["device_list"][0].pop("device_expert"), "no list device"),
        (lambda d: d["layer_list"].__setitem__(1, 7), "no list device_list"),
    ],
)
def test_expert_maps_that_contradict_themselves_are_refused(change, message):
    bad = expert_map(GOOD, 2)
    change(bad)
    with pytest.raises(FormatError, match=message):
        VALIDATORS["vllm-ascend"](bad)


def test_deepseeks_three_tensors_must_agree():
    plan = Plan(GOOD, 2, 4)
    wide = np.pad(plan.logical_to_physical, ((0, 0), (0, 0), (0, 2)), constant_values=-1)
    good = (GOOD, wide[..., ::-1], plan.logical_count)
    VALIDATORS["deepseek"](good)
    moved = plan.logical_to_physical.copy()
    moved[0, 2, 0] = 3
    for bad in (moved, moved[:2], moved[..., :1], moved[0]):
        with pytest.raises(EngineRefusal, match="log2phy tells of another placement"):
            VALIDATORS["deepseek"]((GOOD, bad, plan.logical_count))


def test_vllm_takes_int64_tensors_in_the_slots_in_force(tmp_path):
    torch = pytest.importorskip("torch")
    check = VALIDATORS["vllm"]
    narrow = written(tmp_path, "a.pt", pt_bytes(torch.tensor(GOOD, dtype=torch.int32)))
    with pytest.raises(EngineRefusal, match=r"torch.int32; a policy of vLLM returns int64"):
        check(narrow)
    with pytest.raises(EngineRefusal, match="6 slots, in force are 8"):
        check(GOOD.tolist(), current=np.zeros((3, 8)))
    with pytest.raises(EngineRefusal, match="1024 redundant experts"):
        check([[0] * 1025])
    stored = check([0, 1, 2, 3, 0, 1], **FACTS)  # one row for all layers
    assert (stored.rows((3, 4, 5)) == GOOD[0]).all()


def test_files_must_be_named_as_the_runtime_reads_them(tmp_path):
    text = json.dumps({KEY: GOOD.tolist()})
    VALIDATORS["sglang"](written(tmp_path, "a.json", text))
    with pytest.raises(FormatError, match=r"a.txt: .*rename it to end in .json"):
        VALIDATORS["sglang"](written(tmp_path, "a.txt", text))
    with pytest.raises(FormatError, match=r"this is json; yaml is due"):
        VALIDATORS["trtllm"](written(tmp_path, "a.json", text))
    stored = VALIDATORS["trtllm"](written(tmp_path, "a.yaml", yaml_text(GOOD)), **FACTS)
    assert stored.layer_ids == (3, 4, 5)


def test_a_refusal_is_a_bad_plan_and_a_bad_file():
    assert issubclass(EngineRefusal, PlanError)
    assert issubclass(EngineRefusal, FormatError)


def test_nothing_is_written_that_would_be_refused(tmp_path):
    path = tmp_path / "map.json"
    twice = Plan(np.array([[0, 0, 1, 2]]), 2)
    with pytest.raises(EngineRefusal, match=r"map.json: layer 0: expert 0 stands twice"):
        write_plan(path, twice, engine="vllm-ascend")
    with pytest.raises(FormatError, match="give num_gpus"):
        write_plan(path, twice.physical_to_logical, engine="vllm-ascend")
    with pytest.raises(EngineRefusal, match="changes its slot"):
        write_plan(
            path, Plan(GOOD[:1], 2), engine="vllm-ascend", current=np.array([[1, 0, 2, 3, 0, 1]])
        )
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_slots: &a 6\ninitial_global_assignments: {3: *a}", "anchors, aliases or tags"),
        ("initial_global_assignments: !!python/object/apply:os.system ['true']", "tags"),
        ("initial_global_assignments: {3: [0, 1], 3: [1, 0]}", "key 3 stands twice"),
        ("initial_global_assignments: {3: [[[[0]]]]}", "must be"),
        ("initial_global_assignments: " + "[" * 100_000, "nested more than 12 deep|no YAML"),
        ("initial_global_assignments: " + "{a: " * 100_000, "nested more than 12 deep|no YAML"),
        ("initial_global_assignments: {[1]: 2}", "key is a list"),
        ("initial_global_assignments: {3: [0, x]}", "must hold integers"),
        ("initial_global_assignments: {3: [0, 1], 4: [0]}", "row 1 has 1 entries"),
        ("initial_global_assignments: {}", "layers are whole numbers"),
        ("initial_global_assignments: [1]", "keys initial_global_assignments"),
        ("initial_global_assignments: {3: [0, 1", "no YAML"),
        ("num_slots: 1\n---\nnum_slots: 2", "2 YAML documents"),
        ("# nothing", "0 YAML documents"),
        ("num_slots: 3\n\x01", "no YAML"),
    ],
)
def test_hostile_yaml_is_refused(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        VALIDATORS["trtllm"](written(tmp_path, "a.yaml", text))
