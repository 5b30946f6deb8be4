"""Each move against a plain search over everything it could do."""

from itertools import combinations

import numpy as np
import pytest

from eplb_opt.search import descent, scan
from eplb_opt.search.exchange import (
    INDEX_BITS,
    best_exchange,
    exchange,
    sort_subsets,
    subsets_of_slots,
)
from eplb_opt.search.kicks import draw, shuffle, transfer
from eplb_opt.search.node import NodeSearch
from eplb_opt.search.renew import draw_counts, renew, sort_down
from eplb_opt.search.triples import deals, redeal
from eplb_opt.water import water_levels


def random_node(seed, num_gpus=4, slots_per_gpu=4, num_experts=11, apart=False):
    rng = np.random.default_rng(seed)
    weight = rng.integers(1, 10**6, num_experts)
    num_slots = num_gpus * slots_per_gpu
    if apart:
        rows = [rng.permutation(num_experts)[:slots_per_gpu] for _ in range(num_gpus)]
        slot = np.concatenate(rows)
        missing = np.setdiff1d(np.arange(num_experts), slot)
        if missing.size:
            return random_node(seed + 1000, num_gpus, slots_per_gpu, num_experts, apart)
    else:
        spare = rng.integers(0, num_experts, num_slots - num_experts)
        slot = rng.permutation(np.concatenate([np.arange(num_experts), spare]))
    return NodeSearch(weight, slot, num_gpus, apart, seed)


