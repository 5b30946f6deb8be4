"""Counts and scales leave no optimal plan out."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from eplb_opt.errors import PlanError
from eplb_opt.exact.counts.formulation import formulate, list_choices
from eplb_opt.exact.counts.ranges import fewest_replicas, most_on_a_gpu, most_replicas
from eplb_opt.exact.shared.loads import loads_within
from eplb_opt.exact.shared.scaling import Scale, ScaleLimits, choose_scale
from eplb_opt.placement import scoring
from eplb_opt.placement.checker import check
from eplb_opt.problem.problem import Problem
from tests.exact.instances import random_tiny
from tests.exact.starts import round_robin


@pytest.mark.parametrize("seed", range(40))
def test_count_range_holds_every_plan_that_is_no_worse(seed: int) -> None:
    # A range narrower by one makes a solver's bound false.
    problem = random_tiny(seed)
    plans = random_plans(problem, np.random.default_rng(seed))
    values = scoring.largest_gpu_loads(
        np.repeat(problem.load, len(plans), axis=0), plans, problem.num_gpus
    )
    upper = sorted(values)[len(values) // 2]
    if not upper:
        return
    choices = list_choices(problem, upper)
    most = most_on_a_gpu(problem, choices.loads, choices.expert, choices.count)
    pairs = zip(choices.expert.tolist(), choices.count.tolist(), strict=True)
    allowed = dict(zip(pairs, most.max(axis=1).tolist(), strict=True))
    for plan, value in zip(plans, values, strict=True):
        for expert, count in enumerate(np.bincount(plan, minlength=problem.num_experts).tolist()):
            if value <= upper:
                on_a_gpu = (plan.reshape(problem.num_gpus, -1) == expert).sum(axis=1).max()
                assert on_a_gpu <= allowed[expert, count]


def random_plans(problem: Problem, rng: np.random.Generator) -> np.ndarray:
    """Valid plans, int64 [num_plans, num_slots]: the start, and its nodes filled at random."""
    plans = [round_robin(problem)]
    for _ in range(200):
        nodes = plans[0].copy().reshape(problem.num_nodes if problem.is_hierarchical else 1, -1)
        for node in nodes:
            experts = np.unique(node)
            spare = rng.choice(experts, node.size - experts.size)
            node[:] = rng.permutation(np.concatenate([experts, spare]))
        with suppress(PlanError):
            check(problem, nodes.reshape(1, -1))
            plans.append(nodes.ravel())
    return np.array(plans)


def test_count_range_is_the_one_of_the_mathematics() -> None:
    problem = Problem([[100, 30, 0]], 6, 2)
    fewest = fewest_replicas(problem, loads_within(problem, Fraction(40)))
    assert fewest.tolist() == [3, 1, 1]
    assert most_replicas(problem, fewest).tolist() == [4, 2, 2]


def test_exact_scale_makes_every_size_an_integer() -> None:
    sizes = [Fraction(10, 3), Fraction(10, 4), Fraction(6)]
    scale = choose_scale(sizes, Fraction(6), ScaleLimits(load=36))
    assert scale.value == 6
    assert scale.is_exact
    assert all((size * scale.value).denominator == 1 for size in sizes)


def test_scale_takes_out_what_all_loads_share() -> None:
    scale = choose_scale([Fraction(2**40), Fraction(2**39)], Fraction(2**40), ScaleLimits(load=100))
    assert scale.value == Fraction(1, 2**39)


@pytest.mark.parametrize("upper", [Fraction(7, 3), Fraction(10**6), Fraction(2**61)])
def test_scale_stays_within_the_limits(upper: Fraction) -> None:
    sizes = [upper / 7, upper / 11, upper - Fraction(1, 5)]
    limits = ScaleLimits(load=100, total=150)
    scale = choose_scale(sizes, upper, limits)
    assert upper * scale.value <= limits.load
    assert sum(sizes) * scale.value <= 150
    assert upper * scale.value > 20, "the scale wastes what the limits allow"


@pytest.mark.parametrize("value", [Fraction(3), Fraction(1, 7)])
def test_bound_of_the_layer_is_one_of_the_model(value: Fraction) -> None:
    # Taking the given bound as floor(Q L) would cut the optimal plan off: every replica loses
    # up to a unit to rounding.
    scale = Scale(value, Fraction(1, 12))
    for loads in product(range(1, 12), repeat=3):
        size = [Fraction(w, 4) for w in loads]
        rounded = sum(scale.size(w, 4) for w in loads)
        assert scale.to_units(sum(size, Fraction(0)), 3) <= rounded


def test_bound_is_rounded_up_to_what_a_load_can_be() -> None:
    scale = Scale(Fraction(5), Fraction(1, 2))
    assert scale.to_bound(11) == Fraction(5, 2)
    assert scale.to_bound(10) == 2
    assert Scale(Fraction(5), Fraction(1, 2**70)).to_bound(11) == Fraction(11, 5)


def test_t_is_not_cut_off_at_the_start() -> None:
    problem = Problem([[8, 6, 4, 2]], 6, 3)
    f = formulate(list_choices(problem, Fraction(10)), Fraction(0), ScaleLimits(load=2**30))
    assert f.column_upper[0] == 2 * 10 * f.scale.value
