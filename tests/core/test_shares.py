"""Unequal parts of copies in the core: the rules, the annealing, and the plans in milliseconds."""

import math

import numpy as np
import pytest

from eplb_opt.core import annealing, serving
from tests.core.test_annealing import Layer, chance

MOST = 20


def parts_in_turn(slots, num_gpus):
    """Senders of each copy, GPU by GPU: they take the copies in turn."""
    return [sum(gpu % len(slots) == k for gpu in range(num_gpus)) for k in range(len(slots))]


def parts_of_nearest(slots, gpu_of, node):
    """The most senders of each copy, GPU by GPU."""
    num_gpus, num = len(node), len(slots)
    at = [gpu_of[slot] for slot in slots]
    if num == 1:
        return [num_gpus]
    found, left = [0] * num, 0
    for gpu in range(num_gpus):
        own = [k for k in range(num) if at[k] == gpu]
        near = [k for k in range(num) if node[at[k]] == node[gpu]]
        if own:
            found[own[0]] += 1
        elif near and len(near) < num:
            found[near[0]] += 1
        else:
            left += 1
    each, odd = divmod(left, num)
    earlier = [sum(at[j] == at[k] for j in range(k)) for k in range(num)]
    return [found[k] + each + (earlier[k] < odd) for k in range(num)]


class Shares(Layer):
    """The layer of the other tests on three nodes of two GPUs, with what its copies carry."""

    def __init__(self, seed=0, rule="nearest", num_scenarios=1, rate=1.0):
        super().__init__(seed, num_scenarios, rate)
        self.kind = rule
        self.node = np.arange(self.num_gpus) // 2
        self.first = np.arange(0, self.num_slots + 1, self.slots_per_gpu)
        last = MOST if rule == "by_count" else self.num_gpus
        parts = np.arange(last + 1) / self.num_gpus
        if rule == "by_count":  # a fixed cost beside the tokens, and nothing for no copy
            parts = 0.3 + 1 / np.maximum(np.arange(last + 1), 1)
        self.values = self.weight[:, None, :] * parts[None, :, None]

    def rule(self):
        if self.kind == "by_count":
            return annealing.ByCount(MOST)
        if self.kind == "rank_modulo":
            return annealing.RankModulo(self.num_gpus, MOST)
        return annealing.Nearest(self.node, self.first, MOST)

    def parts(self, slots):
        if self.kind == "by_count":
            return [len(slots)] * len(slots)
        if self.kind == "rank_modulo":
            return parts_in_turn(slots, self.num_gpus)
        return parts_of_nearest(slots, self.gpu, self.node)

    def loads(self, slots):
        load = np.zeros((self.num_gpus, self.weight.shape[1]))
        for expert in range(self.num_experts):
            copies = np.flatnonzero(slots == expert).tolist()
            for slot, part in zip(copies, self.parts(copies), strict=True):
                load[self.gpu[slot]] += self.values[expert, part]
        return load * self.rate[:, None]

    def arguments(self, **change):
        given = {
            "machine": self.machine(),
            "rule": self.rule(),
            "values": self.values.reshape(-1, self.weight.shape[1]),
            "share": self.share,
            "worst": False,
            "slots": self.slots,
            "chance": chance(),
        }
        return given | change

    def search(self, **change):
        return annealing.ShareSearch(**self.arguments(**change))


def made(change):
    """Rules are made in the test: what a parameter holds outlives the core."""
    return {name: value() if callable(value) else value for name, value in change.items()}


RULES = ("nearest", "rank_modulo", "by_count")


def annealed(search, slices=60, temperature=0.02, transfers=300):
    search.anneal(6, temperature, transfers, slices, math.inf)
    return search.plan()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(4))
