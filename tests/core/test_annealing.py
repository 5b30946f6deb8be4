"""The annealing of the core: what it keeps is what it says, rules hold, bad input is refused."""

import math

import numpy as np
import pytest

from eplb_opt.core import annealing

FORBIDDEN, PINNED = 1, 2
NO_UNITS = np.zeros(0, dtype=np.int64)


def no_rows(num_experts, dtype):
    return np.zeros((0, num_experts), dtype=dtype)


def chance(seed=1):
    quantiles = -np.log((np.arange(1024) + 0.5) / 1024)
    return annealing.Chance(quantiles, 88172645463325252 + seed)


class Layer:
    """A layer of 6 GPUs with 3 slots and 12 experts, and what a search on it needs."""

    num_gpus, slots_per_gpu, num_experts = 6, 3, 12

    def __init__(self, seed=0, num_scenarios=3, rate=1.0):
        rng = np.random.default_rng(seed)
        self.rng = rng
        self.num_slots = self.num_gpus * self.slots_per_gpu
        weight = rng.lognormal(0, 1, (self.num_experts, num_scenarios))
        self.weight = weight / weight.sum(axis=0) * self.num_gpus
        self.share = np.full(num_scenarios, 1.0 / num_scenarios)
        self.rate = np.full(self.num_gpus, rate)
        spare = rng.integers(0, self.num_experts, self.num_slots - self.num_experts)
        self.slots = rng.permutation(np.concatenate([np.arange(self.num_experts), spare]))
        self.gpu = np.arange(self.num_slots) // self.slots_per_gpu

    def machine(self, ties=None, unit=NO_UNITS, node_size=None, apart=False):
        first = np.arange(0, self.num_slots + 1, self.slots_per_gpu)
        ties = no_rows(self.num_experts, np.int8) if ties is None else ties
        return annealing.Machine(self.rate, first, ties, unit, node_size or self.num_slots, apart)

    def search(self, machine=None, held=None, worst=False, slots=None):
        held = no_rows(self.num_experts, bool) if held is None else held
        slots = self.slots if slots is None else slots
        machine = machine or self.machine()
        return annealing.ScenarioSearch(
            machine, self.weight, self.share, worst, slots, held, chance()
        )

    def loads(self, slots):
        counts = np.bincount(slots, minlength=self.num_experts)
        load = np.zeros((self.num_gpus, self.weight.shape[1]))
        np.add.at(load, self.gpu, self.weight[slots] / counts[slots, None])
        return load * self.rate[:, None]

    def worth(self, slots, worst=False):
        peaks = self.loads(slots).max(axis=0)
        return peaks.max() if worst else peaks @ self.share

    def held(self, slots):
        held = np.zeros((self.num_gpus, self.num_experts), dtype=bool)
        held[self.gpu, slots] = True
        return held


def annealed(search, slices=40, temperature=0.02, transfers=200):
    search.anneal(6, temperature, 0.0, transfers, slices, math.inf)
    return search.plan(0)


@pytest.mark.parametrize("num_scenarios", range(1, 10))
@pytest.mark.parametrize("worst", [False, True])
def test_the_best_plan_is_worth_what_it_says(num_scenarios, worst):
    layer = Layer(num_scenarios, num_scenarios, rate=1.5)
    search = layer.search(worst=worst)
    placed = annealed(search)
    assert search.best == pytest.approx(layer.worth(placed, worst), rel=1e-12)
    assert search.best < layer.worth(layer.slots, worst)
    assert set(placed.tolist()) == set(range(layer.num_experts))


def test_mended_transfers_keep_true_loads():
    for seed in range(5):
        layer = Layer(seed)
        search = layer.search()
        search.anneal_mended(6, 0.01, 300, math.inf)
        assert search.best == pytest.approx(layer.worth(search.plan(0)), rel=1e-12)
        assert search.best < layer.worth(layer.slots)


