"""The core's annealing of what stands on a node with two slots a GPU: the pairs are the best."""

import math

import numpy as np
import pytest

from eplb_opt import Problem, Topology
from eplb_opt.core import annealing
from eplb_opt.search.annealing.topology import TopologySearch, pairs_follow
from tests.core.test_annealing import chance
from tests.core.test_topology import Homes, annealed


class Pairs(Homes):
    """Nine experts on three nodes of two GPUs with two slots."""

    slots_per_gpu, num_experts = 2, 9

    def search(self, **change):
        return annealing.PairedSearch(**self.arguments(**change))

    def starts_at_home(self):
        first = np.array([int(np.flatnonzero(self.slots == e)[0]) for e in range(9)])
        self.home = self.node[self.gpu[first]]


@pytest.mark.parametrize("seed", range(8))
def test_the_best_plan_is_worth_what_it_says(seed):
    layer = Pairs(seed)
    search = layer.search()
    plan = annealed(search)
    assert set(plan.tolist()) == set(range(9))
    assert search.best == pytest.approx(layer.worth(plan), rel=1e-9)
    assert search.best <= layer.worth(layer.slots)


@pytest.mark.parametrize("seed", range(8))
def test_no_other_pairs_of_a_node_are_better(seed):
    layer = Pairs(seed)
    plan = annealed(layer.search())
    counts = np.bincount(plan, minlength=9)
    size = (layer.weight[:, 0] / counts)[plan]
    for node in range(3):
        a, b, c, d = size[4 * node : 4 * node + 4]
        pairings = [max(a + b, c + d), max(a + c, b + d), max(a + d, b + c)]
        assert pairings[0] == pytest.approx(min(pairings), rel=1e-12)


def test_traffic_and_loads_are_followed_move_by_move():
    layer = Pairs(3)
    search = layer.search()
    search.anneal(5, 0.5, 500, 0, 500, 300, 15, math.inf)  # not added up anew before 16 slices
    followed = search.largest_load, search.away
    assert 0 <= followed[1] <= 1
    search.anneal(5, 0.0, 0, 0, 0, 0, 0, math.inf)
    assert (search.largest_load, search.away) == followed
    search.restart(search.plan(), layer.home)
    assert search.away == pytest.approx(layer.away(search.plan()), abs=1e-12)
    worth = search.largest_load + layer.price * search.away
    assert worth == pytest.approx(search.best, rel=1e-9)


def test_anchored_experts_keep_a_replica_at_home():
    layer = Pairs(2, price=0.0)
    layer.starts_at_home()
    plan = annealed(layer.search(anchored=True), 200, temperature=0.3)
    for expert in range(9):
        assert layer.home[expert] in layer.node[layer.gpu[plan == expert]]


def test_no_more_than_allowed_goes_off_home():
    layer = Pairs(4, price=0.0)
    layer.starts_at_home()
    most = layer.away(layer.slots)
    plan = annealed(layer.search(most=most), 200, temperature=0.3)
    assert layer.away(plan) <= most + 1e-9


def test_counted_work_gives_the_same_plan():
    layer = Pairs(6)
    assert annealed(layer.search()).tolist() == annealed(layer.search()).tolist()


def test_gpus_without_two_slots_and_rules_within_a_gpu_are_refused():
    three = Homes()
    with pytest.raises(ValueError, match="not two slots"):
        annealing.PairedSearch(**three.arguments())
    layer = Pairs()
    with pytest.raises(ValueError, match="share a GPU"):
        layer.search(machine=layer.machine(apart=True))


def test_loads_that_are_no_numbers_crash_nothing():
    for bad in (math.nan, math.inf, -1.0, 0.0):
        layer = Pairs()
        layer.share = np.full(9, bad)
        search = layer.search()
        search.anneal(8, 0.1, 300, 0, 700, 400, 8, math.inf)
        assert set(search.plan().tolist()) == set(range(9))


def test_the_search_takes_it_where_pairs_follow():
    load = np.random.default_rng(1).integers(1, 99, (1, 20))
    start = np.concatenate([np.arange(20), np.arange(4)])

    def kind(**change):
        given = {"num_slots": 24, "num_gpus": 12, "num_nodes": 3, "num_groups": 3}
        problem = Problem(load, topology=Topology(0.3), **(given | change))
        search = TopologySearch(problem, start, 0)
        assert pairs_follow(problem) == isinstance(search._search, annealing.PairedSearch)
        return type(search._search)

    assert kind() is annealing.PairedSearch
    assert kind(colocation="forbid") is annealing.TopologySearch
    assert kind(num_gpus=6) is annealing.TopologySearch


def test_it_beats_the_search_of_single_gpus_at_the_same_work():
    load = np.random.default_rng(5).lognormal(0, 1, (1, 60)) * 1000
    problem = Problem(
        load.astype(np.int64), 72, 36, num_nodes=6, num_groups=6, topology=Topology(0.3)
    )
    assert pairs_follow(problem)
    start = np.concatenate([np.arange(60), np.arange(12)])
    paired = TopologySearch(problem, start, 0)
    paired.run_slices(2000)
    single = annealing.TopologySearch(
        machine=annealing.Machine(
            np.ones(36),
            np.arange(37) * 2,
            np.zeros((0, 60), dtype=np.int8),
            np.zeros(0, dtype=np.int64),
            72,
            False,
        ),
        share=load[0].astype(np.int64) / load[0].astype(np.int64).sum(),
        home=np.arange(60) // 10,
        node=np.arange(36) // 6,
        price=0.3,
        most=2.0,
        anchored=False,
        slots=start,
        chance=chance(),
    )
    for temperature in np.geomspace(0.003, 3e-6, 40):
        single.anneal(8, float(temperature), 200, 200, 960, 400, 50, math.inf)
    assert paired.best < single.best
