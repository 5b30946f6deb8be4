"""The exact model of layers with senders, against brute force over all plans and draws."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings

import eplb_opt
from eplb_opt.clock import Deadline
from eplb_opt.errors import ProblemError
from eplb_opt.exact.senders import columns
from eplb_opt.exact.senders.model import shift
from eplb_opt.exact.senders.solver import SenderModelSolver
from eplb_opt.placement import scoring
from eplb_opt.placement.senders import MOST, senders
from eplb_opt.planner.conditions import stands_in_few_shapes
from eplb_opt.problem.problem import Problem
from eplb_opt.search.starts import first_plan
from eplb_opt.solver import Options, Task, Verdict
from tests.sender_oracle import every_plan, least_worth, sent_problems

pytest.importorskip("ortools")


def task_of(problem, effort):
    start = first_plan(problem)
    return Task(
        layer_idx=0,
        problem=problem,
        start=start[0],
        objective=scoring.layer_objectives(problem, start)[0],
        lower_bound=Fraction(0),
        deadline=Deadline.after(None),
        call_deadline=Deadline.after(None),
        effort=effort,
        seed=0,
        attempt=0,
    )


def solved(problem, effort=100_000):
    task = task_of(problem, effort)
    return SenderModelSolver(problem, Options()).solve(task), task


def best_of(problem, answer, task):
    """What the better of the start and the answer is worth."""
    rows = [task.start, *([] if answer.placed is None else [answer.placed])]
    copies = problem.repeated(0, len(rows))
    eplb_opt.Plan(np.array(rows), problem.num_gpus, problem.num_experts).check(copies)
    return min(scoring.layer_objectives(copies, np.array(rows)))


@settings(max_examples=40, deadline=None)
@given(sent_problems())
def test_the_model_finds_the_best_plan_and_its_bound_is_below_every_draw(problem):
    assume(problem.gpu_speed is None and problem.load.any())
    rows = every_plan(problem)
    assume(0 < len(rows) <= 1500)
    answer, task = solved(problem)
    assert answer.verdict is Verdict.FINISHED
    copies = problem.repeated(0, len(rows))
    assert best_of(problem, answer, task) == min(scoring.layer_objectives(copies, rows))
    least = least_worth(problem) if len(rows) <= 200 else min(scoring.objectives(copies, rows))
    assert answer.bound.value <= least
    if len(rows) <= 200:  # the model's bound is the best draw of the best plan
        assert answer.bound.value in (least, task.objective)


@pytest.mark.parametrize("dispatch", ["nearest", "rank_modulo"])
@pytest.mark.parametrize(
    "rules",
    [
        {"pinned": [(3, 0)], "forbidden": [(0, 2), (1, 2)]},
        {"spread": "gpu", "num_slots": 12},
        {"spread": "node", "num_nodes": 2, "num_gpus": 4, "num_slots": 12},
        {"gpu_slots": [1, 3, 3], "num_slots": 9},
        {"active_gpus": np.array([True, False, True, True]), "num_gpus": 4, "num_slots": 8},
        {"active_gpus": np.array([True, False, True, True]), "num_gpus": 4, "num_slots": 8}
        | {"num_nodes": 2},
    ],
)
def test_rules_of_gpus_hold_in_the_model(dispatch, rules):
    sizes = {"num_slots": 6, "num_gpus": 3} | rules
    problem = Problem([[11, 7, 3, 2]], dispatch=dispatch, **sizes)
    assert stands_in_few_shapes(problem)
    answer, task = solved(problem)
    assert answer.verdict is Verdict.FINISHED
    rows = ruled_rows(problem)
    copies = problem.repeated(0, len(rows))
    assert best_of(problem, answer, task) == min(scoring.layer_objectives(copies, rows))
    assert answer.bound.value <= min(scoring.objectives(copies, rows))


def ruled_rows(problem):
    """Every plan, int64 [num, num_slots], with -1 in closed slots."""
    from tests.oracle import ruled_plans

    rows = []
    for plan in ruled_plans(problem):
        if {e for gpu in plan for e in gpu} != set(range(problem.num_experts)):
            continue
        size = problem.slots_per_gpu
        rows.append([e for gpu in plan for e in [*gpu, *[-1] * (size - len(gpu))]])
    return np.array(rows)


@settings(max_examples=60, deadline=None)
@given(sent_problems())
def test_shapes_have_the_senders_that_plans_have(problem):
    # Another way to count than the score's: by expert, from the GPUs that hold it.
    shapes = {shape.gpus: dict(shape.sent) for shape in columns.shapes(problem, is_drawn=False)}
    for row in every_plan(problem)[::97]:
        sent = senders(problem, row[None], MOST)[0]
        for expert in range(problem.num_experts):
            gpus = np.flatnonzero(row == expert) // problem.slots_per_gpu
            counted = np.bincount(gpus, weights=sent[row == expert], minlength=problem.num_gpus)
            listed = shapes[tuple(gpus.tolist())]
            assert all(counted[g] == listed.get(g, 0) for g in range(problem.num_gpus))


def test_huge_loads_are_rounded_to_the_safe_side():
    load = [[2**58 + 12345, 2**57 + 999, 2**57 + 31, 2**56 + 7, 5]]
    for dispatch in ("nearest", "rank_modulo"):
        problem = Problem(load, 8, 4, dispatch=dispatch)
        assert shift(problem) > 0
        answer, task = solved(problem)
        best = best_of(problem, answer, task)
        assert answer.bound.value <= best
        assert float(best / answer.bound.value) < 1 + 1e-9 or dispatch == "nearest"


def test_small_models_are_proven_optimal_by_plan():
    load = np.array([[40, 30, 20, 10, 2, 2, 1, 1], [5, 5, 5, 5, 5, 5, 5, 5]])
    problem = Problem(load, 12, 4, dispatch="rank_modulo")
    result = eplb_opt.plan(problem, effort=20_000)
    assert result.status == ["optimal", "optimal"]
    assert (result.objective == result.lower_bound).all()


def test_large_layers_have_no_turn_of_the_model():
    load = np.random.default_rng(0).integers(1, 99, (1, 64))
    problem = Problem(load, 96, 16, dispatch="nearest")
    assert not stands_in_few_shapes(problem)
    assert solved(problem)[0].verdict is Verdict.REFUSED


def test_a_layer_that_no_plan_can_obey_has_no_first_plan():
    problem = Problem([[1, 1]], 2, 2, forbidden=[(0, 0), (0, 1)], dispatch="nearest")
    with pytest.raises(ProblemError):
        first_plan(problem)
