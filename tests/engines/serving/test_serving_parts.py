"""The parts of the serving path, each against something simpler."""

import itertools
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from eplb_opt.bench.families import family_loads
from eplb_opt.core import serving
from eplb_opt.engines.serving.call import rebalance
from heuristics import greedy_numpy

LOAD = family_loads("lognormal-1.0", 5, 48, 1)
TOTAL_BITS = 58


def searches(load, num_slots, num_gpus):
    """The search on every layer, from the greedy's plan, with the placement and the weights."""
    placed = greedy_numpy.rebalance_experts(load, num_slots, 1, 1, num_gpus)[0]
    weights, _ = serving.fixed_point(load)
    return [
        (serving.NodeSearch(row, weight, num_gpus), row, weight)
        for row, weight in zip(placed, weights, strict=True)
    ]


@pytest.mark.parametrize(
    "load",
    [
        LOAD,
        LOAD.astype(np.float32) / 7,
        LOAD * 2.0**-300,
        np.array([[2**61, 1, 0]]) >> 1,
        np.array([[1e-30, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    ],
    ids=["integers", "single", "small", "large", "one"],
)
def test_fixed_point_is_exact_where_the_bits_suffice(load):
    weights, units = serving.fixed_point(load)
    assert (weights.sum(axis=1) < 2**TOTAL_BITS).all()
    for row, values, unit in zip(weights.tolist(), load.tolist(), units.tolist(), strict=True):
        lost = [Fraction(v) - w * Fraction(unit) for v, w in zip(values, row, strict=True)]
        assert all(0 <= part < Fraction(unit) for part in lost)
        if sum(values) < 2**TOTAL_BITS:
            assert not any(lost)


def test_a_search_holds_the_plan():
    for search, row, weight in searches(LOAD, 60, 12):
        np.testing.assert_array_equal(search.expert.reshape(5, 12).T, row.reshape(12, 5))
        np.testing.assert_array_equal(search.count, np.bincount(row, minlength=48))
        sizes = weight[search.expert] // search.count[search.expert]
        np.testing.assert_array_equal(search.size, sizes)
        np.testing.assert_array_equal(search.size.reshape(5, 12).sum(axis=0), search.load)
        assert search.reached == search.load.max()
        assert search.total == search.load.sum()


@pytest.mark.parametrize(("num_slots", "num_gpus"), [(60, 12), (55, 11), (150, 3), (64, 16)])
def test_the_exchange_found_is_the_best_there_is(num_slots, num_gpus):
    for search, _, _ in searches(LOAD, num_slots, num_gpus):
        size, before = search.size, search.load
        heavy = int(before.argmax())
        best = min(
            max(before[heavy] - size[p] + size[q], before[q % num_gpus] + size[p] - size[q])
            for p in range(heavy, num_slots, num_gpus)
            for q in range(num_slots)
            if q % num_gpus != heavy
        )
        moved = search.exchange(0)
        assert moved == (best < before[heavy])
        changed = np.flatnonzero(search.load != before)
        if moved:
            assert len(changed) == 2
            # To the precision of 32 bits.
            assert abs(search.load[changed].max() - best) <= 8 << search.dropped_bits
        else:
            assert len(changed) == 0


def test_a_sweep_never_raises_the_largest_load():
    for search, _, _ in searches(LOAD, 60, 12):
        total = search.load.sum()
        for _ in range(4):
            before = search.load.max()
            search.sweep()
            assert search.load.max() <= before
        assert search.load.sum() == total
        np.testing.assert_array_equal(search.size.reshape(5, 12).sum(axis=0), search.load)


@pytest.mark.parametrize(("num_slots", "num_gpus"), [(60, 12), (60, 30), (96, 48), (288, 8)])
def test_steps_keep_the_plans_own_figures_true(num_slots, num_gpus):
    for search, _, weight in searches(LOAD, num_slots, num_gpus):
        least = search.reached
        for _ in range(150):
            search.step(1)
            assert search.reached <= least
            least = search.reached
        np.testing.assert_array_equal(search.count, np.bincount(search.expert, minlength=48))
        np.testing.assert_array_equal(
            search.size, weight[search.expert] // search.count[search.expert]
        )
        np.testing.assert_array_equal(search.size.reshape(-1, num_gpus).sum(axis=0), search.load)


def test_a_deadline_that_is_past_changes_nothing():
    session = serving.Session(LOAD, (60, 1, 1, 12))
    before = session.placed.copy()
    session.refine(10, -1.0)
    session.refine(10, 1e-9)
    np.testing.assert_array_equal(session.placed, before)


@pytest.mark.parametrize(("groups", "nodes"), [(8, 4), (8, 2), (6, 3), (4, 4), (12, 2)])
def test_the_partition_has_the_lightest_heaviest_node(groups, nodes):
    weights, _ = serving.fixed_point(LOAD)
    members = serving.lightest_partition(weights, groups, nodes)
    for layer_idx in range(5):
        parts = members.reshape(5, nodes, -1)[layer_idx]
        assert sorted(parts.ravel().tolist()) == list(range(48))
        loads = weights[layer_idx].reshape(groups, -1).sum(axis=1)
        least = min(
            max(sum(loads[list(part)]) for part in split)
            for split in equal_splits(range(groups), groups // nodes)
        )
        assert weights[layer_idx][parts].sum(axis=1).max() == least


def equal_splits(items, size):
    items = list(items)
    if not items:
        yield []
        return
    for rest in itertools.combinations(items[1:], size - 1):
        left = [i for i in items[1:] if i not in rest]
        for others in equal_splits(left, size):
            yield [(items[0], *rest), *others]


def test_two_slots_a_gpu_pair_the_heaviest_with_the_lightest():
    placed, _, counts = rebalance(LOAD, 60, 1, 1, 30, effort=0)
    for row, load, count in zip(placed, LOAD, counts, strict=True):
        share = (load / count)[row]
        folded = np.sort(share)[:30] + np.sort(share)[:29:-1]
        assert share.reshape(30, 2).sum(axis=1).max() <= folded.max()


def test_a_first_call_loads_neither_torch_nor_a_compiler():
    code = (
        "import sys, numpy as np, eplb_opt;"
        "eplb_opt.rebalance_experts(np.ones((2, 8)), 12, 1, 1, 4, time_limit=0.005);"
        "print([m for m in ('torch', 'scipy', 'ortools') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
