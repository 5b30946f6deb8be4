"""Each move of the local search against a plain search over everything it could do."""

from itertools import combinations

import numpy as np
import pytest

from eplb_opt.core import local


def random_node(seed, num_gpus=4, slots_per_gpu=4, num_experts=11, apart=False):
    """A search at a random plan, and its loads."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(1, 10**6, num_experts)
    num_slots = num_gpus * slots_per_gpu
    if apart:
        rows = [rng.permutation(num_experts)[:slots_per_gpu] for _ in range(num_gpus)]
        slot = np.concatenate(rows)
        if len(np.unique(slot)) < num_experts:
            return random_node(seed + 1000, num_gpus, slots_per_gpu, num_experts, apart)
    else:
        spare = rng.integers(0, num_experts, num_slots - num_experts)
        slot = rng.permutation(np.concatenate([np.arange(num_experts), spare]))
    return local.NodeSearch(weight, slot, num_gpus, apart, seed), weight


def assert_state_is_true(node, weight):
    """Sizes, loads and counts are those of the slots, and every expert is there."""
    counts = np.bincount(node.slots, minlength=len(weight))
    assert (counts == node.counts).all()
    assert counts.min() >= 1
    assert (node.sizes == weight[node.slots] // counts[node.slots]).all()
    assert (node.loads == node.sizes.reshape(len(node.loads), -1).sum(axis=1)).all()


def twins(slot, num_gpus):
    return any(len(set(gpu)) < len(gpu) for gpu in slot.reshape(num_gpus, -1).tolist())


def least_after_exchange(node, heavy, apart):
    """The least that the larger load of the heavy GPU and another can be after an exchange."""
    load, size, num_gpus = node.loads, node.sizes, len(node.loads)
    best = load[heavy]
    for g in set(range(num_gpus)) - {heavy}:
        for num in (1, 2):
            for a in combinations(range(heavy * 4, heavy * 4 + 4), num):
                for b in combinations(range(g * 4, g * 4 + 4), num):
                    moved = size[list(a)].sum() - size[list(b)].sum()
                    larger = max(load[heavy] - moved, load[g] + moved)
                    after = node.slots
                    after[[*a, *b]] = after[[*b, *a]]
                    if larger < best and not (apart and twins(after, num_gpus)):
                        best = larger
    return best


@pytest.mark.parametrize("apart", [False, True])
def test_an_exchange_is_the_best_of_all_exchanges(apart):
    for seed in range(40):
        node, weight = random_node(seed, apart=apart)
        heavy = int(node.loads.argmax())
        best, before = least_after_exchange(node, heavy, apart), node.loads
        other = node.exchange(heavy)
        assert_state_is_true(node, weight)
        if other < 0:
            assert best == before[heavy]
            assert (node.loads == before).all()
            continue
        reached = max(node.loads[heavy], node.loads[other])
        if apart:  # the two pointers may pass a pair by when its neighbour is forbidden
            assert best <= reached < before[heavy]
            assert not twins(node.slots, 4)
        else:
            assert reached == best


def test_subsets_are_sorted_and_their_sums_true():
    node, _ = random_node(1, slots_per_gpu=9, num_experts=30)
    for gpu in range(4):
        for num, expected in zip((1, 2, 3, 4), (9, 36, 84, 126), strict=True):
            found = node.sorted_subsets(gpu, num)
            places = [tuple(subset) for _, subset in found]
            assert sorted(places) == list(combinations(range(9), num))
            assert len(found) == expected
            sums = [total for total, _ in found]
            assert sums == [node.sizes[gpu * 9 + np.array(p)].sum() for p in places]
            assert (np.diff(sums) >= 0).all()


def test_subsets_of_equal_sums_keep_their_order():
    node = local.NodeSearch(np.full(18, 7), np.arange(18), 2, False, 0)
    places = [tuple(subset) for _, subset in node.sorted_subsets(0, 3)]
    assert places == list(combinations(range(9), 3))


@pytest.mark.parametrize("slots_per_gpu", [1, 2, 3, 5, 9, 17, 40, 300])
def test_every_number_of_slots_has_exchanges(slots_per_gpu):
    num_slots = 2 * slots_per_gpu
    weight = np.arange(num_slots) ** 2
    node = local.NodeSearch(weight, np.arange(num_slots), 2, False, 0)
    assert len(node.sorted_subsets(1, 1)) == slots_per_gpu
    before = node.loads.max()
    # With one replica each nothing is gained by an exchange.
    assert node.exchange(1) == (-1 if slots_per_gpu == 1 else 0)
    assert node.loads.max() < before or slots_per_gpu == 1
    assert_state_is_true(node, weight)


def least_after_deal(node, k, apart):
    """The least that the largest of three GPUs can carry, over all ways to deal."""
    slot, size, places = node.slots, node.sizes, set(range(3 * k))
    best = node.loads.max()
    for one in combinations(range(3 * k), k):
        for two in combinations(sorted(places - set(one)), k):
            three = places - set(one) - set(two)
            parts = [list(one), list(two), sorted(three)]
            if apart and any(len(set(slot[p])) < k for p in parts):
                continue
            best = min(best, max(size[p].sum() for p in parts))
    return best


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("slots_per_gpu", [2, 3, 4])
def test_redeal_finds_the_best_deal_of_three_gpus(slots_per_gpu, apart):
    for seed in range(15):
        node, weight = random_node(seed, 3, slots_per_gpu, 2 * slots_per_gpu + 1, apart)
        best, old = least_after_deal(node, slots_per_gpu, apart), node.loads.max()
        heavy = int(node.loads.argmax())
        fell = node.redeal(heavy, *({0, 1, 2} - {heavy}))
        assert fell == (best < old)
        assert node.loads.max() == best
        assert_state_is_true(node, weight)
        assert not (apart and twins(node.slots, 3))


def test_more_than_five_slots_a_gpu_are_not_dealt_out():
    node, weight = random_node(0, 3, 6, 11)
    heavy = int(node.loads.argmax())
    assert not node.redeal(heavy, *({0, 1, 2} - {heavy}))
    assert_state_is_true(node, weight)


@pytest.mark.parametrize("apart", [False, True])
def test_kicks_keep_the_state_true(apart):
    for seed in range(30):
        node, weight = random_node(seed, apart=apart)
        moved = node.transfer(2 * int(weight.max()))
        assert_state_is_true(node, weight)
        node.shuffle(5)
        assert_state_is_true(node, weight)
        assert not (apart and twins(node.slots, 4))
        assert moved or (node.counts == 1).all() or apart


def test_transfer_never_makes_a_replica_above_the_ceiling():
    for seed in range(50):
        node, weight = random_node(seed)
        ceiling = int(np.median(node.sizes))
        before = node.counts
        node.transfer(ceiling)
        lost = node.counts < before
        assert (weight[lost] // node.counts[lost] < ceiling).all()


def test_swaps_are_spread_over_all_slots():
    node = local.NodeSearch(np.arange(12), np.arange(12), 3, False, 12345)
    moved = np.zeros(12, dtype=int)
    for _ in range(6000):
        before = node.slots
        node.shuffle(1)
        moved += node.slots != before
    # Two of twelve slots a draw, of which three in elevens are on one GPU and stay.
    assert moved.sum() == pytest.approx(6000 * 2 * 8 / 12, rel=0.05)
    assert moved.min() > 0.85 * moved.mean()


def test_counts_of_the_scan_fit_the_slots_and_the_target():
    node, weight = random_node(0, 5, 4, 12)
    for target in (10**5, 3 * 10**5, 10**6):
        for ceiling in (target // 10, target):
            count = node.fit_counts(target, ceiling)
            if count is not None:
                assert count.sum() == 20
                assert (-(-weight // target) <= count).all()
            else:
                assert np.maximum(-(-weight // target), 1).sum() > 20


def test_spare_slots_go_to_the_largest_replica_below_the_ceiling():
    weight = np.array([1000, 300, 299, 10])
    node = local.NodeSearch(weight, np.array([0, 1, 2, 3, 0, 1]), 2, False, 0)
    assert node.fit_counts(1000, 1000).tolist() == [3, 1, 1, 1]
    assert node.fit_counts(1000, 300).tolist() == [1, 2, 2, 1]
    assert node.fit_counts(1000, 5).tolist() == [1, 1, 1, 3]


def test_the_scan_packs_complete_plans_best_first():
    for apart in (False, True):
        first, weight = random_node(1, 5, 4, 12, apart)
        found = first.scan_counts(int(weight.sum()) // 5, 3)
        peaks = []
        for slot in found:
            node = local.NodeSearch(weight, slot, 5, apart, 0)
            assert_state_is_true(node, weight)
            assert not (apart and twins(slot, 5))
            peaks.append(node.loads.max())
        assert peaks == sorted(peaks)
        assert found


def test_the_scan_makes_replicas_as_large_as_a_gpu():
    """Counts from the water level give the head 9 copies; 7 leave slots to fill its GPUs."""
    weight = np.array([55_000, *[806] * 30, 820])
    node = local.NodeSearch(weight, np.array([*range(32), *[0] * 8]), 8, False, 0)
    packed = node.scan_counts(int(weight.sum()) // 8, 100)
    heads = {int((slot == 0).sum()) for slot in packed}
    assert {6, 7, 8} <= heads


def test_drawn_counts_fit_the_slots_and_the_target():
    node, weight = random_node(4, 6, 4, 12)
    drawn = set()
    for _ in range(50):
        count = node.draw_counts(6 * 10**5)
        assert count.sum() == 24
        assert (-(-weight // (6 * 10**5)) <= count).all()
        drawn.add(count.tobytes())
    assert len(drawn) > 10
    assert node.draw_counts(10**4) is None


@pytest.mark.parametrize("apart", [False, True])
def test_a_renewed_plan_holds_every_expert_in_replicas_below_the_bound(apart):
    found = 0
    for seed in range(30):
        node, weight = random_node(seed, apart=apart)
        bound = int(weight.sum()) // 4
        if not node.renew(bound):
            continue
        found += 1
        assert_state_is_true(node, weight)
        assert node.sizes.max() <= max(bound, 1)
        assert not (apart and twins(node.slots, 4))
    assert found


def test_a_renewal_that_finds_nothing_leaves_the_plan():
    node, _ = random_node(2)
    before = node.slots
    assert not node.renew(100)
    assert (node.slots == before).all()


def test_a_packing_gives_the_largest_replica_to_the_lightest_gpu():
    slots = local.pack(np.array([3, 10, 4]), np.array([2, 1, 1]), 2, 2, False)
    assert slots.tolist() == [1, 0, 2, 0]


def test_a_packing_keeps_twins_apart_or_gives_up():
    assert local.pack(np.array([9, 1]), np.array([2, 2]), 2, 2, True).tolist() == [0, 1, 0, 1]
    assert local.pack(np.array([9, 1]), np.array([3, 1]), 2, 2, True) is None


def test_only_exchange_stops_where_no_exchange_helps():
    node, weight = random_node(3)
    taken = node.advance(10**6, 0, only_exchange=True)
    assert taken < 10**6
    slots = node.slots
    assert node.exchange(int(node.loads.argmax())) == -1
    assert (node.slots == slots).all()
    assert node.best == node.loads.max()
    assert_state_is_true(node, weight)


def test_the_best_plan_is_kept_through_kicks_and_restarts():
    node, weight = random_node(6)
    node.advance(300, int(weight.sum()) // 4)
    best, slots = node.best, node.best_slots
    node.restart(np.array([*range(11), 0, 0, 0, 0, 0]))
    assert node.best == best
    assert (node.best_slots == slots).all()
    again = local.NodeSearch(weight, slots, 4, False, 0)
    assert again.loads.max() == best


def test_fixed_point_is_exact_for_loads_of_any_size():
    rng = np.random.default_rng(8)
    for most in (1, 10, 10**6, 2**55):
        load = rng.integers(0, most + 1, 64)
        load[0] = most
        total = int(load.sum())
        expected = [w * 2**44 // total for w in load.tolist()]
        assert local.fixed_point(load).tolist() == expected
    assert local.TOTAL == 2**44


@pytest.mark.parametrize("others", [[4, 1, 3, 1], [3, 1, 4, 1]])
def test_of_equal_exchanges_the_first_gpu_gets_it_whichever_is_lighter(others):
    """Both bring the larger load from 9 down to 7: one leaves 7 and 7, the other 6 and 7."""
    node = local.NodeSearch(np.array([6, 3, *others]), np.arange(6), 3, False, 0)
    assert node.exchange(0) == 1
    assert node.loads.max() == 7
