"""The vLLM policy against a small registry of our own; `test_real_files` has vLLM's."""

import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from eplb_opt import EngineError, Problem, ProblemError, evaluate
from eplb_opt.engines import sglang, vllm
from eplb_opt.engines.vllm import EplbOptPolicy, ThreeMapsPolicy

torch = pytest.importorskip("torch")

WEIGHT = torch.tensor([[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86]])


class OneMap:
    @classmethod
    def rebalance_experts(cls, weight, *numbers) -> torch.Tensor:
        raise NotImplementedError


class ThreeMaps:
    @classmethod
    def rebalance_experts(cls, weight, *numbers) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        raise NotImplementedError


@pytest.fixture
def registry(monkeypatch):
    """A module in the place of vLLM's, and its dictionary."""
    monkeypatch.delenv(vllm.SWITCH_VARIABLE, raising=False)
    names = vllm.MODULE.split(".")
    for i in range(1, len(names) + 1):
        monkeypatch.setitem(sys.modules, ".".join(names[:i]), ModuleType(".".join(names[:i])))
    module = sys.modules[vllm.MODULE]
    module.EPLB_POLICIES = {"default": OneMap}
    return module.EPLB_POLICIES


def test_nothing_happens_unless_it_is_asked_for(registry, monkeypatch):
    vllm.register()
    assert registry["default"] is OneMap
    monkeypatch.setenv(vllm.SWITCH_VARIABLE, "0")
    vllm.register()
    assert registry["default"] is OneMap


def test_registering_twice_is_registering_once(registry, monkeypatch):
    monkeypatch.setenv(vllm.SWITCH_VARIABLE, "1")
    vllm.register()
    vllm.register()
    assert registry == {"default": EplbOptPolicy}


def test_an_older_release_gets_its_three_maps_and_keeps_them(registry, monkeypatch):
    monkeypatch.setenv(vllm.SWITCH_VARIABLE, "1")
    registry["default"] = ThreeMaps
    vllm.register()
    vllm.register()
    assert registry["default"] is ThreeMapsPolicy


def test_a_vllm_without_the_registry_is_named(registry, monkeypatch):
    monkeypatch.setenv(vllm.SWITCH_VARIABLE, "1")
    registry.clear()
    with pytest.raises(EngineError, match="no policy 'default'"):
        vllm.register()
    del sys.modules[vllm.MODULE].EPLB_POLICIES
    with pytest.raises(EngineError, match=r"EPLB_POLICIES.*unset EPLB_OPT_VLLM"):
        vllm.register()


def test_the_entry_points_lead_to_the_registrations():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for group, module in (("vllm.general_plugins", vllm), ("sglang.srt.plugins", sglang)):
        (value,) = project["entry-points"][group].values()
        assert EntryPoint("eplb_opt", value, group).load() is module.register


def test_three_maps_agree_and_are_as_wide_as_vllm_wants_them():
    placed, slots, count = ThreeMapsPolicy.rebalance_experts(WEIGHT, 16, 4, 2, 8)
    assert torch.equal(placed, EplbOptPolicy.rebalance_experts(WEIGHT, 16, 4, 2, 8))
    assert slots.shape == (1, 12, 5)
    assert count.tolist() == [torch.bincount(placed[0], minlength=12).tolist()]
    for expert in range(12):
        named = [s for s in slots[0, expert].tolist() if s >= 0]
        assert len(named) == count[0, expert]
        assert all(placed[0, s] == expert for s in named)
    assert all(m.dtype == torch.int64 and m.device.type == "cpu" for m in (placed, slots, count))


@pytest.mark.parametrize("num_groups", [None, 0, 1])
def test_models_without_groups_are_placed_flat(num_groups):
    ours = EplbOptPolicy.rebalance_experts(WEIGHT, 16, num_groups, 1, 8)
    assert torch.equal(ours, EplbOptPolicy.rebalance_experts(WEIGHT, 16, 3, 2, 8))


def test_survivors_keep_their_slot_and_empty_slots_are_none():
    plain = EplbOptPolicy.rebalance_experts(WEIGHT, 16, 1, 1, 8)
    turned = plain.reshape(1, 8, 2).flip(2).reshape(1, 16)
    assert torch.equal(EplbOptPolicy.rebalance_experts(WEIGHT, 16, 1, 1, 8, turned), turned)
    empty = torch.full_like(turned, -1)
    assert torch.equal(EplbOptPolicy.rebalance_experts(WEIGHT, 16, 1, 1, 8, empty), plain)
    partly = turned.clone()
    partly[0, ::2] = -1  # every other survivor is still known
    filled = EplbOptPolicy.rebalance_experts(WEIGHT, 16, 1, 1, 8, partly)
    assert torch.equal(filled[:, 1::2], turned[:, 1::2])
    problem = Problem(WEIGHT, 16, 8)
    ours, theirs = (evaluate(problem, m.numpy()).objective for m in (filled, turned))
    assert ours == theirs  # the optimum


def test_maps_of_another_number_of_ranks_do_not_stand_in_the_way(monkeypatch):
    monkeypatch.setenv("EPLB_OPT_MOVE_TOLERANCE", "0")
    plain = EplbOptPolicy.rebalance_experts(WEIGHT, 16, 1, 1, 8)
    for width in (12, 20):
        old = torch.arange(width)[None, :] % 12
        ours = EplbOptPolicy.rebalance_experts(WEIGHT, 16, 1, 1, 8, old)
        gpus = [m.reshape(8, 2).sort(dim=1).values for m in (ours, plain)]
        assert torch.equal(*gpus)


def test_three_maps_follow_the_kept_slots():
    old = EplbOptPolicy.rebalance_experts(WEIGHT, 16, 1, 1, 8).flip(1)
    placed, slots, count = ThreeMapsPolicy.rebalance_experts(WEIGHT, 16, 1, 1, 8, old)
    for expert in range(12):
        named = slots[0, expert, : count[0, expert]]
        assert (placed[0, named] == expert).all()


def test_slots_can_be_kept_alone():
    kept = EplbOptPolicy.preserve_intragpu_slots(
        np.array([[0, 1, 2, 3]]), 2, np.array([[1, 0, 5, 2]])
    )
    assert kept.tolist() == [[1, 0, 3, 2]]


def test_a_subclass_can_set_the_effort():
    class Worker(EplbOptPolicy):
        effort = -1

    with pytest.raises(ProblemError, match="effort=-1"):
        Worker.rebalance_experts(WEIGHT, 16, 1, 1, 8)
