"""The search where every expert keeps a replica at home, and where it begins."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Problem, Topology
from eplb_opt.bounds.node_prices import PricedNodes
from eplb_opt.bounds.priced_choices import PricedChoices, Solution
from eplb_opt.certificates import verify
from eplb_opt.clock import Deadline
from eplb_opt.placement import checker, homes, scoring
from eplb_opt.planner.conditions import has_anchors
from eplb_opt.problem.node_kinds import strict_problem
from eplb_opt.search.annealing.anchored import AnchoredSolver
from eplb_opt.search.rounded import rounded_plan
from eplb_opt.search.starts import first_plan
from eplb_opt.search.strict import StrictSolver
from eplb_opt.solver import Options, Task, Verdict
from tests.bounds.test_topology_bound import tiny_problems
from tests.homes_oracle import home_optimum


def skewed(**terms):
    load = np.random.default_rng(1).lognormal(4, 1.3, (1, 32)).astype(np.int64)
    given = {"num_slots": 48, "num_gpus": 8, "num_nodes": 4, "num_groups": 8}
    return Problem(load, **(given | terms), topology=Topology(0.3, anchored=True))


def task_of(problem, effort=100, start=None):
    start = first_plan(problem)[0] if start is None else start
    return Task(
        layer_idx=0,
        problem=problem,
        start=start,
        objective=scoring.objectives(problem, start[None])[0],
        lower_bound=1,
        deadline=Deadline(),
        call_deadline=Deadline(),
        effort=effort,
        seed=0,
        attempt=0,
    )


def test_a_turn_is_near_what_it_proves():
    problem = skewed()
    answer = AnchoredSolver(problem, Options()).solve(task_of(problem))
    assert answer.certificate.kind == "node_prices"
    assert verify(problem, answer.certificate) == answer.bound.value
    found = scoring.objectives(problem, answer.placed[None])[0]
    assert answer.bound.value <= found <= answer.bound.value * 1.03


@settings(max_examples=60, deadline=None)
@given(tiny_problems())
def test_the_turn_of_a_tiny_problem_obeys_it_and_is_above_its_bound(problem):
    if problem is None or not has_anchors(problem) or not problem.load.any():
        return
    answer = AnchoredSolver(problem, Options()).solve(task_of(problem, effort=40))
    checker.check(problem, answer.placed[None])
    if answer.bound is not None:
        assert answer.bound.value <= home_optimum(problem)


def test_a_turn_keeps_a_limit_that_no_price_is_on():
    problem = skewed()
    tight = problem.with_topology(replace(problem.topology, max_off_home=0.02))
    placed = AnchoredSolver(tight, Options()).solve(task_of(tight)).placed
    checker.check(tight, placed[None])


def test_a_turn_goes_on_from_a_better_plan_of_others():
    problem = skewed()
    best = AnchoredSolver(problem, Options()).solve(task_of(problem)).placed
    solver = AnchoredSolver(problem, Options())
    solver.solve(task_of(problem, effort=1))
    again = solver.solve(task_of(problem, effort=1, start=best)).placed
    assert scoring.objectives(problem, again[None]) <= scoring.objectives(problem, best[None])


def test_the_rounded_solution_keeps_anchors_and_fills_every_node():
    for colocation in ("allow", "forbid"):
        problem = skewed(colocation=colocation)
        layer = PricedNodes(problem)
        known = scoring.objectives(problem, first_plan(problem))[0]
        choices = PricedChoices(layer, layer.scale // 8, layer.units_of(known))
        while not choices.is_done:
            choices.step(Deadline())
        choice = choices.least
        placed = rounded_plan(problem, choices.solutions[choice], layer.homes[choice])
        checker.check(problem, placed[None])
        assert scoring.objectives(problem, placed[None])[0] < known


def test_a_rounded_solution_with_too_few_replicas_is_filled_up():
    problem = skewed()
    nobody = Solution(np.ones(32, dtype=np.int64), np.ones(32, dtype=bool))
    home = np.arange(32) // 8
    placed = rounded_plan(problem, nobody, home)
    checker.check(problem, placed[None])
    assert homes.off_home(problem, placed[None]) == [0]


def test_plans_on_one_node_are_searched_where_they_are_plans():
    problem = skewed()
    answer = StrictSolver(problem, Options()).solve(task_of(problem))
    assert homes.off_home(problem, answer.placed[None]) == [0]
    before = scoring.objectives(problem, first_plan(problem))
    assert scoring.objectives(problem, answer.placed[None]) <= before
    assert strict_problem(skewed(num_groups=6)) is None


@pytest.mark.parametrize(
    "rules", [{"homes": np.arange(32) // 8}, {"nodes": [0, 0, 1, 1, 2, 2, 3, 3]}]
)
def test_there_are_none_where_homes_are_given_or_nodes_differ(rules):
    problem = skewed()
    asked = problem.with_topology(replace(problem.topology, **rules))
    assert strict_problem(asked) is None
    verdict = StrictSolver(asked, Options()).solve(task_of(problem)).verdict
    assert verdict is Verdict.REFUSED
