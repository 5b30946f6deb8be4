"""Why layers are not proven optimal, in words, for a layer and for many together."""

from fractions import Fraction

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem
from eplb_opt.clock import Deadline
from eplb_opt.errors import MissingDependency
from eplb_opt.exact.model_solver import ModelSolver
from eplb_opt.planner.reasons import MOST_GROUPS, Reasons, named, ranges
from eplb_opt.solver import Answer, Options, Task, Verdict
from tests.planner.stages import MadeStage, use_stages

LOADS = np.random.default_rng(7).integers(1, 10**6, (6, 24))
PROBLEM = Problem(LOADS, 32, 8)


def raising(name, error):
    def run(task):
        raise error

    return MadeStage(name, run)


def refusing(name, reason):
    return MadeStage(name, lambda task: Answer(verdict=Verdict.REFUSED, reason=reason))


def test_numbers_in_a_row_are_told_as_a_range():
    assert ranges([20, *range(3, 18)]) == ["3-17", "20"]
    assert ranges([1, 2]) == ["1", "2"]
    assert named({*range(3, 18), 20}) == "layers 3-17, 20"
    assert named(set(range(0, 58, 2))).endswith("and others, 29 in all")


def test_no_time_leaves_one_message_for_all_layers():
    result = eplb_opt.plan(PROBLEM, time_limit=0, starts=())
    (said,) = result.messages
    assert said.startswith("6 of 6 layers are as the heuristics left them: the time was up before")
    assert said.endswith("(layers 0-5).")
    assert all(reason.startswith("the time was up before") for reason in result.reasons)


def test_a_missing_package_and_its_extra_are_the_reason(monkeypatch):
    use_stages(monkeypatch, raising("cpsat", MissingDependency("ortools", "cpsat")))
    result = eplb_opt.plan(PROBLEM, effort=1)
    assert "eplb-opt[cpsat]" in result.messages[0]
    assert (
        "no search had an answer for them; cpsat lacks a package (layers 0-5)"
        in (result.messages[-1])
    )
    for reason in result.reasons:
        assert "cpsat: ortools is not installed; the extra eplb-opt[cpsat] brings it" in reason


def test_a_fault_is_the_reason_of_its_layers_alone(monkeypatch):
    best = eplb_opt.plan(PROBLEM, effort=20).plan.physical_to_logical

    def run(task):
        if task.layer_idx in (1, 4):
            raise ZeroDivisionError("sums cancel")
        return Answer(best[task.layer_idx], verdict=Verdict.FINISHED)

    use_stages(monkeypatch, MadeStage("fragile", run))
    result = eplb_opt.plan(PROBLEM, effort=1)
    failed = [i for i, reason in enumerate(result.reasons) if "sums cancel" in reason]
    assert failed == [1, 4]
    assert "2 of 6 layers are as the heuristics left them" in result.messages[-1]
    assert "fragile failed (layers 1, 4)" in result.messages[-1]


def test_models_that_are_too_large_are_one_group_and_keep_their_numbers(monkeypatch):
    def run(task):
        return Answer(verdict=Verdict.REFUSED, reason=f"is too large: {task.layer_idx} columns")

    use_stages(monkeypatch, MadeStage("cpsat", run))
    result = eplb_opt.plan(PROBLEM, effort=1)
    (said,) = result.messages
    assert "cpsat is too large (layers 0-5)" in said
    assert [f"cpsat is too large: {i} columns" in r for i, r in enumerate(result.reasons)] == (
        [True] * 6
    )


def test_the_general_model_says_when_it_is_too_large():
    big = Problem(np.random.default_rng(0).integers(1, 99, (1, 128)), 160, 16)
    start = eplb_opt.plan(big, effort=0).plan.physical_to_logical[0]
    solver = ModelSolver(big, Options())
    task = Task(0, big, start, Fraction(1), Fraction(0), Deadline(), Deadline(), 1, 0, 0)
    answer = solver.solve(task)
    assert answer.verdict is Verdict.REFUSED
    assert answer.reason.startswith("is too large: ")


def test_proven_layers_have_no_reason():
    result = eplb_opt.plan(Problem([[4, 3, 2, 1], [90, 61, 3, 1]], 6, 3), time_limit=30)
    assert result.status == ["optimal"] * 2
    assert result.reasons == ["", ""]
    assert not result.messages


def test_layers_that_are_left_alone_say_why():
    result = eplb_opt.plan(PROBLEM, effort=1, target_gap=10.0)
    assert set(result.reasons) == {"the gap is at most the one that was asked for"}
    assert "6 of 6 layers" in result.messages[-1]


def test_many_groups_are_not_told_one_by_one():
    reasons = Reasons(["only"], 20)
    for layer_idx in range(20):
        reasons.failed("only", layer_idx, ValueError(layer_idx))
    ends = {layer_idx: f"end {layer_idx}" for layer_idx in range(20)}
    told = reasons.about_heuristics(ends)
    assert len(told) == MOST_GROUPS + 1
    assert told[-1].startswith(f"{20 - MOST_GROUPS} more layers")
    assert reasons.messages() == ["only failed: ValueError: 0 (layers 0-19)"]


@pytest.mark.parametrize("workers", [1, 4])
def test_reasons_do_not_depend_on_who_finished_first(monkeypatch, workers):
    use_stages(monkeypatch, refusing("one", "is too small: 3"), raising("two", OSError("no luck")))
    result = eplb_opt.plan(PROBLEM, effort=1, workers=workers)
    assert set(result.reasons) == {
        "no search had an answer for them; one is too small: 3; two failed: OSError: no luck"
    }