def test_a_transfer_that_is_taken_back_leaves_no_trace():
    layer = Layer(2)
    search = layer.search()
    before = search.largest_load
    # Nothing is accepted where every move has to gain more than the whole.
    search.anneal_mended(6, -1e6, 200, math.inf)
    assert search.best == math.inf
    assert search.largest_load == pytest.approx(before, rel=1e-12)
    search.anneal(6, 0.0, 0.0, 0, 1, math.inf)
    assert search.largest_load <= before * (1 + 1e-12)


def test_every_number_of_moves_has_its_best_plan():
    layer = Layer(3)
    search = layer.search(held=layer.held(layer.slots))
    annealed(search, slices=200, temperature=0.05)
    values, held = search.values(), layer.held(layer.slots)
    assert len(values) == layer.num_slots + 1
    assert values[0] <= layer.worth(layer.slots) * (1 + 1e-12)
    for kept in np.flatnonzero(np.isfinite(values)):
        placed = search.plan(int(kept))
        assert (~held[layer.gpu, placed]).sum() == kept
        assert values[kept] == pytest.approx(layer.worth(placed), rel=1e-12)


def test_a_price_keeps_slots_where_they_are():
    layer = Layer(4)
    moved = []
    for price in (0.0, 1e6):
        search = layer.search(held=layer.held(layer.slots))
        search.anneal(6, 0.01, price, 200, 50, math.inf)
        moved.append(int(np.isfinite(search.values()).sum()))
    assert moved[0] > 1 == moved[1]


