"""The SGLang drop-in against a small module of our own; `test_real_files` has SGLang's."""

import enum
import sys
from types import ModuleType, SimpleNamespace

import pytest

from eplb_opt import EngineError, ProblemError
from eplb_opt.engines import sglang

torch = pytest.importorskip("torch")

STEPS = torch.tensor([[[90, 132, 40, 61, 104, 165, 39, 4]], [[0, 0, 0, 0, 0, 0, 0, 400]]])
NUMBERS = (12, 3, 4, 2)
Algorithm = enum.Enum("Algorithm", [*sglang.HIERARCHICAL, "somebody_elses"])


@pytest.fixture
def engine(monkeypatch):
    """SGLang's module with a function that only says what it was called with."""
    monkeypatch.delenv(sglang.SWITCH_VARIABLE, raising=False)
    for path in (sglang.MODULE, sglang.ELASTIC_MODULE):
        names = path.split(".")
        for i in range(1, len(names) + 1):
            name = ".".join(names[:i])
            monkeypatch.setitem(sys.modules, name, sys.modules.get(name) or ModuleType(name))
    state = SimpleNamespace(instance=lambda: None)  # elastic expert parallelism is off
    vars(sys.modules[sglang.ELASTIC_MODULE])[sglang.ELASTIC_STATE] = state

    def rebalance_experts(*arguments):
        return arguments

    module = sys.modules[sglang.MODULE]
    module.rebalance_experts = rebalance_experts
    return module


def call(function, algorithm):
    return function(STEPS, *NUMBERS, algorithm)


def test_it_is_installed_once_and_taken_out_whole(engine):
    own = engine.rebalance_experts
    sglang.install()
    sglang.install(effort=1)
    assert engine.rebalance_experts is not own
    sglang.uninstall()
    assert engine.rebalance_experts is own
    sglang.uninstall()
    assert engine.rebalance_experts is own


def test_a_module_that_took_the_function_by_name_gets_ours_too(engine, monkeypatch):
    other, alien = ModuleType("sglang.srt.other"), ModuleType("alien")
    own = other.rebalance_experts = alien.rebalance_experts = engine.rebalance_experts
    for module in (other, alien):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    sglang.install()
    assert other.rebalance_experts is engine.rebalance_experts
    assert alien.rebalance_experts is own
    sglang.uninstall()
    assert other.rebalance_experts is own


@pytest.mark.parametrize("name", sglang.HIERARCHICAL)
def test_installed_it_answers_as_the_plain_call_does(engine, name):
    sglang.install()
    maps = call(engine.rebalance_experts, Algorithm[name])
    for ours, plain in zip(maps, call(sglang.rebalance_experts, name), strict=True):
        assert torch.equal(ours, plain)


def test_keywords_are_those_of_sglang(engine):
    sglang.install()
    maps = engine.rebalance_experts(
        tokens_per_expert=STEPS,
        num_physical_experts=12,
        num_local_physical_experts=3,
        num_groups=None,
        num_nodes=1,
        algorithm=Algorithm.deepseek,
    )
    assert maps[0].shape == (1, 12)


def test_algorithms_that_we_do_not_know_stay_sglangs_own(engine):
    sglang.install()
    answer = call(engine.rebalance_experts, Algorithm.somebody_elses)
    assert answer == (STEPS, *NUMBERS, Algorithm.somebody_elses)
    with pytest.raises(ProblemError, match="'somebody_elses' is not ours"):
        call(sglang.rebalance_experts, Algorithm.somebody_elses)


def test_the_effort_of_the_installation_is_used(engine, monkeypatch):
    seen = []
    place = sglang.place
    monkeypatch.setattr(sglang, "place", lambda *a: seen.append(a[5]) or place(*a))
    sglang.install(effort=4)
    call(engine.rebalance_experts, Algorithm.deepseek)
    assert seen == [4]


def test_the_maps_agree_and_the_steps_are_added():
    placed, slots, count = call(sglang.rebalance_experts, "deepseek")
    assert count[0].argmax() == 7
    assert slots.shape[2] == count.max()
    for expert in range(8):
        named = slots[0, expert, : count[0, expert]]
        assert (placed[0, named] == expert).all()
        assert (slots[0, expert, count[0, expert] :] == -1).all()
    assert all(m.dtype == torch.int64 and m.device.type == "cpu" for m in (placed, slots, count))


def test_a_hierarchical_algorithm_is_never_run_flat():
    with pytest.raises(ProblemError, match="num_groups=3 is no multiple of num_nodes=2"):
        sglang.rebalance_experts(STEPS, 12, 3, 3, 2, "deepseek_hierarchical")
    with pytest.raises(ProblemError, match="num_groups=1 is no multiple"):
        sglang.rebalance_experts(STEPS, 12, 3, None, 2, "deepseek_hierarchical")
    sglang.rebalance_experts(STEPS, 12, 3, None, 2, "deepseek")


def test_sizes_and_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ProblemError, match="num_physical_experts=12 is no multiple"):
        sglang.rebalance_experts(STEPS, 12, 5, None, 1, "deepseek")
    with pytest.raises(ProblemError, match=r"\[num_steps, num_layers, num_experts\]"):
        sglang.rebalance_experts(STEPS[0], 12, 3, None, 1, "deepseek")


def test_the_plugin_installs_only_where_it_is_asked_to(engine, monkeypatch):
    own = engine.rebalance_experts
    sglang.register()
    assert engine.rebalance_experts is own
    monkeypatch.setenv(sglang.SWITCH_VARIABLE, "1")
    sglang.register()
    assert engine.rebalance_experts is not own


def test_an_sglang_without_the_function_is_named(engine):
    del engine.rebalance_experts
    with pytest.raises(EngineError, match=r"no sglang.srt.eplb.eplb_algorithms.rebalance_experts"):
        sglang.install()
    sglang.uninstall()
