"""The core's parts of the engine for two slots a GPU, against tables and brute force."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from eplb_opt.certificates import Certificate, verify
from eplb_opt.clock import Deadline
from eplb_opt.core import pairs
from eplb_opt.exact.pairs.counts import exact_value
from eplb_opt.exact.pairs.fixed_point import ScaledLayer
from eplb_opt.exact.pairs.tree import Tree
from eplb_opt.exact.pairs.work_limit import WorkLimit
from tests.exact.pairs_cases import best_value, counts_of, lognormal, random_pairs
from tests.exact.pairs_table import DIGITS, list_table


def core_layer(layer):
    return pairs.Layer(layer.load, layer.scale_bits, layer.num_slots)


def some_level(seed):
    """A random layer at a random level."""
    rng = np.random.default_rng(seed)
    problem = random_pairs(seed) if seed % 2 else lognormal(1.0, seed, 24, 40)
    layer = ScaledLayer.of(problem.load[0], problem.num_slots)
    mean = 2 * int(problem.load.sum()) / problem.num_slots
    return layer, int(mean * layer.scale * rng.uniform(1.0, 1.5)) + 1


def some_options(seed):
    """Options of the core, some of them struck off, and the table of the same."""
    layer, level = some_level(seed)
    options, table = pairs.list_options(core_layer(layer), level), list_table(layer, level)
    if options is None or table is None:
        assert options is None
        assert table is None
        return None, None
    mask = np.random.default_rng(seed).random(len(options.count)) < 0.6
    mask[options.first[:-1]] = True
    return options.keep(mask), table.keep(mask)


@pytest.mark.parametrize("seed", range(60))
def test_options_are_those_of_the_table(seed):
    layer, level = some_level(seed)
    options, table = pairs.list_options(core_layer(layer), level), list_table(layer, level)
    assert (options is None) == (table is None)
    if options is None:
        return
    for name in ("count", "change", "rank"):
        assert getattr(options, name).tolist() == getattr(table, name).tolist()
    assert options.threshold == table.threshold.tolist()
    assert options.first[:-1].tolist() == table.first.tolist()
    assert core_layer(layer).fewest(level).tolist() == table.count[table.first].tolist()


def test_needs_and_proof_are_those_of_the_table_of_options_and_rows():
    num_tried = 0
    for seed in range(120):
        options, table = some_options(seed)
        if options is None or not len(options.threshold):
            continue
        need = table.rows()[1]
        assert options.need().tolist() == need.tolist()
        price = np.random.default_rng(seed).integers(0, DIGITS, len(need))
        price[need <= 0] = 0
        value, excess = options.prove(price)
        wanted, wanted_excess = table.prove(price)
        assert (value, excess.tolist()) == (wanted, wanted_excess.tolist())
        num_tried += 1
    assert num_tried > 80


def test_ascent_comes_close_to_the_linear_program_and_never_above_it():
    optimize = pytest.importorskip("scipy.optimize")
    problem = lognormal(0.5, 3, 96, 108)
    layer = ScaledLayer.of(problem.load[0], 108)
    level = int(2 * problem.load.sum() / 108 * 1.02 * layer.scale)
    gain, need = (table := list_table(layer, level)).rows()
    one_each = table.expert == np.arange(96)[:, None]
    best = optimize.linprog(table.count, -gain.T, -need, one_each, np.ones(96)).fun
    options = pairs.list_options(core_layer(layer), level)
    value, running, weight = options.climb(np.zeros(len(need)), best, 2000)
    assert best - 0.3 < value <= best + 1e-3
    assert (np.diff(running) >= 0).all()
    assert np.add.reduceat(weight, options.first[:-1]) == pytest.approx(weight.sum() / 96)


def test_tree_reaches_no_level_below_the_optimum_and_closes_none_above():
    num_closed = 0
    rng = np.random.default_rng(7)
    for seed in range(1000):
        problem = random_pairs(seed % 250)
        best = best_value(problem)
        layer = ScaledLayer.of(problem.load[0], problem.num_slots)
        level = max(int(best * layer.scale * Fraction(float(rng.uniform(0.8, 1.1)))), 1)
        tree = Tree(layer, level, WorkLimit(Deadline()), lambda counts: False, np.inf)
        if tree.search(int(rng.choice([1, 50]))) is False:
            num_closed += 1
            bound = Fraction(level, layer.scale)
            assert bound < best
            assert verify(problem, Certificate("pairs", bound, tree.proof(layer.scale))) == bound
    assert num_closed > 400


def test_labels_tell_exactly_whether_a_level_is_reached():
    found, rng = {True: 0, False: 0, None: 0}, np.random.default_rng(11)
    for seed in range(1000):
        problem = random_pairs(seed % 250)
        best = best_value(problem)
        layer = ScaledLayer.of(problem.load[0], problem.num_slots)
        level = max(int(best * layer.scale * Fraction(float(rng.uniform(0.9, 1.1)))), 1)
        tree = pairs.Tree(core_layer(layer), level, math.inf)
        tree.grow(1, math.inf)
        answer = tree.decide(math.inf)
        found[answer] += 1
        if answer is False:
            assert Fraction(level, layer.scale) < best
        if answer is True:
            assert fits(layer, tree.best_counts, level)
        assert answer is not None or tree.is_closed or tree.is_stuck
    assert found[True] > 100


def fits(layer, counts, level):
    """Whether the pairs of these replicas, with empty slots, are of at most the level."""
    pairs_of = zip(layer.load.tolist(), counts.tolist(), strict=True)
    shares = sorted(Fraction(w, c) for w, c in pairs_of for _ in range(c))
    shares = [Fraction(0)] * (layer.num_slots - len(shares)) + shares
    assert len(shares) == layer.num_slots
    return max(map(sum, zip(shares, shares[::-1], strict=True))) * layer.scale < level + 1


def test_labels_decide_at_and_just_below_an_optimum_that_a_tree_proved():
    decided = {True: 0, False: 0}
    for seed in range(30):
        problem = lognormal(0.5, seed, 20, 28)
        layer = ScaledLayer.of(problem.load[0], problem.num_slots)
        best = optimum_by_trees(layer)
        for level, reached in ((best, True), (best - 4, False)):
            tree = pairs.Tree(core_layer(layer), level, 0.0)
            tree.grow(1, math.inf)
            answer = tree.decide(math.inf)
            if tree.is_closed or tree.is_stuck:
                continue
            assert answer is reached
            decided[answer] += 1
    assert min(decided.values()) > 5


def optimum_by_trees(layer):
    """The lowest level that counts reach, in units, by bisection with whole trees."""
    low, high = 1, int(2 * layer.load.max()) * layer.scale
    while low < high:
        middle = (low + high) // 2
        tree = pairs.Tree(core_layer(layer), middle, math.inf)
        is_reached = False
        while not (tree.is_closed or is_reached):
            tree.grow(16, math.inf)
            if tree.has_found:
                value = exact_value(layer.load, tree.best_counts)
                is_reached = value * layer.scale < middle + 1
        low, high = (low, middle) if is_reached else (middle + 1, high)
    return low


def open_level():
    """A layer and a level that its root does not close."""
    problem = lognormal(0.5, 0, 48, 60)
    layer = ScaledLayer.of(problem.load[0], 60)
    return layer, int(2 * problem.load.sum() / 60 * 1.08 * layer.scale)


def test_a_search_in_pieces_of_no_time_is_that_of_one_piece():
    layer, level = open_level()
    whole = pairs.Tree(core_layer(layer), level, 0.0)
    pieces = pairs.Tree(core_layer(layer), level, 0.0)
    num_rounds = num_calls = 0
    for _ in range(20):
        num_rounds += whole.grow(1, math.inf)
    while num_rounds > 0:
        num_rounds -= pieces.grow(1, 0.0)
        num_calls += 1
    assert num_calls > 6
    for name, numbers in whole.trace().items():
        size = len(pieces.trace()[name])
        assert pieces.trace()[name].tolist() == numbers[:size].tolist()


def test_labels_in_pieces_of_little_time_tell_what_one_piece_tells():
    layer, level = open_level()
    trees = [pairs.Tree(core_layer(layer), level, 0.0) for _ in range(2)]
    for tree in trees:
        tree.grow(1, math.inf)
    wanted = trees[0].decide(math.inf)
    answer = None
    for _ in range(100_000):
        answer = trees[1].decide(1e-4)
        if answer is not None or trees[1].has_given_up:
            break
    assert answer == wanted
    assert trees[1].num_labels == trees[0].num_labels > 0


@pytest.mark.parametrize("seed", range(200))
def test_rating_of_a_move_is_that_of_the_sorted_replicas(seed):
    rng = np.random.default_rng(seed)
    counts = counts_of(rng, 6, 16)
    load = rng.integers(0, 12, 6).astype(float) if seed % 2 else rng.lognormal(0, 1, 6)
    giver, taker = (int(e) for e in rng.choice(6, 2, replace=False))
    giver = giver if counts[giver] > 1 else -1
    level = float(2 * load.sum() / 16)
    above, largest = pairs.rate(load, counts, (giver, taker), level)
    moved = counts.copy()
    moved[taker] += 1
    if giver >= 0:
        moved[giver] -= 1
    share = np.sort(np.repeat(load / moved, moved))[-16:]
    sums = share[:8] + share[8:][::-1]
    assert largest == pytest.approx(sums.max())
    assert above == pytest.approx(np.maximum(sums - level, 0).sum())


def test_moves_keep_the_slots_and_the_limits_and_their_best_is_no_worse():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        load = rng.lognormal(0, 1, 12)
        counts = counts_of(rng, 12, 24)
        least, most = np.maximum(counts - 2, 1), counts + 2
        before = pairs.rate(load, counts, (-1, -1), 0.0)[1]
        found, best = pairs.search_counts(load, counts, (least, most), (0.0, 0.5), (50, math.inf))
        assert found.sum() == 24
        assert ((least <= found) & (found <= most)).all()
        assert pairs.rate(load, found, (-1, -1), 0.0)[1] == pytest.approx(best)
        assert best <= before


@pytest.mark.parametrize("num_slots", [10, 14, 30])
def test_refilled_counts_use_all_slots(num_slots):
    counts = pairs.refill(np.array([9.0, 0.0, 3.0, 2.0]), np.array([7, 1, 3, 4]), num_slots)
    assert counts.sum() == num_slots
    assert counts.min() >= 1
