"""Few experts, or one slot a GPU, without a solver."""

from __future__ import annotations

import time
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from eplb_opt.clock import Deadline
from eplb_opt.exact.enumeration import EnumerationModel, EnumerationParams, compositions
from eplb_opt.placement.checker import check
from eplb_opt.placement.scoring import largest_gpu_loads
from eplb_opt.problem.problem import Problem
from tests.exact.instances import TINY, WORKED
from tests.exact.pairs_cases import best_value, random_load, random_pairs
from tests.exact.starts import round_robin, water_filled
from tests.oracle import optimum


def solve(problem, params=EnumerationParams(), seconds=30.0, **limits):  # noqa: B008
    model = EnumerationModel(params)
    return model(problem, round_robin(problem), Fraction(0), Deadline.after(seconds), **limits)


def assert_proven(problem, answer, best):
    placed = answer.physical_to_logical[None, :]
    check(problem, placed)
    assert largest_gpu_loads(problem.load, placed, problem.num_gpus)[0] == best
    assert answer.lower_bound == best


@pytest.mark.parametrize("kind", TINY)
def test_enumeration_agrees_with_the_oracle_or_refuses(kind):
    problem = TINY[kind]
    applies = problem.slots_per_gpu == 1 or (
        problem.slots_per_gpu == 2 and problem.colocation == "allow"
    )
    if applies and not problem.is_hierarchical:
        assert_proven(problem, solve(problem), optimum(problem)[0])
    else:
        assert solve(problem).refused


@pytest.mark.parametrize("example", [name for name in WORKED if "hierarchical" not in name])
def test_worked_example_is_solved(example):
    problem, (top, bottom) = WORKED[example]
    if problem.num_experts <= 8:
        assert_proven(problem, solve(problem), Fraction(top, bottom))


def test_two_slots_agree_with_brute_force_on_hundreds_of_problems():
    for seed in range(300):
        problem = random_pairs(seed)
        assert_proven(problem, solve(problem), best_value(problem))


@pytest.mark.parametrize("seed", range(40))
def test_one_slot_a_gpu_agrees_with_the_oracle(seed):
    rng = np.random.default_rng(seed)
    num_gpus = int(rng.integers(1, 8))
    load = random_load(seed, int(rng.integers(1, min(num_gpus, 5) + 1)))
    problem = Problem(load[None, :], num_gpus, num_gpus)
    assert_proven(problem, solve(problem), optimum(problem)[0])


def test_layer_like_mixtral_takes_milliseconds():
    problem = Problem([[9100, 14210, 11700, 12080, 12333, 15001, 8800, 13007]], 16, 8)
    start = water_filled(problem)
    begin = time.monotonic()
    answer = EnumerationModel()(problem, start, Fraction(0), Deadline.after(5))
    assert time.monotonic() - begin < 0.5
    assert answer.lower_bound > 0


def test_compositions_are_all_and_different():
    ways = compositions(5, 4)
    assert len({tuple(row) for row in ways.tolist()}) == len(ways) == comb(8, 3)
    assert (ways.sum(axis=1) == 5).all()
    assert ways.min() == 0


def test_too_many_count_vectors_are_refused():
    answer = solve(Problem([[9, 8, 7, 6, 5]], 10, 5), EnumerationParams(max_cells=30))
    assert answer.refused
    assert "more than 3" in answer.message


def test_spent_budget_keeps_the_plan_and_claims_nothing():
    problem = Problem([[9, 8, 7, 6, 5]], 10, 5)
    for limits in ({"seconds": 0.0}, {"effort": 0}):
        answer = solve(problem, **limits)
        check(problem, answer.physical_to_logical[None, :])
        assert answer.lower_bound == 0
        assert "spent" in answer.message


def test_effort_gives_the_same_answer_whatever_the_clock():
    problem = Problem([[9, 8, 7, 6, 5]], 10, 5)
    assert_proven(problem, solve(problem, seconds=0.0, effort=100), best_value(problem))