def test_loads_followed_move_by_move_are_those_of_the_plan(rule, seed):
    layer = Shares(seed, rule, num_scenarios=1 + seed % 3)
    search = layer.search()
    search.anneal(5, 0.5, 400, 15, math.inf)  # not added up anew before 16 slices
    found = search.loads().reshape(layer.num_gpus, -1)
    assert found == pytest.approx(layer.loads(search.present()), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("worst", [False, True])
def test_the_best_plan_is_worth_what_it_says(rule, worst):
    for seed in range(3):
        layer = Shares(seed, rule, num_scenarios=2, rate=1.5)
        search = layer.search(worst=worst)
        placed = annealed(search)
        assert search.best == pytest.approx(layer.worth(placed, worst), rel=1e-9)
        assert search.best <= layer.worth(layer.slots, worst)
        assert set(placed.tolist()) == set(range(layer.num_experts))


@pytest.mark.parametrize("rule", RULES)
def test_counted_work_gives_the_same_plan(rule):
    layer = Shares(6, rule)
    assert annealed(layer.search()).tolist() == annealed(layer.search()).tolist()


def test_rules_of_the_machine_hold():
    layer = Shares(2, "nearest")
    layer.slots = np.repeat(np.arange(12), 2)[: layer.num_slots]
    layer.slots = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5])
    placed = annealed(layer.search(machine=layer.machine(node_size=6, apart=True)), 200, 0.3)
    home = layer.node[layer.gpu]
    for expert in range(12):
        assert set(home[placed == expert]) <= set(home[layer.slots == expert])
        assert len(set(layer.gpu[placed == expert])) == (placed == expert).sum()


def test_no_expert_gets_more_copies_than_the_rule_knows():
    layer = Shares(0, "rank_modulo")
    layer.slots = np.concatenate([np.arange(12), np.arange(6)])
    placed = annealed(layer.search(rule=annealing.RankModulo(6, 2)), 200, 0.3)
    assert np.bincount(placed).max() == 2


def test_a_restart_goes_on_from_another_plan():
    layer = Shares(5)
    search = layer.search()
    annealed(search)
    best = search.best
    search.restart(layer.slots)
    assert search.loads().reshape(6, -1) == pytest.approx(layer.loads(layer.slots))
    assert search.best == best


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.ones((5, 1))}, "values has 5 entries, and 84"),
        ({"share": np.ones(2)}, "share has 2 entries, and 1"),
        ({"slots": np.zeros(18, np.int64)}, "Expert 1 stands in no slot"),
        ({"rule": lambda: annealing.RankModulo(6, 1)}, "more often than the rule's most"),
        (
            {"rule": lambda: annealing.Nearest(np.zeros(6, np.int64), np.arange(7) * 2, 20)},
            "rule has 12 entries, and 18",
        ),
    ],
)
def test_searches_that_do_not_fit_are_refused(change, message):
    layer = Shares()
    with pytest.raises(ValueError, match=message):
        annealing.ShareSearch(**layer.arguments(**made(change)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: annealing.ByCount(0), "most is not in 1..1024"),
        (lambda: annealing.RankModulo(0, 3), "num_senders is below 1"),
        (lambda: annealing.RankModulo(4, 2000), "most is not in 1..1024"),
        (lambda: annealing.Nearest(np.array([0, 2]), np.arange(3), 3), "node does not go up"),
        (lambda: annealing.Nearest(np.array([1, 1]), np.arange(3), 3), "node does not go up"),
        (lambda: annealing.Nearest(np.array([0, 0]), np.arange(2), 3), "first has 2 entries"),
        (lambda: annealing.Nearest(np.array([0, 0]), np.array([0, 1, 1]), 3), "no slot"),
        (lambda: annealing.Nearest(np.array([0]), np.array([1, 2]), 3), "does not begin with 0"),
    ],
)
def test_rules_that_are_none_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_loads_that_are_no_numbers_crash_nothing():
    for bad in (math.nan, math.inf, -1.0, 0.0):
        layer = Shares()
        layer.values = np.full_like(layer.values, bad)
        search = layer.search()
        search.anneal(8, 0.1, 300, 8, math.inf)
        assert set(search.plan().tolist()) == set(range(12))


