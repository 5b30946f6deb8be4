"""Plans for groups that stay on nodes whose GPUs differ in speed, slots or number."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

import eplb_opt
from eplb_opt import Problem, ProblemError
from eplb_opt.bounds.topology import home_choices
from eplb_opt.bounds.unlike_nodes import choice_bounds
from eplb_opt.certificates import verify
from eplb_opt.clock import Deadline
from eplb_opt.placement import checker
from eplb_opt.placement.moves import moved_slots
from eplb_opt.placement.scoring import objectives
from eplb_opt.problem.node_kinds import at_home_alone
from eplb_opt.problem.topology import group_of_experts
from eplb_opt.search.annealing.unlike_nodes import UnlikeNodesSolver
from eplb_opt.search.at_home import plan_at_home
from eplb_opt.solver import Options, Task
from tests.bounds.test_unlike_nodes import unlike_nodes
from tests.homes_oracle import bound_nodes_optimum, bound_nodes_scenario_optimum

OPEN = Deadline.after(None)
RULES = {
    "speeds within nodes": {"gpu_speed": [1, 0.5] * 8},
    "nodes of two speeds": {"gpu_speed": [1] * 8 + [0.5] * 8},
    "float speeds": {"gpu_speed": [1, 0.3, 0.9, 0.7] * 3 + [1, 1, 1, 1.1]},
    "unequal losses": {"active_gpus": np.arange(16) != 2},
    "unequal slots": {"gpu_slots": [6] * 12 + [4, 6, 6, 6]},
    "losses and speeds": {"active_gpus": np.arange(16) != 2, "gpu_speed": [1] * 8 + [0.5] * 8},
}


def load(num_layers=2, seed=11):
    rng = np.random.default_rng(seed)
    return (rng.lognormal(0, 1.2, (num_layers, 64)) * 1000).astype(np.int64)


def asked(rule, loads=None, **terms):
    loads = load() if loads is None else loads
    return Problem(loads, 96, 16, 4, 8, **RULES[rule], **terms)


@settings(max_examples=25, deadline=None)
@given(unlike_nodes())
def test_plans_obey_the_rules_and_bounds_hold(problem):
    best = None if problem is None else bound_nodes_optimum(problem)
    if best is None:
        return
    result = eplb_opt.plan(problem, effort=2, workers=1)
    checker.check(problem, result.plan.physical_to_logical)
    assert result.bounds[0].lower <= best <= result.bounds[0].objective


@pytest.mark.parametrize("colocation", ["allow", "forbid"])
@pytest.mark.parametrize("rule", RULES)
def test_the_search_comes_near_to_the_bound(rule, colocation):
    problem = asked(rule, colocation=colocation)
    result = eplb_opt.plan(problem, effort=10)
    checker.check(problem, result.plan.physical_to_logical)
    assert result.messages == ()
    assert result.model_gap < 0.1
    assert (result.objective <= result.starts[0].objective).all()


def test_the_search_leaves_groups_that_are_on_the_wrong_nodes():
    problem = asked("nodes of two speeds", load(1))
    relaxed = at_home_alone(problem)
    choices = home_choices(relaxed)
    bounds = choice_bounds(problem, choices)
    worst = int(np.argmax([float(bound) for bound in bounds]))
    start = plan_at_home(relaxed, choices[worst][group_of_experts(relaxed)])
    solver = UnlikeNodesSolver(problem, Options())
    value = objectives(problem, start[None])[0]
    for attempt in range(3):
        task = Task(0, problem, start, value, Fraction(0), OPEN, OPEN, 4, 0, attempt)
        placed = solver.solve(task).placed
        checker.check(problem, placed[None])
        value = min(value, objectives(problem, placed[None])[0])
    assert value < bounds[worst]


@pytest.mark.parametrize("rule", ["nodes of two speeds", "unequal losses"])
def test_counted_work_gives_the_same_plan_at_any_number_of_workers(rule):
    problem = asked(rule, load(3))
    plans = [eplb_opt.plan(problem, effort=4, workers=w).plan.physical_to_logical for w in (1, 2)]
    assert plans[0].tolist() == plans[1].tolist()


@pytest.mark.parametrize("rule", RULES)
def test_a_plan_in_force_keeps_its_names_and_limits_hold(rule):
    held = eplb_opt.plan(asked(rule), effort=3)
    drift = np.random.default_rng(1).lognormal(0, 0.15, (2, 64))
    problem = asked(rule, (load() * drift).astype(np.int64))
    free = eplb_opt.plan(problem, effort=3, current=held.plan)
    np.testing.assert_array_equal(free.moves, moved_slots(held.plan, free.plan))
    near = eplb_opt.plan(problem, effort=3, current=held.plan, max_moves=6)
    assert near.moves.sum() <= 6
    assert near.messages == ()
    before = eplb_opt.evaluate(problem, held.plan).objective
    assert near.objective.sum() < before.sum()


@pytest.mark.parametrize("objective", ["mean", "max"])
def test_several_loads_are_planned_and_proven_together(objective):
    loads = np.stack([load(1), load(1, seed=12)])
    problem = asked("nodes of two speeds", loads, objective=objective, scenario_weights=[1, 2])
    found = eplb_opt.plan(problem, effort=20)
    checker.check(problem, found.plan.physical_to_logical)
    assert found.model_gap < 0.1
    assert verify(problem, found.certificates[0]) == found.bounds[0].lower
    alone = eplb_opt.plan(asked("nodes of two speeds", loads[0]), effort=20)
    assert found.objective < eplb_opt.evaluate(problem, alone.plan).objective
    near = eplb_opt.plan(problem, effort=5, current=alone.plan, max_moves=8)
    assert near.moves.sum() <= 8
    assert near.messages == ()


@settings(max_examples=20, deadline=None)
@given(unlike_nodes(several=True))
def test_plans_for_several_loads_obey_the_rules(problem):
    best = None if problem is None else bound_nodes_scenario_optimum(problem)
    if best is None:
        return
    result = eplb_opt.plan(problem, effort=2, workers=1)
    checker.check(problem, result.plan.physical_to_logical)
    assert result.bounds[0].lower <= best <= result.bounds[0].objective


def test_a_group_leaves_the_node_that_its_sum_alone_would_choose():
    # The speeds of the second node add up to more, and one of its two slots is slow.
    problem = Problem([[[26, 15, 1, 2]]], 4, 4, 2, 2, gpu_speed=[1, 0.5, 0.1, 3])
    assert eplb_opt.plan(problem, effort=10).objective[0] == pytest.approx(30 * 4.6 / 44)


def test_many_groups_and_nodes_are_searched_too():
    loads = load(1, seed=3)
    problem = Problem(loads, 96, 16, 8, 16, gpu_speed=[1] * 8 + [0.5] * 8)
    result = eplb_opt.plan(problem, effort=10)
    checker.check(problem, result.plan.physical_to_logical)
    assert (result.objective <= result.starts[0].objective).all()


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"dispatch": "optimal"}, 'dispatch other than "uniform"'),
        ({"dispatch": "nearest"}, 'dispatch other than "uniform"'),
        ({"pinned": [(0, 0)]}, "pinned"),
        ({"forbidden": [(0, 0)]}, "forbidden"),
        ({"spread": "gpu"}, "spread"),
        ({"gpu_slots": [6, 4, 2, 2] + [6] * 12}, "Node 0 has 14 slots left, below the 16 experts"),
    ],
)
def test_what_does_not_go_with_it_is_refused_with_the_mend(terms, words):
    given_terms = {"load": load(), "gpu_speed": [1, 0.5] * 8} | terms
    with pytest.raises(ProblemError, match=words) as error:
        Problem(given_terms.pop("load"), 96, 16, 4, 8, **given_terms)
    assert "num_groups=1" in str(error.value)
