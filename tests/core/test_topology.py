"""The core's annealing with a price on what is off home: what it keeps is what it says."""

import math
from itertools import combinations

import numpy as np
import pytest

from eplb_opt.core import annealing
from tests.core.test_annealing import NO_UNITS, Layer, chance


class Homes(Layer):
    """The layer of the other tests with one load, on three nodes of two GPUs."""

    def __init__(self, seed=0, price=0.3):
        super().__init__(seed, num_scenarios=1)
        self.price = price
        self.share = self.weight[:, 0] / self.num_gpus
        self.node = np.arange(self.num_gpus) // 2
        self.home = self.rng.integers(0, 3, self.num_experts)

    def arguments(self, **change):
        given = {
            "machine": self.machine(),
            "share": self.share,
            "home": self.home,
            "node": self.node,
            "price": self.price,
            "most": 2.0,
            "anchored": False,
            "slots": self.slots,
            "chance": chance(),
        }
        return given | change

    def search(self, **change):
        return annealing.TopologySearch(**self.arguments(**change))

    def away(self, slots, home=None):
        counts = np.bincount(slots, minlength=self.num_experts)
        home = self.home if home is None else home
        off = home[slots] != self.node[self.gpu]
        return (self.share[slots] / counts[slots])[off].sum()

    def worth(self, slots, home=None):
        counts = np.bincount(slots, minlength=self.num_experts)
        load = np.zeros(self.num_gpus)
        np.add.at(load, self.gpu, self.weight[slots, 0] / counts[slots])
        return load.max() + self.price * self.away(slots, home)

    def starts_at_home(self):
        """Homes such that each expert has a replica there in the start."""
        first = np.array([int(np.flatnonzero(self.slots == e)[0]) for e in range(12)])
        self.home = self.node[self.gpu[first]]


def annealed(search, slices=60, temperature=0.02):
    search.anneal(6, temperature, 200, 300, 700, 400, slices, math.inf)
    return search.plan()


@pytest.mark.parametrize("seed", range(6))
def test_the_best_plan_is_worth_what_it_says(seed):
    layer = Homes(seed)
    search = layer.search()
    plan = annealed(search)
    assert search.best == pytest.approx(layer.worth(plan), rel=1e-9)
    assert search.best < layer.worth(layer.slots)


def test_traffic_is_followed_move_by_move():
    layer = Homes(3)
    search = layer.search()
    search.anneal(5, 0.5, 500, 100, 500, 300, 15, math.inf)  # not added up anew before 16 slices
    followed = search.away
    search.anneal(5, 0.0, 0, 0, 0, 0, 0, math.inf)
    assert 0 <= followed <= 1
    search.restart(search.plan(), layer.home)
    assert search.away == pytest.approx(layer.away(search.plan()), abs=1e-12)


def test_a_high_price_brings_experts_home():
    cheap, dear = Homes(1, price=0.0), Homes(1, price=5.0)
    free, held = (layer.away(annealed(layer.search(), 200)) for layer in (cheap, dear))
    assert held < free


def test_anchored_experts_keep_a_replica_at_home():
    layer = Homes(2, price=0.0)
    layer.starts_at_home()
    plan = annealed(layer.search(anchored=True), 200, temperature=0.3)
    for expert in range(12):
        assert layer.home[expert] in layer.node[layer.gpu[plan == expert]]
    loose = annealed(layer.search(), 200, temperature=0.3)
    assert any(layer.home[e] not in layer.node[layer.gpu[loose == e]] for e in range(12))


def test_no_more_than_allowed_goes_off_home():
    layer = Homes(4, price=0.0)
    layer.starts_at_home()
    most = layer.away(layer.slots)
    plan = annealed(layer.search(most=most), 200, temperature=0.3)
    assert layer.away(plan) <= most + 1e-9
    assert layer.away(annealed(layer.search(), 200, temperature=0.3)) > most


def test_a_restart_takes_other_homes():
    layer = Homes(5)
    search = layer.search()
    other = (layer.home + 1) % 3
    search.restart(layer.slots, other)
    assert search.away == pytest.approx(layer.away(layer.slots, other))