def assert_state_is_true(node):
    """Sizes, loads and counts are those of the slots, and every expert is there."""
    counts = np.bincount(node.slot, minlength=len(node.weight))
    assert (counts == node.count).all()
    assert counts.min() >= 1
    assert (node.size == node.weight[node.slot] // counts[node.slot]).all()
    assert (node.load == node.size.reshape(node.num_gpus, -1).sum(axis=1)).all()


def twins(slot, num_gpus):
    return any(len(set(gpu)) < len(gpu) for gpu in slot.reshape(num_gpus, -1).tolist())


@pytest.mark.parametrize("apart", [False, True])
def test_best_exchange_is_the_best_of_all_exchanges(apart):
    for seed in range(40):
        node = random_node(seed, apart=apart)
        heavy = descent.heaviest(node.load)
        other, give, take = best_exchange(
            node.slot, node.load, node.sums, node.members, node.first, 4, apart, heavy
        )
        best = node.load[heavy]
        for g in range(node.num_gpus):
            for size in (1, 2):
                for a in combinations(range(4), size):
                    for b in combinations(range(4), size):
                        if g == heavy:
                            continue
                        given = node.size[[heavy * 4 + i for i in a]].sum()
                        taken = node.size[[g * 4 + i for i in b]].sum()
                        larger = max(node.load[heavy] - given + taken, node.load[g] + given - taken)
                        after = node.slot.copy()
                        for i, j in zip(a, b, strict=True):
                            p, q = heavy * 4 + i, g * 4 + j
                            after[p], after[q] = after[q], after[p]
                        if larger < best and not (apart and twins(after, node.num_gpus)):
                            best = larger
        if other < 0:
            assert best == node.load[heavy]
            continue
        exchange(node.slot, node.size, node.load, 4, node.members, heavy, give, other, take)
        reached = max(node.load[heavy], node.load[other])
        assert_state_is_true(node)
        if apart:  # the two pointers may pass a pair by when its neighbour is forbidden
            assert best <= reached
            assert not twins(node.slot, node.num_gpus)
        else:
            assert reached == best


def test_subsets_are_sorted_and_their_sums_true():
    node = random_node(1, slots_per_gpu=9, num_experts=30)
    members, first = subsets_of_slots(9)
    assert first[-1] == len(members) == 9 + 36 + 84 + 126
    for gpu in range(node.num_gpus):
        sort_subsets(gpu, node.size, 9, members, first, node.sums)
        for packed in node.sums[gpu].tolist():
            subset = members[packed & ((1 << INDEX_BITS) - 1)]
            inside = node.size[gpu * 9 + subset[subset >= 0]]
            assert packed >> INDEX_BITS == inside.sum()
        for m in range(len(first) - 1):
            row = node.sums[gpu, first[m] : first[m + 1]]
            assert (np.diff(row) > 0).all()


@pytest.mark.parametrize("slots_per_gpu", [1, 2, 3, 5, 9, 17, 40, 300])
def test_every_number_of_slots_has_exchanges(slots_per_gpu):
    members, first = subsets_of_slots(slots_per_gpu)
    assert first[1] == slots_per_gpu
    assert len(members) < 2**INDEX_BITS
    assert first[-1] == len(members)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("slots_per_gpu", [2, 3, 4])
def test_redeal_finds_the_best_deal_of_three_gpus(slots_per_gpu, apart):
    k = slots_per_gpu
    of_three, swaps, of_two = deals(k)
    for seed in range(15):
        node = random_node(seed, 3, k, 2 * k + 1, apart)
        best = node.load.max()
        places = set(range(3 * k))
        for one in combinations(range(3 * k), k):
            for two in combinations(sorted(places - set(one)), k):
                three = places - set(one) - set(two)
                parts = [list(one), list(two), sorted(three)]
                if apart and any(len(set(node.slot[p])) < k for p in parts):
                    continue
                best = min(best, max(node.size[p].sum() for p in parts))
        old = node.load.max()
        fell = redeal(
            node.slot,
            node.size,
            node.load,
            k,
            (0, 1, 2),
            of_three,
            swaps,
            of_two,
            apart,
            node.scratch,
        )
        assert fell == (best < old)
        assert node.load.max() == best
        assert_state_is_true(node)
        assert not (apart and twins(node.slot, 3))


@pytest.mark.parametrize("apart", [False, True])
def test_kicks_keep_the_state_true(apart):
    for seed in range(30):
        node = random_node(seed, apart=apart)
        ceiling = 2 * int(node.weight.max())
        moved = transfer(
            node.slot, node.size, node.load, node.weight, node.count, 4, apart, ceiling, node.state
        )
        assert_state_is_true(node)
        shuffle(node.slot, node.size, node.load, 4, apart, 5, node.state)
        assert_state_is_true(node)
        assert not (apart and twins(node.slot, node.num_gpus))
        assert moved or (node.count == 1).all() or apart


def test_transfer_never_makes_a_replica_above_the_ceiling():
    for seed in range(50):
        node = random_node(seed)
        ceiling = int(np.median(node.size))
        before = node.count.copy()
        transfer(
            node.slot, node.size, node.load, node.weight, node.count, 4, False, ceiling, node.state
        )
        lost = node.count < before
        assert (node.weight[lost] // node.count[lost] < ceiling).all()


def test_draws_are_spread_and_in_range():
    state = np.array([12345], dtype=np.int64)
    drawn = np.array([draw(state, 7) for _ in range(7000)])
    counts = np.bincount(drawn, minlength=7)
    assert len(counts) == 7
    assert counts.min() > 850


def test_counts_of_the_scan_fit_the_slots_and_the_target():
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 10**6, 12)
    count, piece = np.empty((2, 12), dtype=np.int64)
    for target in (10**5, 3 * 10**5, 10**6):
        for ceiling in (target // 10, target):
            if scan.fit_counts(weight, 20, target, ceiling, count, piece):
                assert count.sum() == 20
                assert (-(-weight // target) <= count).all()
                assert (piece == weight // count).all()
            else:
                assert np.maximum(-(-weight // target), 1).sum() > 20


def test_the_scan_packs_complete_plans_best_first():
    rng = np.random.default_rng(1)
    weight = rng.integers(1, 10**6, 12)
    for apart in (False, True):
        level = int(water_levels(weight[None, :], 20)[0])
        found = scan.scan(weight, level, int(weight.sum()) // 5, 20, 5, apart, keep=3)
        peaks = []
        for slot in found:
            node = NodeSearch(weight, slot, 5, apart, 0)
            assert_state_is_true(node)
            assert not (apart and twins(slot, 5))
            peaks.append(node.load.max())
        assert peaks == sorted(peaks)
        assert found


def test_the_scan_makes_replicas_as_large_as_a_gpu():
    """Counts from the water level give the head 9 copies; 7 leave slots to fill its GPUs."""
    weight = np.array([55_000, *[806] * 30, 820])
    level = int(water_levels(weight[None, :], 40)[0])
    packed = scan.scan(weight, level, int(weight.sum()) // 8, 40, 8, False, keep=100)
    heads = {int((slot == 0).sum()) for slot in packed}
    assert {6, 7, 8} <= heads


def test_drawn_counts_fit_the_slots_and_the_target():
    rng = np.random.default_rng(4)
    weight = rng.integers(1, 10**6, 12)
    state = np.array([7], dtype=np.int64)
    count, piece = np.empty((2, 12), dtype=np.int64)
    drawn = set()
    for _ in range(50):
        assert draw_counts(weight, 24, 5 * 10**5, count, piece, state)
        assert count.sum() == 24
        assert (-(-weight // (5 * 10**5)) <= count).all()
        assert (piece == weight // count).all()
        drawn.add(count.tobytes())
    assert len(drawn) > 10
    assert not draw_counts(weight, 24, 10**4, count, piece, state)


def test_sorting_down_keeps_every_expert_once():
    piece = np.random.default_rng(5).integers(0, 9, 30)
    order = np.arange(30)
    sort_down(piece, order)
    assert sorted(order.tolist()) == list(range(30))
    assert (np.diff(piece[order]) <= 0).all()


@pytest.mark.parametrize("apart", [False, True])
def test_a_renewed_plan_holds_every_expert_in_replicas_below_the_bound(apart):
    for seed in range(30):
        node = random_node(seed, apart=apart)
        bound = int(node.weight.sum()) // 4
        if not renew(node.weight, 4, 4, apart, bound, node.slot, node.state):
            continue
        node.restart(node.slot)
        assert_state_is_true(node)
        assert node.size.max() <= max(bound, 1)
        assert not (apart and twins(node.slot, 4))


def test_a_renewal_that_finds_nothing_leaves_the_plan():
    node = random_node(2)
    before = node.slot.copy()
    assert not renew(node.weight, 4, 4, False, 100, node.slot, node.state)
    assert (node.slot == before).all()
