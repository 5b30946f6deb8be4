"""The core's annealing of what stands on a node whose GPUs are packed afterwards."""

import math
from itertools import combinations

import numpy as np
import pytest

from eplb_opt.core import annealing
from tests.core.test_topology import Homes, annealed


class Packs(Homes):
    """Fourteen experts on three nodes of two GPUs with three slots."""

    slots_per_gpu, num_experts = 3, 14

    def search(self, heavy=math.inf, ceiling=math.inf, **change):
        return annealing.PackedSearch(**self.arguments(**change), heavy=heavy, ceiling=ceiling)

    def sizes(self, slots):
        counts = np.bincount(slots, minlength=self.num_experts)
        return (self.weight[:, 0] / counts)[slots].reshape(3, 6)

    def starts_at_home(self):
        first = np.array([int(np.flatnonzero(self.slots == e)[0]) for e in range(14)])
        self.home = self.node[self.gpu[first]]


@pytest.mark.parametrize("seed", range(6))
def test_a_node_carries_its_mean_where_no_replica_is_heavy(seed):
    layer = Packs(seed)
    search = layer.search()
    plan = annealed(search)
    assert set(plan.tolist()) == set(range(14))
    worth = layer.sizes(plan).sum(axis=1).max() / 2 + layer.price * layer.away(plan)
    assert search.best == pytest.approx(worth, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_what_replicas_have_above_the_ceiling_counts(seed):
    layer = Packs(seed)
    ceiling = float(np.sort(layer.sizes(layer.slots).ravel())[-4])
    search = layer.search(ceiling=ceiling)
    plan = annealed(search)
    counts = np.bincount(plan, minlength=14)
    excess = np.maximum(layer.weight[:, 0] / counts - ceiling, 0).sum()
    worth = layer.sizes(plan).sum(axis=1).max() / 2 + layer.price * layer.away(plan) + excess
    assert search.best == pytest.approx(worth, rel=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_no_packing_of_a_node_is_below_what_it_carries_at_least(seed):
    layer = Packs(seed, price=0.0)
    best = []
    for sizes in layer.sizes(layer.slots):
        halves = (sizes[list(half)].sum() for half in combinations(range(6), 3))
        best.append(min(max(half, sizes.sum() - half) for half in halves))
    heavy = max(best) / 2  # two such replicas together are above the best packing
    search = layer.search(heavy=heavy)
    search.anneal(6, 0.0, 0, 0, 0, 0, 0, math.inf)
    at_least = search.largest_load
    means = layer.sizes(layer.slots).sum(axis=1) / 2
    assert means.max() - 1e-12 <= at_least <= max(best) + 1e-12


def test_a_heavy_replica_shares_its_gpu_with_the_lightest():
    layer = Packs()
    layer.share = np.array([30, 30] + [1] * 12) / 72
    layer.slots = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 2, 3, 4, 5])
    search = layer.search(heavy=1.0, price=0.0)
    unit = 6 / 72  # of one expert's load, in mean GPU loads; two heavy ones stand on node 0
    assert search.largest_load == pytest.approx((60 + 4 * 0.5) / 2 * unit)
    one = layer.search(heavy=1.0, price=0.0, slots=np.roll(layer.slots, -1))
    assert one.largest_load == pytest.approx(31 * unit)


def test_traffic_and_loads_are_followed_move_by_move():
    layer = Packs(3)
    search = layer.search(heavy=0.4, ceiling=0.6)
    search.anneal(5, 0.5, 500, 0, 500, 300, 15, math.inf)  # not added up anew before 16 slices
    best, plan = search.best, search.plan()
    search.restart(plan, layer.home)
    counts = np.bincount(plan, minlength=14)
    excess = np.maximum(layer.weight[:, 0] / counts - 0.6, 0).sum()
    assert search.away == pytest.approx(layer.away(plan), abs=1e-12)
    worth = search.largest_load + layer.price * search.away + excess
    assert worth == pytest.approx(best, rel=1e-9)


def test_anchors_and_limits_hold():
    layer = Packs(2, price=0.0)
    layer.starts_at_home()
    plan = annealed(layer.search(anchored=True), 200, temperature=0.3)
    for expert in range(14):
        assert layer.home[expert] in layer.node[layer.gpu[plan == expert]]
    most = layer.away(layer.slots)
    assert layer.away(annealed(layer.search(most=most), 200, temperature=0.3)) <= most + 1e-9


def test_counted_work_gives_the_same_plan():
    layer = Packs(6)
    assert annealed(layer.search()).tolist() == annealed(layer.search()).tolist()


def test_gpus_that_differ_and_rules_within_a_gpu_are_refused():
    layer = Packs()
    first = np.array([0, 2, 6, 9, 12, 15, 18])
    ties, unit = np.zeros((0, 14), dtype=np.int8), np.zeros(0, dtype=np.int64)
    uneven = annealing.Machine(np.ones(6), first, ties, unit, 18, False)
    with pytest.raises(ValueError, match="different numbers of slots"):
        layer.search(machine=uneven)
    with pytest.raises(ValueError, match="share a GPU"):
        layer.search(machine=layer.machine(apart=True))
    with pytest.raises(ValueError, match="no number"):
        layer.search(ceiling=math.nan)


def test_loads_that_are_no_numbers_crash_nothing():
    for bad in (math.nan, math.inf, -1.0, 0.0):
        layer = Packs()
        layer.share = np.full(14, bad)
        search = layer.search(heavy=0.4, ceiling=0.6)
        search.anneal(8, 0.1, 300, 0, 700, 400, 8, math.inf)
        assert set(search.plan().tolist()) == set(range(14))