def test_counted_work_gives_the_same_plan():
    layer = Homes(6)
    assert annealed(layer.search()).tolist() == annealed(layer.search()).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": np.ones(11)}, "share has 11 entries, and 12"),
        ({"home": np.zeros(11, np.int64)}, "home has 11 entries, and 12"),
        ({"home": np.full(12, 3)}, "home holds 3"),
        ({"node": np.zeros(5, np.int64)}, "node has 5 entries, and 6"),
        ({"node": np.array([0, 0, 2, 2, 1, 1])}, "node does not go up"),
        ({"node": np.array([1, 1, 2, 2, 3, 3])}, "node does not go up"),
        ({"price": -0.1}, "price is below 0"),
        ({"price": math.nan}, "price is below 0"),
        ({"slots": np.zeros(18, np.int64)}, "Expert 1 stands in no slot"),
    ],
)
def test_searches_that_do_not_fit_are_refused(change, message):
    layer = Homes()
    with pytest.raises(ValueError, match=message):
        annealing.TopologySearch(**layer.arguments(**change))


def test_restarts_that_do_not_fit_are_refused():
    layer = Homes()
    search = layer.search()
    with pytest.raises(ValueError, match="home has 3 entries"):
        search.restart(layer.slots, np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="home holds 7"):
        search.restart(layer.slots, np.full(12, 7))
    with pytest.raises(ValueError, match="doublings"):
        search.anneal(61, 0.1, 0, 0, 0, 0, 1, math.inf)
    with pytest.raises(ValueError, match="seconds"):
        search.anneal(6, 0.1, 0, 0, 0, 0, 1, math.nan)


def test_loads_that_are_no_numbers_crash_nothing():
    for bad in (math.nan, math.inf, -1.0, 0.0):
        layer = Homes()
        layer.share = np.full(12, bad)
        search = layer.search()
        search.anneal(8, 0.1, 300, 300, 700, 400, 8, math.inf)
        assert set(search.plan().tolist()) == set(range(12))


def by_links(layer, cost, place, by_home):
    """The search with these costs, and what a plan's assignments cost."""
    rows = cost[layer.home] if by_home else cost

    def dear(slots):
        counts = np.bincount(slots, minlength=layer.num_experts)
        return (layer.share[slots] / counts[slots] * rows[slots, place[layer.gpu]]).sum()

    return layer.search(cost=cost, place=place, by_home=by_home), dear