def test_no_replica_leaves_its_node():
    layer = Layer(5)
    # Three nodes of two GPUs, four experts each.
    slots = np.concatenate(
        [[4 * n, 4 * n + 1, 4 * n + 2, 4 * n + 3, 4 * n, 4 * n] for n in range(3)]
    )
    for mended in (False, True):
        search = layer.search(layer.machine(node_size=6), slots=slots)
        if mended:
            search.anneal_mended(6, 1.0, 200, math.inf)
        annealed(search, temperature=1.0)
        assert (search.plan(0) // 4 == np.arange(18) // 6).all()


def test_experts_stay_apart_where_they_must():
    layer = Layer(6)
    slots = np.concatenate([np.arange(12), np.arange(6)])
    search = layer.search(layer.machine(apart=True), slots=slots)
    search.anneal_mended(6, 1.0, 200, math.inf)
    placed = annealed(search, temperature=1.0).reshape(layer.num_gpus, -1)
    assert all(len(set(row)) == 3 for row in placed.tolist())


def test_pins_and_bans_hold_at_any_temperature():
    layer = Layer(7)
    slots = np.concatenate([np.arange(12), np.arange(6)])
    ties = np.zeros((6, 12), dtype=np.int8)
    ties[0, 2], ties[3, 9], ties[1, 0] = PINNED, PINNED, FORBIDDEN
    ties[2, [0, 1]] = FORBIDDEN
    assert layer.held(slots)[0, 2]
    search = layer.search(layer.machine(ties=ties), slots=slots)
    for _ in range(50):
        search.anneal(4, 1.0, 0.0, 300, 1, math.inf)
        held = layer.held(search.plan(0))
        assert held[0, 2]
        assert held[3, 9]
        assert not held[1, 0]
        assert not held[2, [0, 1]].any()


def test_every_expert_stays_on_two_units():
    layer = Layer(8)
    layer.num_experts = 6
    layer.weight = layer.weight[:6]
    slots = np.tile(np.arange(6), 3)
    unit = layer.gpu // 2
    search = layer.search(layer.machine(unit=unit), slots=slots)
    for _ in range(50):
        search.anneal(4, 1.0, 0.0, 300, 1, math.inf)
        placed = search.plan(0)
        assert all(len(set(unit[placed == e].tolist())) > 1 for e in range(6))


def test_a_call_without_time_does_nothing():
    layer = Layer()
    search = layer.search()
    for seconds in (0.0, -1.0, -1e300):
        search.anneal(6, 0.1, 0.0, 100, 10**9, seconds)
        search.anneal_mended(6, 0.1, 10**9, seconds)
    assert search.best == math.inf
    assert (search.plan(0) == layer.slots).all()


def test_a_restart_goes_on_from_the_plan_given():
    layer = Layer(9)
    search = layer.search()
    other = layer.rng.permutation(layer.slots)
    search.restart(other)
    assert search.largest_load == pytest.approx(layer.loads(other).max(), rel=1e-12)
    with pytest.raises(ValueError, match="Expert 11 stands in no slot"):
        search.restart(np.where(other == 11, 0, other))


def after_losses(layer, slots, unit):
    """Loads of all GPUs that are left after each loss, [num_units, num_gpus]; and what is lost."""
    loads, lost = [], []
    for u in range(unit.max() + 1):
        left = unit[layer.gpu] != u
        counts = np.bincount(slots[left], minlength=layer.num_experts)
        load = np.zeros(layer.num_gpus)
        np.add.at(load, layer.gpu[left], layer.weight[slots[left], 0] / counts[slots[left]])
        loads.append(load)
        lost.append(layer.weight[counts == 0, 0].sum())
    return np.array(loads), np.array(lost)


def loss_search(layer, unit, guarded=None, slots=None):
    guarded = np.zeros(layer.num_experts, dtype=bool) if guarded is None else guarded
    slots = layer.slots if slots is None else slots
    return annealing.LossSearch(
        layer.machine(), layer.weight[:, 0].copy(), unit, guarded, slots, chance()
    )


@pytest.mark.parametrize("num_units", [2, 3, 6])
def test_loads_after_a_loss_are_those_of_the_plan(num_units):
    for seed in range(8):
        layer = Layer(seed)
        unit = np.arange(6) // (6 // num_units)
        search = loss_search(layer, unit)
        loads, lost = after_losses(layer, layer.slots, unit)
        assert search.best == pytest.approx(loads.max(), rel=1e-12)
        assert search.most_taken == pytest.approx(lost.max(), rel=1e-12)
        most = search.most_taken * (1 + 1e-9)
        search.anneal(most, 5, 0.01, 3000, math.inf)
        loads, lost = after_losses(layer, search.plan(), unit)
        assert search.best == pytest.approx(loads.max(), rel=1e-12)
        assert lost.max() <= most


def test_guarded_experts_stay_in_two_units():
    layer = Layer(1)
    unit = np.arange(6) // 2
    slots = np.concatenate([np.arange(6), np.arange(6), np.arange(6, 12)])
    guarded = np.arange(12) < 6
    search = loss_search(layer, unit, guarded, slots)
    assert all(len(set(unit[layer.gpu[slots == e]].tolist())) == 2 for e in range(6))
    for _ in range(20):
        search.anneal(math.inf, 4, 1.0, 500, math.inf)
        placed = search.plan()
        assert all(len(set(unit[layer.gpu[placed == e]].tolist())) > 1 for e in range(6))


def test_a_restarted_loss_search_goes_on_from_its_best_plan():
    layer = Layer(2)
    unit = np.arange(6)
    search = loss_search(layer, unit)
    search.anneal(math.inf, 4, 1.0, 1000, math.inf)
    assert search.largest_load > search.best
    search.restart()
    search.anneal(math.inf, 4, 0.0, 0, math.inf)
    assert search.largest_load == pytest.approx(search.best, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": np.ones(0)}, "no GPU"),
        ({"rate": np.ones(5)}, "first has 7 entries, and 6"),
        ({"first": np.arange(1, 20, 3)}, "begin with 0"),
        ({"first": np.array([0, 3, 3, 9, 12, 15, 18])}, "GPU 1 has no slot"),
        ({"first": np.array([0, 70000, 70003, 70009, 70012, 70015, 70018])}, "GPU 0 .* too many"),
        ({"ties": np.zeros((5, 12), np.int8)}, "ties has 5 entries, and 6"),
        ({"unit": np.zeros(17, np.int64)}, "unit has 17 entries, and 18"),
        ({"node_size": 0}, "node_size"),
        ({"node_size": 5}, "node_size"),
    ],
)
def test_machines_that_do_not_fit_are_refused(change, message):
    given = {
        "rate": np.ones(6),
        "first": np.arange(0, 19, 3),
        "ties": no_rows(12, np.int8),
        "unit": NO_UNITS,
        "node_size": 18,
        "apart": False,
    }
    annealing.Machine(**given)
    with pytest.raises(ValueError, match=message):
        annealing.Machine(**given | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": np.ones((11, 3))}, "weight has 11 entries, and 12"),
        ({"share": np.ones(4)}, "share has 4 entries, and 3"),
        ({"slots": np.arange(12)}, "slots has 12 entries, and 18"),
        ({"slots": np.full(18, 12)}, "slots holds 12"),
        ({"slots": np.full(18, -1)}, "slots holds -1"),
        ({"slots": np.zeros(18, np.int64)}, "Expert 1 stands in no slot"),
        ({"held": np.zeros((6, 11), bool)}, "held has 11 entries, and 12"),
        ({"held": np.zeros((7, 12), bool)}, "held has 7 entries, and 6"),
    ],
)
def test_searches_that_do_not_fit_are_refused(change, message):
    layer = Layer()
    given = {
        "machine": layer.machine(),
        "weight": layer.weight,
        "share": layer.share,
        "worst": False,
        "slots": layer.slots,
        "held": no_rows(12, bool),
        "chance": chance(),
    }
    annealing.ScenarioSearch(**given)
    with pytest.raises(ValueError, match=message):
        annealing.ScenarioSearch(**given | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": np.ones(11)}, "weight has 11 entries, and 12"),
        ({"unit": np.zeros(5, np.int64)}, "unit has 5 entries, and 6"),
        ({"unit": np.full(6, 6)}, "unit holds 6"),
        ({"guarded": np.zeros(13, bool)}, "guarded has 13 entries, and 12"),
        ({"slots": np.zeros(18, np.int64)}, "Expert 1 stands in no slot"),
    ],
)
def test_loss_searches_that_do_not_fit_are_refused(change, message):
    layer = Layer()
    given = {
        "machine": layer.machine(),
        "weight": np.ones(12),
        "unit": np.arange(6),
        "guarded": np.zeros(12, bool),
        "slots": layer.slots,
        "chance": chance(),
    }
    annealing.LossSearch(**given)
    with pytest.raises(ValueError, match=message):
        annealing.LossSearch(**given | change)


