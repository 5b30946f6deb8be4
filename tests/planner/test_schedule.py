"""The tables of the schedule, and what solvers of problems that are not plain bring."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem, ProblemError, Topology
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.clock import Deadline
from eplb_opt.exact.model_solver import ModelSolver
from eplb_opt.exact.scenario_solvers import (
    JointLevelsSolver,
    JointPairsSolver,
    ScenarioBoundsSolver,
)
from eplb_opt.placement import scoring
from eplb_opt.planner.schedule import ORDERS, SOLVERS, Share, schedule
from eplb_opt.search.starts import first_plan
from eplb_opt.solver import Options, Task, Verdict
from tests.oracle import optimum, ruled_optimum, scenario_optimum

PAIRS = np.array([[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86]])
RIVALS = [[[90, 2, 2, 2, 2, 2]], [[2, 90, 2, 2, 2, 2]]]


def task_of(problem, seconds=20.0, effort=None):
    start = first_plan(problem)
    return Task(
        layer_idx=0,
        problem=problem,
        start=start[0],
        objective=scoring.objectives(problem, start)[0],
        lower_bound=fast_bounds(problem)[0].value,
        deadline=Deadline.after(seconds),
        call_deadline=Deadline.after(seconds),
        effort=effort,
        seed=0,
        attempt=0,
    )


@pytest.mark.parametrize("objective", ["mean", "max"])
def test_a_small_call_with_scenarios_ends_in_a_proof(objective):
    problem = Problem([[[9, 4, 3, 1]], [[2, 8, 3, 3]]], 6, 2, objective=objective)
    result = eplb_opt.plan(problem, time_limit=30)
    assert result.status == ["optimal"]
    assert result.bounds[0].objective == scenario_optimum(problem)[0]


def test_a_small_call_with_gpu_rules_ends_in_a_proof():
    problem = Problem(
        [[9, 4, 3, 1]], 9, 3, gpu_slots=[3, 2, 1], gpu_speed=[1, 2, 1], forbidden=[(0, 2)]
    )
    result = eplb_opt.plan(problem, time_limit=30)
    assert result.status == ["optimal"]
    assert result.bounds[0].objective == ruled_optimum(problem)[0]


def test_one_scenario_is_bounded_by_the_engine_of_its_load():
    problem = Problem(PAIRS[None], 16, 8)
    outcome = ScenarioBoundsSolver(problem, Options()).solve(
        task_of(problem, seconds=None, effort=100)
    )
    best = optimum_of_pairs()
    assert outcome.bound.source == "scenarios"
    assert fast_bounds(problem)[0].value < outcome.bound.value
    assert outcome.bound.value == best * 8 / int(PAIRS.sum())


def optimum_of_pairs():
    """Proven elsewhere by brute force: the worked example's optimum."""
    result = eplb_opt.plan(Problem(PAIRS, 16, 8), effort=20)
    assert result.status == ["optimal"]
    return result.bounds[0].objective


@pytest.mark.parametrize(
    ("solver", "source"),
    [(JointLevelsSolver, "scenario_water"), (JointPairsSolver, "scenario_pairs")],
)
def test_solvers_of_bounds_give_a_bound_and_what_proves_it(solver, source):
    problem = Problem(RIVALS, 8, 4)
    outcome = solver(problem, Options()).solve(task_of(problem))
    assert outcome.bound.source == source == outcome.certificate.kind
    assert outcome.bound.value == outcome.certificate.bound
    assert outcome.bound.value <= scoring.objectives(problem, first_plan(problem))[0]


def test_counted_work_knows_no_clock():
    # The division of pairs ends by the clock alone, so it has no place in a reproducible call.
    assert not SOLVERS["joint_pairs"].pace.with_effort
    first, second = (eplb_opt.plan(Problem(RIVALS, 8, 4), effort=3) for _ in range(2))
    assert first.bounds == second.bounds


def test_a_model_too_large_for_a_solver_is_left_to_the_search():
    load = np.random.default_rng(0).lognormal(5, 1, (2, 1, 128)).astype(np.int64)
    problem = Problem(load, 160, 32)
    answer = ModelSolver(problem, Options()).solve(task_of(problem))
    assert answer.verdict is Verdict.REFUSED


