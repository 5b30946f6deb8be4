"""The parts of the hot path, each against something simpler."""

import itertools
import threading
import time
from fractions import Fraction

import numpy as np
import pytest

from eplb_opt.bench.families import family_loads
from eplb_opt.hot import call, kernels, start
from eplb_opt.hot.arena import MOST_ITEMS, Arena
from eplb_opt.hot.door import TOTAL_BITS, admit, fixed_point
from eplb_opt.hot.marks import REACHED, SHIFT, TOTAL
from heuristics import greedy, greedy_numpy

pytest.importorskip("numba")

LOAD = family_loads("lognormal-1.0", 5, 48, 1)


@pytest.fixture(scope="module")
def compiled():
    return kernels.warm_kernels()


def rows_of(load, sizes, compiled):
    checked = admit(load, *sizes)
    weights, units = fixed_point(checked.values)
    placed, _ = greedy.place(checked.single, checked.layout, compiled.greedy)
    return checked, weights, units, start.read(checked, weights, placed, compiled)


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
    weights, units = fixed_point(load)
    assert (weights.sum(axis=1) < 2**TOTAL_BITS).all()
    for row, values, unit in zip(weights.tolist(), load.tolist(), units.tolist(), strict=True):
        lost = [Fraction(v) - w * Fraction(unit) for v, w in zip(values, row, strict=True)]
        assert all(0 <= part < Fraction(unit) for part in lost)
        if sum(values) < 2**TOTAL_BITS:
            assert not any(lost)


