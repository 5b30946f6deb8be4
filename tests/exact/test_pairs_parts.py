"""Counts to plans, options and thresholds of the exact model for two slots a GPU."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from eplb_opt.clock import Deadline
from eplb_opt.core import pairs
from eplb_opt.exact.pairs.bisection import LevelBisection
from eplb_opt.exact.pairs.counts import exact_value, fill, pair_up
from eplb_opt.exact.pairs.fixed_point import ScaledLayer
from eplb_opt.exact.pairs.work_limit import WorkLimit
from eplb_opt.problem.problem import Problem
from eplb_opt.search.starts import first_plan
from tests.exact.pairs_cases import counts_of, random_load


def list_options(layer, level):
    core = pairs.Layer(layer.load, layer.scale_bits, layer.num_slots)
    return pairs.list_options(core, level)


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
    layer = ScaledLayer.of(load, 10)
    value = exact_value(load, counts) * layer.scale
    for level, fits in ((-(-value // 1), True), (value // 1 - 3, False)):
        options = list_options(layer, int(level)) if level > 0 else None
        assert satisfied(options, counts) is fits or value == 0


def chosen(options, counts):
    """The options that take these counts, or None where one is not there."""
    expert = np.repeat(np.arange(len(counts)), np.diff(options.first))
    at = [np.flatnonzero((expert == e) & (options.count == c)) for e, c in enumerate(counts)]
    return np.concatenate(at) if all(idx.size for idx in at) else None


def satisfied(options, counts):
    """Whether every balance row holds for the counts."""
    if options is None or (taken := chosen(options, counts)) is None:
        return False
    inside = options.rank[taken][:, None] > np.arange(len(options.threshold))
    return bool((np.where(inside, options.change[taken][:, None], 0).sum(axis=0) >= 0).all())


def test_integer_proof_is_at_most_the_replicas_of_any_counts_that_fit():
    for seed in range(30):
        load = random_load(seed, 4)
        if not load.any():
            continue
        layer = ScaledLayer.of(load, 10)
        counts = counts_of(np.random.default_rng(seed), 4, 10)
        level = int(-(-exact_value(load, counts) * layer.scale // 1))
        options = list_options(layer, level)
        need = options.need()
        price = np.random.default_rng(seed).integers(0, 2**24, len(need))
        price[need <= 0] = 0
        value, excess = options.prove(price)
        assert value + excess[chosen(options, counts)].sum() <= 10 * 2**24


@pytest.mark.parametrize(("num_slots", "moves_first"), [(128, True), (44, False)])
def test_counts_are_moved_before_levels_are_asked_where_no_replica_need_be_large(
    monkeypatch, num_slots, moves_first
):
    load = np.random.default_rng(0).lognormal(0, 1, (1, 32)) * 1000
    problem = Problem(load.astype(np.int64), num_slots, num_slots // 2)
    counts = np.bincount(first_plan(problem)[0], minlength=32)
    search = LevelBisection(problem.load[0], counts, Fraction(0), WorkLimit(Deadline(), 1000))
    at_the_start, when_asked = search.upper, []

    def ask_nothing(self, coarse):
        when_asked.append(self.upper)
        return False

    monkeypatch.setattr(LevelBisection, "_sweep", ask_nothing)
    search._first_pass()
    assert (when_asked[0] < at_the_start) == moves_first
    assert search.upper < at_the_start