def test_numbers_that_make_no_sense_are_refused():
    search = Layer().search()
    with pytest.raises(ValueError, match="doublings"):
        search.anneal(61, 0.1, 0.0, 100, 1, 1.0)
    with pytest.raises(ValueError, match="doublings"):
        search.anneal_mended(-1, 0.1, 1, 1.0)
    with pytest.raises(ValueError, match="price counts moves from a plan in force"):
        search.anneal(6, 0.1, 1.0, 100, 1, 1.0)
    with pytest.raises(ValueError, match="seconds"):
        search.anneal(6, 0.1, 0.0, 100, 1, math.nan)
    with pytest.raises(ValueError, match="kept holds 1"):
        search.plan(1)
    with pytest.raises(ValueError, match="thresholds has 1023 entries, and 1024"):
        annealing.Chance(np.ones(1023), 1)
    with pytest.raises(ValueError, match="state is 0"):
        annealing.Chance(np.ones(1024), 0)


def test_loads_that_are_no_numbers_crash_nothing():
    for bad in (math.nan, math.inf, -1.0, 0.0):
        layer = Layer()
        layer.weight[:] = bad
        search = layer.search()
        search.anneal(8, 0.1, 0.0, 300, 4, math.inf)
        search.anneal_mended(8, 0.1, 50, math.inf)
        loss_search(layer, np.arange(6)).anneal(math.inf, 8, 0.1, 500, math.inf)
        assert set(search.plan(0).tolist()) == set(range(12))