class Model(Shares):
    """Layers for the serving path, in integers."""

    def __init__(self, seed, rule, num_layers=3):
        super().__init__(seed, rule)
        self.weights = self.rng.integers(0, 10**6, (num_layers, self.num_experts))
        self.values = np.arange(self.num_gpus + 1)[None, :, None] * np.ones((12, 1, 1), np.int64)

    def nothing(self):
        return np.full((len(self.weights), self.num_slots), -1)

    def largest(self, placed):
        found = []
        for weight, row in zip(self.weights, placed, strict=True):
            self.values = weight[:, None, None] * np.arange(self.num_gpus + 1)[None, :, None]
            found.append(int(self.loads(row).max()))
        return found

    def plans(self, start=None, near=False, steps=50, nodes=1, tolerance=0.0, **change):
        given = {
            "weights": self.weights,
            "start": self.nothing() if start is None else start,
            "rule": self.rule(),
            "num_gpus": self.num_gpus,
            "num_nodes": nodes,
            "tolerance": tolerance,
            "near": near,
            "steps": steps,
            "seconds": None,
            "seed": 7,
        }
        return serving.plan_shares(**(given | change))


@pytest.mark.parametrize("rule", ["nearest", "rank_modulo"])
@pytest.mark.parametrize("near", [False, True])
def test_served_plans_are_worth_what_they_say_and_no_worse_than_before(rule, near):
    for seed in range(4):
        model = Model(seed, rule)
        start = np.stack([model.rng.permutation(model.slots) for _ in model.weights])
        placed, before, after = model.plans(start, near)
        assert before.tolist() == model.largest(start)
        assert after.tolist() == model.largest(placed)
        assert (after <= before).all()
        assert all(set(row.tolist()) == set(range(12)) for row in placed)
        again = model.plans(start, near)
        assert (again[0] == placed).all()


@pytest.mark.parametrize("rule", ["nearest", "rank_modulo"])
def test_served_plans_without_a_start_get_better_with_steps(rule):
    model = Model(1, rule)
    placed, before, after = model.plans(steps=0)
    assert (before == -1).all()
    assert after.tolist() == model.largest(placed)
    assert model.plans(steps=200)[2].sum() < after.sum()


def test_a_near_plan_leaves_a_level_layer_alone():
    model = Model(2, "rank_modulo")
    start = model.plans(steps=100)[0]
    placed, before, after = model.plans(start, near=True, tolerance=100.0)
    assert (placed == start).all()
    assert (before == after).all()


