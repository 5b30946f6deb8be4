"""The exact model for two slots a GPU."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest

from eplb_opt.certificates import verify
from eplb_opt.clock import Deadline
from eplb_opt.exact.pairs.model import PairsLayer, PairsModel, PairsParams
from eplb_opt.placement import scoring
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.problem import Problem
from tests.exact.instances import TINY, WORKED
from tests.exact.pairs_cases import best_value, lognormal, random_pairs
from tests.exact.starts import round_robin, water_filled
from tests.oracle import optimum

PAIRS = [
    kind
    for kind, problem in TINY.items()
    if problem.slots_per_gpu == 2 and not problem.is_hierarchical and problem.colocation == "allow"
]


def solve(problem, start=None, seconds=30.0, params=PairsParams(), **limits):  # noqa: B008
    start = round_robin(problem) if start is None else start
    deadline = Deadline.after(seconds)
    return PairsModel(params)(problem, start, Fraction(0), deadline, **limits)


def value(problem, answer):
    plan = Plan(answer.physical_to_logical[None, :], problem.num_gpus, problem.num_experts)
    plan.check(problem)
    return plan.objectives(problem)[0]


def assert_proven(problem, answer, best):
    assert value(problem, answer) == best == answer.lower_bound
    if answer.certificate is not None:
        assert verify(problem, answer.certificate) <= best


@pytest.mark.parametrize("kind", PAIRS)
def test_model_agrees_with_the_oracle(kind):
    assert_proven(TINY[kind], solve(TINY[kind]), optimum(TINY[kind])[0])


@pytest.mark.parametrize("example", [name for name in WORKED if "hierarchical" not in name])
def test_worked_example_is_solved_to_its_proven_optimum(example):
    problem, (top, bottom) = WORKED[example]
    assert_proven(problem, solve(problem), Fraction(top, bottom))


def test_model_agrees_with_brute_force_over_counts_on_hundreds_of_problems():
    for seed in range(400):
        problem = random_pairs(seed)
        assert_proven(problem, solve(problem), best_value(problem))


@pytest.mark.parametrize("max_nodes", [1, 1000], ids=["labels decide", "the tree decides"])
def test_either_way_to_decide_agrees_with_brute_force(max_nodes):
    params = PairsParams(first_nodes=max_nodes, max_nodes=max_nodes, certify_nodes=0)
    for seed in range(60):
        problem = random_pairs(seed)
        assert_proven(problem, solve(problem, params=params), best_value(problem))


def test_layer_of_a_real_size_is_solved_with_a_certificate_of_its_optimum():
    problem = lognormal(1.0, 0, 256, 288)
    answer = solve(problem, water_filled(problem))
    assert value(problem, answer) == answer.lower_bound == answer.certificate.bound
    assert verify(problem, answer.certificate) == answer.lower_bound


def test_mild_skew_needs_branches_and_is_solved():
    problem = lognormal(0.4, 2, 48, 60)
    answer = solve(problem)
    assert value(problem, answer) == answer.lower_bound


def test_deadline_holds_and_bound_and_plan_stay_true():
    problem = lognormal(0.5, 2, 256, 288)
    start = water_filled(problem)
    for seconds in (0.05, 0.2, 0.5):
        begin = time.monotonic()
        answer = solve(problem, start, seconds)
        assert time.monotonic() - begin < seconds + 0.4
        before = scoring.largest_gpu_loads(problem.load, start[None, :], 144)[0]
        assert answer.lower_bound <= value(problem, answer) <= before


@pytest.mark.parametrize("effort", [0, 30, 400])
def test_effort_gives_the_same_answer_twice(effort):
    problem = lognormal(0.5, 1, 128, 144)
    first, second = (solve(problem, seconds=0.0, effort=effort, seed=3) for _ in range(2))
    assert first.physical_to_logical.tolist() == second.physical_to_logical.tolist()
    assert first.lower_bound == second.lower_bound
    assert first.message == second.message
    assert first.certificate == second.certificate


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (Problem([[5, 4, 3]], 6, 2), "3 slots a GPU"),
        (Problem([[5, 4, 3]], 6, 3, colocation="forbid"), "flat problems"),
        (Problem([[5, 4, 3, 9]], 8, 4, num_nodes=2, num_groups=2), "flat problems"),
    ],
)
def test_what_does_not_apply_is_refused(problem, reason):
    answer = solve(problem)
    assert answer.refused
    assert reason in answer.message
    assert answer.lower_bound == 0


def test_layer_too_large_for_the_memory_is_refused():
    answer = solve(lognormal(0.5, 0, 32, 40), params=PairsParams(max_options=100))
    assert answer.refused
    assert "more than 100" in answer.message


def test_start_that_meets_the_bound_is_returned():
    problem = Problem([[10, 10]], 4, 2)
    start = np.array([0, 1, 0, 1])
    answer = PairsModel()(problem, start, Fraction(10), Deadline.after(0))
    assert answer.physical_to_logical.tolist() == start.tolist()
    assert answer.lower_bound == 10


def test_start_is_kept_where_nothing_is_better():
    problem = Problem([[10, 10, 10, 10]], 4, 2)
    start = np.array([3, 0, 1, 2])
    assert solve(problem, start).physical_to_logical.tolist() == start.tolist()


def test_relabelling_keeps_the_optimum_and_doubling_doubles_it():
    problem = lognormal(0.5, 4, 24, 32)
    best = solve(problem).lower_bound
    assert solve(Problem(problem.load[:, ::-1], 32, 16)).lower_bound == best
    assert solve(Problem(2 * problem.load, 32, 16)).lower_bound == 2 * best


def test_level_that_labels_closed_gets_a_certificate_where_some_nodes_can_give_one():
    params = PairsParams(first_nodes=1)
    proven = 0
    for seed in range(12):
        problem = lognormal(0.5, seed, 20, 28)
        answer = solve(problem, params=params)
        proven += verify(problem, answer.certificate) == answer.lower_bound
    assert proven > 8


def test_many_short_turns_come_to_the_proven_optimum_and_never_step_back():
    problem = lognormal(0.7, 3, 128, 144)
    start = water_filled(problem)
    whole = solve(problem, start, 60)
    layer = PairsLayer(problem, PairsParams())
    low, high = Fraction(0), None
    num_turns = 0
    while num_turns < 60:
        num_turns += 1
        answer = layer.run(start, low, Deadline(), 4)
        assert answer.lower_bound >= low
        low, start = answer.lower_bound, answer.physical_to_logical
        found = value(problem, answer)
        assert low <= found
        assert high is None or found <= high
        high = found
        if low == high:
            break
    assert low == high == whole.lower_bound
    assert num_turns > 3


def test_turn_takes_over_a_better_plan_and_bound_found_elsewhere():
    problem = lognormal(0.5, 2, 128, 144)
    best = solve(problem, water_filled(problem), 60)
    layer = PairsLayer(problem, PairsParams())
    layer.run(water_filled(problem), Fraction(0), Deadline(), 0)
    bound = best.lower_bound * Fraction(999, 1000)
    answer = layer.run(best.physical_to_logical, bound, Deadline(), 0)
    assert answer.physical_to_logical.tolist() == best.physical_to_logical.tolist()
    assert bound <= answer.lower_bound <= best.lower_bound


def test_numbers_beyond_64_bits_are_exact():
    load = np.array([2**60 + 1, 2**60, 2**60 - 5, 7, 3])
    answer = solve(problem := Problem(load[None, :], 10, 5))
    assert_proven(problem, answer, best_value(problem))
