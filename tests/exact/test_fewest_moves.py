"""Scenarios, GPU rules, spread and moves: exact models against every plan there is."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eplb_opt import Problem, ProblemError
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.clock import Deadline
from eplb_opt.errors import PlanError
from eplb_opt.exact import MODELS, get_model
from eplb_opt.exact.fewest_moves import exact_layer, fewest_moves, held_experts, num_moves
from eplb_opt.exact.shared.scaling import ScaleLimits
from eplb_opt.placement import checker, scoring
from eplb_opt.placement.moves import moved_slots
from eplb_opt.placement.plan import Plan
from eplb_opt.search.starts import first_plan
from tests.exact.starts import model_with_its_start
from tests.oracle import moves_of, ruled_optimum, ruled_plans, ruled_worth, scenario_optimum
from tests.strategies import ruled_problems, scenario_problems

#: Where sizes are rounded a bound may miss the optimum by as much, and only downwards.
ROUNDING = Fraction(1, 10**6)


def assert_solved(problem, answer, best):
    checker.check(problem, answer.physical_to_logical[None, :])
    value = scoring.objectives(problem, answer.physical_to_logical[None, :])[0]
    assert answer.lower_bound <= best <= value
    assert value - answer.lower_bound <= best * ROUNDING


@settings(max_examples=50, deadline=None)
@given(scenario_problems(colocations=("allow", "forbid")))
def test_scenarios_are_solved_to_the_optimum_of_all_plans(problem):
    answer = exact_layer(problem, first_plan(problem)[0], Fraction(0), Deadline.after(30))
    assert_solved(problem, answer, scenario_optimum(problem)[0])


@settings(max_examples=200, deadline=None)
@given(ruled_problems(spreads=(None, "gpu", "node")))
def test_gpu_rules_are_solved_to_the_optimum_of_all_plans(arguments):
    problem = problem_with_a_plan(arguments)
    if problem is not None:
        answer = exact_layer(problem, first_plan(problem)[0], Fraction(0), Deadline.after(30))
        assert_solved(problem, answer, ruled_optimum(problem)[0])


def problem_with_a_plan(arguments):
    """The problem, if it stands the door and some plan obeys its rules."""
    try:
        problem = Problem(**arguments)
    except ProblemError:
        return None
    return None if ruled_optimum(problem)[0] is None else problem


@settings(max_examples=40, deadline=None)
@given(scenario_problems(), st.lists(st.floats(1e-3, 1), min_size=3, max_size=3))
def test_weights_that_no_integer_ratio_fits_never_make_a_false_bound(problem, weights):
    loads = problem.load + np.linspace(0, 0.9, problem.num_experts)
    uneven = Problem(
        loads,
        problem.num_slots,
        problem.num_gpus,
        scenario_weights=weights[: problem.num_scenarios],
        objective=problem.objective,
    )
    answer = exact_layer(uneven, first_plan(uneven)[0], Fraction(0), Deadline.after(30))
    assert_solved(uneven, answer, scenario_optimum(uneven)[0])


@settings(max_examples=100, deadline=None)
@given(scenario_problems(colocations=("allow", "forbid")))
def test_rounded_sizes_never_make_a_false_bound_of_scenarios(problem):
    from eplb_opt.exact.cpsat import CpSatModel, CpSatParams

    model = CpSatModel(CpSatParams(limits=ScaleLimits(load=23)))
    answer = model(problem, first_plan(problem)[0], Fraction(0), Deadline.after(30))
    assert answer.lower_bound <= scenario_optimum(problem)[0]


@pytest.mark.parametrize("seed", range(4))
def test_milp_agrees_on_scenarios_and_rules(seed):
    rng = np.random.default_rng(seed)
    load = rng.integers(1, 30, (2, 1, 4))
    scenarios = Problem(load, 6, 2, objective=("mean", "max")[seed % 2])
    ruled = Problem(load[0], 6, 3, gpu_slots=[2, 2, 1], gpu_speed=[1, 2, 1], pinned=[(3, 2)])
    for problem in (scenarios, ruled):
        start = first_plan(problem)[0]
        answers = [get_model(n)(problem, start, Fraction(0), Deadline.after(30)) for n in MODELS]
        values = [scoring.objectives(problem, a.physical_to_logical[None, :])[0] for a in answers]
        assert values[0] == values[1]
        for answer in answers:
            assert values[0] * Fraction(999, 1000) <= answer.lower_bound <= values[0]


@settings(max_examples=200, deadline=None)
@given(st.one_of(scenario_problems(colocations=("allow", "forbid")), ruled_problems()))
def test_the_start_is_a_solution_with_its_own_value(given_problem):
    problem = given_problem
    if isinstance(given_problem, dict):
        problem = problem_with_a_plan(given_problem)
    if problem is None:
        return
    found = model_with_its_start(problem)
    if found is not None:
        f, upper, units = found
        assert upper * (1 - ROUNDING) <= f.to_value(units) <= upper


@st.composite
def moving_problems(draw):
    """A problem, a plan in force that may be of another one, and how many slots may move."""
    arguments = draw(ruled_problems())
    problem = problem_with_a_plan(arguments)
    if problem is None:
        return None
    ids = st.integers(-1, problem.num_experts - 1)
    current = draw(st.lists(ids, min_size=problem.num_slots, max_size=problem.num_slots))
    return problem, current, draw(st.integers(0, 4))


@settings(max_examples=100, deadline=None)
@given(moving_problems())
def test_fewest_moves_and_best_within_moves_equal_those_of_all_plans(case):
    if case is None:
        return
    problem, current, max_moves = case
    load = problem.load[0].tolist()
    known = [
        (ruled_worth(problem, load, plan), moves_of(problem, current, plan))
        for plan in ruled_plans(problem)
    ]
    values = sorted({value for value, _ in known})
    limit = values[len(values) // 2]
    fewest = min(moves for value, moves in known if value <= limit)
    found, bound = fewest_moves(problem, np.array(current), limit, Deadline.after(30))
    checker.check(problem, found[None, :])
    assert scoring.objectives(problem, found[None, :])[0] <= limit
    assert bound == fewest == num_moves(problem, held_experts(problem, np.array(current)), found)
    if fewest <= max_moves:
        answer = exact_layer(
            problem,
            found,
            Fraction(0),
            Deadline.after(30),
            current=np.array(current),
            max_moves=max_moves,
        )
        best = min(value for value, moves in known if moves <= max_moves)
        assert_solved(problem, answer, best)
        held = held_experts(problem, np.array(current))
        assert num_moves(problem, held, answer.physical_to_logical) <= max_moves


def test_moves_are_counted_as_the_result_counts_them():
    # Expert 1 gets a second replica on GPU 0, where it stands already: nothing moves.
    problem = Problem([[3, 9, 1]], 6, 2)
    current, new = np.array([0, 1, 2, 1, 2, 0]), np.array([1, 1, 2, 0, 2, 0])
    told = moved_slots(Plan(current[None, :], 2), Plan(new[None, :], 2))
    assert num_moves(problem, held_experts(problem, current), new) == told[0] == 0


def test_a_start_that_moves_too_much_is_refused():
    problem = Problem([[3, 9, 1, 1]], 4, 2)
    current, start = np.array([0, 1, 2, 3]), np.array([0, 2, 1, 3])
    with pytest.raises(PlanError, match="moves 2 slots; at most 1"):
        exact_layer(problem, start, Fraction(0), Deadline(), current=current, max_moves=1)


def test_a_limit_below_every_plan_is_told():
    problem = Problem([[3, 9, 1, 1]], 4, 2)
    with pytest.raises(ProblemError, match="No plan has an objective of at most 8"):
        fewest_moves(problem, np.array([0, 1, 2, 3]), Fraction(8), Deadline())
    # Above mean and water level, and below what any plan reaches.
    assert fast_bounds(problem)[0].value <= Fraction(19, 2)
    with pytest.raises(ProblemError, match="at most 9"):
        fewest_moves(problem, np.array([0, 1, 2, 3]), Fraction(19, 2), Deadline())


def test_scenarios_without_any_load_are_optimal_at_once():
    problem = Problem(np.zeros((2, 1, 3)), 4, 2)
    start = first_plan(problem)[0]
    assert exact_layer(problem, start, Fraction(0), Deadline()).lower_bound == 1


def test_models_of_one_load_refuse_the_others():
    from eplb_opt.exact import SPECIALISTS, get_specialist

    problem = Problem([[[3, 9, 1, 1]], [[1, 1, 1, 1]]], 4, 2)
    for name in sorted(set(SPECIALISTS) - {"nodes"}):
        with pytest.raises(ProblemError, match="takes one load and GPUs that are alike"):
            get_specialist(name)(problem, np.array([0, 1, 2, 3]), Fraction(0), Deadline())