def test_served_plans_keep_experts_on_their_nodes():
    model = Model(3, "nearest")
    start = np.tile(
        np.concatenate([np.r_[4 * n : 4 * n + 4, 4 * n : 4 * n + 2] for n in range(3)]), 3
    )
    placed = model.plans(start.reshape(3, -1), nodes=3)[0]
    home = model.node[model.gpu]
    assert all((home[row == e] == e // 4).all() for row in placed for e in range(12))


@pytest.mark.parametrize("rule", ["nearest", "rank_modulo"])
def test_seconds_end_the_search(rule):
    model = Model(4, rule)
    placed, _, after = model.plans(steps=2**40, seconds=0.01)
    assert after.tolist() == model.largest(placed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": -np.ones((3, 12), np.int64)}, "A weight is negative"),
        ({"weights": np.full((3, 12), 2**60)}, "pass 2\\*\\*61"),
        ({"weights": np.ones((2, 12), np.int64)}, "differ in their layers"),
        ({"num_gpus": 5}, "num_gpus does not divide"),
        ({"num_gpus": 9}, "The GPUs of the rule are others"),
        ({"num_nodes": 4}, "num_nodes does not divide"),
        ({"num_nodes": 3}, "each layer of start is a plan"),
        ({"start": np.zeros((3, 18), np.int64)}, "lacks an expert"),
        ({"start": np.full((3, 18), 12)}, "start holds 12"),
        ({"tolerance": math.nan}, "tolerance"),
        ({"steps": -1}, "steps is at least 0"),
        ({"seconds": math.nan}, "seconds is no number"),
        ({"seed": 0}, "seed is 0"),
        ({"rule": lambda: annealing.RankModulo(6, 1)}, "leaves slots empty"),
    ],
)
def test_models_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Model(0, "nearest").plans(**made(change))


class Across(Shares):
    """The layer with a price on what crosses its three nodes."""

    def crossing(self, price=0.5, most=2.0, near=300, settling=500):
        share = self.weight[:, 0] / self.weight[:, 0].sum()
        return annealing.Crossing(share, self.node, price, most, near, settling)

    def away(self, slots):
        """GPU by GPU and expert by expert, from where the tokens go."""
        share = self.weight[:, 0] / self.weight[:, 0].sum()
        found = 0.0
        for expert in range(self.num_experts):
            nodes = [self.node[self.gpu[slot]] for slot in np.flatnonzero(slots == expert)]
            for gpu in range(self.num_gpus):
                if self.kind == "nearest":
                    crosses = self.node[gpu] not in nodes
                else:
                    crosses = nodes[gpu % len(nodes)] != self.node[gpu]
                found += share[expert] * crosses / self.num_gpus
        return found

    def worth_across(self, slots, price=0.5):
        return self.loads(slots).max() + price * self.away(slots)


@pytest.mark.parametrize("rule", ["nearest", "rank_modulo"])
@pytest.mark.parametrize("seed", range(4))
def test_what_crosses_is_followed_move_by_move(rule, seed):
    layer = Across(seed, rule)
    search = layer.search(crossing=layer.crossing())
    assert search.away == pytest.approx(layer.away(layer.slots))
    search.anneal(5, 0.5, 400, 15, math.inf)  # not added up anew before 16 slices
    assert search.away == pytest.approx(layer.away(search.present()), rel=1e-9)
    assert search.best == pytest.approx(layer.worth_across(search.plan()), rel=1e-9)


@pytest.mark.parametrize("rule", ["nearest", "rank_modulo"])
def test_a_limit_on_what_crosses_holds(rule):
    layer = Across(3, rule)
    start = annealed(layer.search(crossing=layer.crossing(price=50.0)))
    most = layer.away(start) + 0.02
    search = layer.search(slots=start, crossing=layer.crossing(0.0, most))
    assert layer.away(annealed(search, 200, 0.3)) <= most
    assert search.away <= most + 1e-9


def test_a_price_of_nothing_changes_no_loads():
    layer = Across(4)
    search = layer.search(crossing=layer.crossing(price=0.0))
    assert search.best == pytest.approx(layer.loads(layer.slots).max()) or search.best > 0
    assert layer.search().away == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": np.ones(3)}, "the crossing's share has 3 entries, and 12"),
        ({"node": np.array([0, 1])}, "the crossing's node has 2 entries, and 6"),
        ({"node": np.array([0, 0, 2, 2, 3, 3])}, "node does not go up"),
        ({"node": np.array([1, 1, 2, 2, 3, 3])}, "node does not go up"),
        ({"price": -1.0}, "price or most is negative"),
        ({"price": math.nan}, "price or most is negative"),
        ({"most": -1.0}, "price or most is negative"),
        ({"near": 1025}, r"near is not in 0\.\.1024"),
        ({"settling": -1}, r"settling is not in 0\.\.1024"),
    ],
)
def test_prices_on_what_crosses_that_do_not_fit_are_refused(change, message):
    layer = Across()
    given = {"share": np.full(12, 1 / 12), "node": layer.node, "price": 0.1, "most": 1.0}
    given |= {"near": 0, "settling": 0}
    with pytest.raises(ValueError, match=message):
        layer.search(crossing=annealing.Crossing(**(given | change)))


def test_equal_parts_cross_no_nodes():
    layer = Across(0, "by_count")
    with pytest.raises(ValueError, match="where GPUs send alone"):
        layer.search(crossing=layer.crossing())