def test_rows_hold_the_plan(compiled):
    checked, weights, _, rows = rows_of(LOAD, (60, 1, 1, 12), compiled)
    for layer_idx, row in enumerate(rows.plans):
        slots, sizes, loads, counts = np.split(row, [60, 120, 132])
        placed = rows.placed[layer_idx].reshape(12, 5)
        np.testing.assert_array_equal(slots.reshape(5, 12).T, placed)
        np.testing.assert_array_equal(counts, np.bincount(rows.placed[layer_idx], minlength=48))
        np.testing.assert_array_equal(sizes, weights[layer_idx][slots] // counts[slots])
        np.testing.assert_array_equal(sizes.reshape(5, 12).sum(axis=0), loads)
        assert rows.marks[layer_idx, REACHED] == loads.max()
        assert rows.marks[layer_idx, TOTAL] == loads.sum()
    assert rows.worst(REACHED, checked.num_layers).tolist() == rows.marks[:, REACHED].tolist()


def test_the_swap_found_is_the_best_there_is(compiled):
    from eplb_opt.hot.swaps import swap_one

    num_slots, num_gpus = 60, 12
    found = numba_call(swap_one)
    for layer_idx in range(5):
        _, _, _, rows = rows_of(LOAD, (num_slots, 1, 1, num_gpus), compiled)
        slot, size, load, _ = np.split(rows.plans[layer_idx], [60, 120, 132])
        heavy = int(load.argmax())
        best = min(
            max(load[heavy] - size[p] + size[q], load[q % num_gpus] + size[p] - size[q])
            for p in range(heavy, num_slots, num_gpus)
            for q in range(num_slots)
            if q % num_gpus != heavy
        )
        scratch = np.empty((2, 3, num_slots), dtype=np.int32)
        shift = int(rows.marks[layer_idx, SHIFT])
        before = load.copy()
        moved = found(slot, size, load, heavy, -(2**58), shift, scratch[0], scratch[1])
        assert moved == (best < before[heavy])
        changed = np.flatnonzero(load != before)
        assert len(changed) == 2
        assert abs(load[changed].max() - best) <= 8 << shift  # to the 32 bits' precision


def numba_call(part):
    """A part of a kernel, callable from Python."""
    import numba

    return numba.njit(part.py_func)


def test_a_sweep_never_raises_the_largest_load(compiled):
    from eplb_opt.hot.sweep import sweep

    run = numba_call(sweep)
    _, _, _, rows = rows_of(LOAD, (60, 1, 1, 12), compiled)
    for row in rows.plans:
        slot, size, load, _ = np.split(row, [60, 120, 132])
        total = load.sum()
        for _ in range(4):
            before = load.max()
            run(slot, size, load, np.empty(12, dtype=np.int32))
            assert load.max() <= before
        assert load.sum() == total
        np.testing.assert_array_equal(size.reshape(5, 12).sum(axis=0), load)


def test_a_deadline_that_is_past_changes_nothing(compiled):
    checked, weights, units, rows = rows_of(LOAD, (60, 1, 1, 12), compiled)
    before = rows.plans.copy()
    bounds = np.ones(5, dtype=np.int64)
    call._run(checked, weights, rows, bounds, units, compiled, time.perf_counter() - 1, 10)
    np.testing.assert_array_equal(rows.plans, before)
    pairs = call.pairs_of_slots(5, 12)
    scratch = np.empty((2, 3, 200), dtype=np.int32)
    worth = np.ones((3, 5))
    arrays = rows.plans, rows.bests, weights, rows.marks
    compiled.refine(*arrays, 60, 12, pairs, bounds, worth, scratch[0], scratch[1], 10, 1)
    np.testing.assert_array_equal(rows.plans, before)


def test_the_kernels_clock_is_pythons(compiled):
    from eplb_opt.hot import clock

    def read():
        return clock.kernel_ns()

    import numba

    compiled_read = numba.njit(read)
    compiled_read()
    before, between, after = compiled.now_ns(), compiled_read(), compiled.now_ns()
    assert before <= between <= after


@pytest.mark.parametrize(("groups", "nodes"), [(8, 4), (8, 2), (6, 3), (4, 4), (12, 2)])
def test_the_partition_has_the_lightest_heaviest_node(groups, nodes, compiled):
    weights, _ = fixed_point(LOAD)
    best, choice, sums = np.empty((3, 1 << groups), dtype=np.int64)
    members = np.empty((5 * nodes, 48 // nodes), dtype=np.int64)
    compiled.partition(weights, groups, nodes, best, choice, sums, members)
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


def test_folding_keeps_counts_and_pairs_heaviest_with_lightest(compiled):
    checked = admit(LOAD, 60, 1, 1, 30)
    placed = greedy_numpy.rebalance_experts(LOAD, 60, 1, 1, 30)[0]
    folded = start.fold(checked, placed)
    np.testing.assert_array_equal(np.sort(folded), np.sort(placed))
    counts = np.bincount(placed[0], minlength=48)
    share = (LOAD[0] / counts)[folded[0]].reshape(30, 2)
    assert (np.diff(share[:, 0]) <= 0).all()
    assert (np.diff(share[:, 1]) >= 0).all()


def test_a_threads_scratch_is_its_own_and_used_again():
    arena = Arena()
    first, second = arena.take((2, 3)), arena.take((4,))
    assert not np.shares_memory(first, second)
    in_thread = []
    thread = threading.Thread(target=lambda: in_thread.append(arena.take((2, 3))))
    thread.start()
    thread.join()
    assert not np.shares_memory(first, in_thread[0])
    arena.begin()
    assert np.shares_memory(first, arena.take((3, 2)))
    assert arena.take((100,)).shape == (100,)
    assert arena.take((MOST_ITEMS + 1,)).shape == (MOST_ITEMS + 1,)
    assert len(arena.kept) == 2


def test_pairs_are_few_where_gpus_hold_many_slots():
    for slots_per_gpu, num_gpus in ((9, 32), (36, 8), (512, 2), (4, 1024)):
        pairs = call.pairs_of_slots(slots_per_gpu, num_gpus)
        assert 0 < len(pairs) ** 2 * num_gpus <= call.MAX_EXCHANGES
        assert (pairs[:, 0] != pairs[:, 1]).all()
    assert len(call.pairs_of_slots(3, 24)) == 0