def test_an_unknown_model_is_refused_before_anything_runs():
    problem = Problem(RIVALS, 8, 4)
    with pytest.raises(ProblemError, match="known: cpsat, milp"):
        schedule(problem, Options(model="simplex"))


def test_the_oracle_of_one_load_agrees_with_one_scenario():
    problem = Problem([[[7, 5, 3, 2]]], 6, 3)
    alone = optimum(problem.scenario(0))[0]
    assert scenario_optimum(problem)[0] == alone * 3 / 17


def test_every_name_of_an_order_is_a_solver_and_every_solver_has_its_order():
    named = {
        entry.name if isinstance(entry, Share) else entry for _, names in ORDERS for entry in names
    }
    assert named == set(SOLVERS)


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_of_the_table_can_be_made(name):
    module, attribute = SOLVERS[name].solver.split(":")
    made = getattr(import_module(module), attribute)(Problem(PAIRS, 16, 8), Options())
    assert callable(made.solve)


@pytest.mark.parametrize(
    ("problem", "names"),
    [
        (Problem(PAIRS, 24, 8), ["search", "config_lp", "cpsat"]),
        (Problem(PAIRS, 16, 8), ["enumeration", "pairs", "config_lp", "search", "cpsat"]),
        (Problem(PAIRS, 12, 12), ["enumeration", "search", "config_lp", "cpsat"]),
        (Problem(PAIRS, 24, 8, num_nodes=2, num_groups=4), ["search", "nodes", "cpsat"]),
        (
            Problem(PAIRS, 16, 8, num_nodes=2, num_groups=4),
            ["enumeration", "nodes", "search", "cpsat"],
        ),
        (
            Problem(PAIRS, 24, 8, num_nodes=2, num_groups=4, gpu_speed=[1] * 4 + [0.5] * 4),
            ["nodes_first", "nodes_model", "nodes_search"],
        ),
        (Problem(PAIRS, 24, 8, dispatch="optimal"), ["design", "cpsat", "redesign"]),
        (Problem(PAIRS, 24, 8, dispatch="rank_modulo"), ["senders_first", "senders"]),
        (
            Problem(PAIRS, 24, 8, num_nodes=2, num_groups=4, topology=Topology()),
            ["homes_first", "home_model", "homes"],
        ),
        (
            Problem(PAIRS, 16, 8, num_nodes=2, num_groups=2, topology=Topology()),
            ["paired_first", "home_model", "home_pairs", "homes"],
        ),
        (
            Problem(PAIRS, 24, 8, num_nodes=2, num_groups=4, topology=Topology(anchored=True)),
            ["anchored_first", "strict", "home_model", "anchored"],
        ),
        (
            Problem(RIVALS, 8, 4),
            [
                "annealing_first",
                "cpsat",
                "joint_levels",
                "annealing",
                "scenario_bounds",
                "joint_pairs",
            ],
        ),
    ],
)
def test_the_order_follows_from_the_problem(problem, names):
    assert [stage.name for stage in schedule(problem, Options())] == names


@pytest.mark.parametrize(
    "problem",
    [
        Problem(PAIRS, 16, 8, num_nodes=2, num_groups=4),
        Problem(PAIRS, 24, 8, num_nodes=2, num_groups=4),
        Problem(RIVALS, 8, 4),
        Problem(PAIRS, 16, 8),
        Problem(PAIRS, 24, 8, gpu_speed=[1, 1, 1, 1, 2, 2, 2, 2]),
        Problem(PAIRS, 24, 8, dispatch="optimal"),
        Problem(PAIRS, 24, 8, 2, dispatch="nearest"),
    ],
)
def test_under_a_clock_something_is_searched_before_any_backend_is_loaded(problem):
    stages = schedule(problem, Options())
    first = next((stage for stage in stages if stage.all_at_first), stages[0])
    assert first.name not in ("cpsat", "nodes", "scenario_bounds")
