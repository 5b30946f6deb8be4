"""Counts to plans, options and rows of the engine for two slots a GPU."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from eplb_opt.models.pairs_cpsat import find_counts
from eplb_opt.models.pairs_lp import DIGITS, prove, solve_lp, tightened
from eplb_opt.models.pairs_options import Layer, list_options

from eplb_opt import bounds
from eplb_opt.deadline import Deadline
from eplb_opt.models.pairs_budget import Budget
from eplb_opt.models.pairs_counts import exact_value, fill, pair_up
from tests.models.pairs_cases import lognormal, random_load


def counts_of(rng, num_experts, num_slots):
    cuts = np.sort(rng.choice(np.arange(1, num_slots), num_experts - 1, replace=False))
    return np.diff(np.concatenate([[0], cuts, [num_slots]]))


def test_heaviest_meets_lightest():
    pairs = pair_up(np.array([12, 9, 4]), np.array([2, 1, 1]))
    assert pairs.tolist() == [[1, 2], [0, 0]]


@pytest.mark.parametrize("seed", range(8))
def test_value_of_counts_is_that_of_their_sorted_fractions(seed):
    rng = np.random.default_rng(seed)
    load = random_load(seed, 5)
    counts = counts_of(rng, 5, 12)
    shares = sorted(
        Fraction(int(w), int(c)) for w, c in zip(load, counts, strict=True) for _ in range(c)
    )
    assert exact_value(load, counts) == max(shares[i] + shares[-1 - i] for i in range(6))


def test_replicas_equal_to_float64_are_ordered_truly():
    load = np.array([2**60 + 1, 2**60, 5, 1])
    pairs = pair_up(load, np.array([1, 1, 1, 1]))
    assert pairs.tolist() == [[0, 3], [1, 2]]


def test_filling_uses_all_slots_and_raises_no_load():
    load = np.array([40, 30, 20, 10])
    filled = fill(load, np.array([1, 1, 1, 1]), 8)
    assert filled.sum() == 8
    assert exact_value(load, filled) <= 40


@pytest.mark.parametrize("seed", range(40))
def test_counts_satisfy_the_rows_where_their_plan_reaches_the_level_and_only_there(seed):
    rng = np.random.default_rng(seed)
    load = random_load(seed, 4)
    counts = counts_of(rng, 4, 10)
    layer = Layer.of(load, 10)
    worth = exact_value(load, counts) * layer.scale
    for level, fits in ((-(-worth // 1), True), (worth // 1 - 3, False)):
        options = list_options(layer, int(level)) if level > 0 else None
        assert satisfied(options, counts) is fits or worth == 0


def satisfied(options, counts):
    """Whether every balance row holds for the counts, tightened and not."""
    if options is None:
        return False
    at = [
        np.flatnonzero((options.expert == e) & (options.count == c)) for e, c in enumerate(counts)
    ]
    if not all(idx.size for idx in at):
        return False
    chosen = np.concatenate(at)
    inside = options.rank[chosen][:, None] > np.arange(len(options.threshold))
    plain = bool((np.where(inside, options.change[chosen][:, None], 0).sum(axis=0) >= 0).all())
    rows = tightened(options, np.arange(len(options.threshold)))
    assert plain == bool((rows.gain[chosen].sum(axis=0) >= rows.need).all())
    return plain


def test_integer_proof_is_at_most_the_replicas_of_any_counts_that_fit():
    for seed in range(30):
        load = random_load(seed, 4)
        if not load.any():
            continue
        layer = Layer.of(load, 10)
        counts = counts_of(np.random.default_rng(seed), 4, 10)
        level = int(-(-exact_value(load, counts) * layer.scale // 1))
        options = list_options(layer, level)
        rows = tightened(options, np.arange(len(options.threshold)))
        prices = np.random.default_rng(seed).integers(0, DIGITS, len(rows.need))
        chosen = [(options.expert == e) & (options.count == c) for e, c in enumerate(counts)]
        proof = prove(options, rows, prices)
        taken = np.logical_or.reduce(chosen)
        assert proof.value + proof.excess[taken].sum() <= 10 * DIGITS


def test_linear_program_and_cpsat_stop_when_the_budget_is_spent():
    problem = lognormal(0.5, 1, 128, 144)
    layer = Layer.of(problem.load[0], 144)
    level = int(bounds.fast_bounds(problem)[0].value * layer.scale) * 101 // 100
    options = list_options(layer, level)
    rows = tightened(options, np.arange(len(options.threshold)))
    assert rows.need.size
    active = np.ones(len(options), dtype=bool)
    assert solve_lp(options, rows, active, 144, Budget(Deadline.after(0))) is None
    assert find_counts(options, 144, Budget(Deadline.after(0)), 1.0, 0) is None