@pytest.mark.parametrize("by_home", [True, False])
def test_links_are_followed_move_by_move(by_home):
    layer = Homes(7)
    place = np.arange(layer.num_gpus)
    cost = layer.rng.random((3 if by_home else layer.num_experts, layer.num_gpus))
    search, dear = by_links(layer, cost, place, by_home)
    plan = annealed(search, 15, temperature=0.3)
    search.restart(plan, layer.home)
    assert search.away == pytest.approx(dear(plan), abs=1e-12)
    assert search.best < layer.worth(plan) - 0.3 * layer.away(plan) + 0.3 * dear(plan) + 1e-9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cost": np.ones((3, 3))}, "cost and place come together"),
        ({"cost": np.ones((3, 2)), "place": np.arange(6) // 2}, "cost has 2 entries, and 3"),
        ({"cost": np.ones((2, 3)), "place": np.arange(6) // 2}, "cost has 2 entries, and 3"),
        ({"cost": -np.ones((3, 3)), "place": np.arange(6) // 2}, "cost is below 0"),
        ({"cost": np.ones((3, 3)), "place": np.arange(5) // 2}, "place has 5 entries, and 6"),
        ({"cost": np.ones((3, 3)), "place": np.array([0, 1, 0, 1, 2, 2])}, "place does not go up"),
    ],
)
def test_costs_that_do_not_fit_are_refused(change, message):
    layer = Homes()
    with pytest.raises(ValueError, match=message):
        annealing.TopologySearch(**layer.arguments(**change))


class SeveralHomes(Homes):
    """The same layer with three loads."""

    def __init__(self, seed=0, price=0.3, worst=False):
        super().__init__(seed, price)
        self.worst = worst
        draws = self.rng.lognormal(0, 0.7, (self.num_experts, 3)) * self.share[:, None]
        self.part = draws / draws.sum(axis=0)
        self.scenario = np.array([0.5, 0.3, 0.2])
        self.share = self.part @ self.scenario

    def arguments(self, **change):
        more = {"part": self.part, "scenario": self.scenario, "worst": self.worst}
        return super().arguments(**(more | change))

    def worth(self, slots, home=None):
        home = self.home if home is None else home
        counts = np.bincount(slots, minlength=self.num_experts)[slots]
        load = np.zeros((self.num_gpus, 3))
        np.add.at(load, self.gpu, self.num_gpus * self.part[slots] / counts[:, None])
        worths = load.max(axis=0) + self.price * self.aways(slots, home)
        return worths.max() if self.worst else self.scenario @ worths

    def aways(self, slots, home=None):
        home = self.home if home is None else home
        counts = np.bincount(slots, minlength=self.num_experts)[slots]
        off = home[slots] != self.node[self.gpu]
        return (self.part[slots] / counts[:, None])[off].sum(axis=0)


@pytest.mark.parametrize("worst", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_with_several_loads_the_best_plan_is_worth_what_it_says(seed, worst):
    layer = SeveralHomes(seed, worst=worst)
    search = layer.search()
    plan = annealed(search)
    assert search.best == pytest.approx(layer.worth(plan), rel=1e-9)
    assert search.best < layer.worth(layer.slots)
    home = (layer.home + 1) % 3
    search.restart(plan, home)
    before = search.best
    plan = annealed(search)
    assert search.best <= before
    assert search.best == pytest.approx(min(layer.worth(plan), layer.worth(plan, home)), rel=1e-9)


def stuck_pair(exponent=64):
    """Parts of 8 experts in two loads, such that two GPUs of four gain by no swap, but by two."""
    halves = [list(half) for half in combinations(range(8), 4)]
    single = np.array([len({*half} & set(range(4))) == 3 for half in halves])
    for seed in range(100):
        part = np.random.default_rng(seed).dirichlet(np.full(8, 5.0), 2).T
        loads = np.array([part[half].sum(axis=0) for half in halves]) * 2
        powers = loads**exponent + (2 - loads) ** exponent
        norm = (powers / powers[0] * powers[0] ** (1 / exponent)).sum(axis=1)
        if norm[single].min() > norm[0] * 1.01 and norm.min() < norm[0] * 0.9:
            return part
    raise AssertionError("no pair of GPUs is stuck.")


def test_two_swaps_at_once_leave_plans_that_one_cannot():
    layer = SeveralHomes()
    rates, first = np.ones(2), np.array([0, 4, 8])
    machine = annealing.Machine(rates, first, np.zeros((0, 8), np.int8), NO_UNITS, 8, False)
    part = stuck_pair()
    search = layer.search(
        machine=machine,
        part=part,
        scenario=np.array([0.5, 0.5]),
        share=part.mean(axis=1),
        home=np.zeros(8, np.int64),
        node=np.zeros(2, np.int64),
        slots=np.arange(8),
    )
    search.anneal(6, 0.0, 0, 0, 0, 0, 20, math.inf)
    halves = part[:4].sum(axis=0), part[4:].sum(axis=0)
    assert search.best < np.maximum(*halves).mean() * 2 * 0.999


def test_no_load_has_more_away_than_is_allowed_where_the_worst_counts():
    layer = SeveralHomes(2, price=0.0, worst=True)
    most = layer.aways(layer.slots).max() * 0.999 + 0.001
    search = layer.search(most=most)
    plan = annealed(search, 200)
    assert layer.aways(plan).max() <= most + 1e-9
    assert search.best == pytest.approx(layer.worth(plan), rel=1e-9)


def test_parts_must_fit_the_layer():
    layer = SeveralHomes(1)
    for change in ({"part": layer.part[1:]}, {"scenario": layer.scenario[1:]}):
        with pytest.raises(ValueError):
            layer.search(**change)
