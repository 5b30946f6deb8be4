"""Moves across nodes that count more: in limits, tolerances, names and seconds."""

from fractions import Fraction
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt import MoveCost, Plan, Problem, ProblemError, Topology
from eplb_opt.migration import near_plans
from eplb_opt.migration.naming import named
from eplb_opt.placement.moves import MovePrice, across_nodes_by_gpu, move_price, moved_slots
from eplb_opt.placement.scoring import layer_objectives

KINDS = {
    "topology": {"num_nodes": 2, "num_groups": 4, "topology": Topology(price=0.3)},
    "flat": {"num_nodes": 2, "num_groups": 1},
    "groups": {"num_nodes": 2, "num_groups": 4},
}
SLOTS = {"num_slots": 12, "num_gpus": 4}


def problem_of(kind, seed, num_layers=1):
    rng = np.random.default_rng(seed)
    load = (rng.lognormal(0, 1, (num_layers, 8)) * 100).astype(np.int64)
    return Problem(load, **SLOTS, **KINDS[kind])


def in_force(kind, seed, num_layers=1):
    return eplb_opt.plan(problem_of(kind, seed, num_layers), effort=1).plan


def weighted(problem, held, plan, across):
    """One slot at a time, from the definition."""
    size, per_gpu = problem.num_slots // problem.num_nodes, problem.slots_per_gpu
    total = 0
    for before, row in zip(held.physical_to_logical, plan.physical_to_logical, strict=True):
        for slot, expert in enumerate(row):
            gpu, node = slot // per_gpu, slot // size
            if expert in before[gpu * per_gpu : (gpu + 1) * per_gpu]:
                continue
            total += 1 if expert in before[node * size : (node + 1) * size] else across
    return total


def test_moves_across_nodes_are_counted_as_one_slot_at_a_time():
    rng = np.random.default_rng(0)
    node = np.array([0, 0, 1, 2, 2])
    for _ in range(100):
        old, new = (rng.integers(-1, 12, (3, 15)) for _ in range(2))
        expected = [
            [
                sum(
                    expert >= 0 and expert not in before[np.repeat(node, 3) == node[gpu]]
                    for expert in row[3 * gpu : 3 * gpu + 3]
                )
                for gpu in range(5)
            ]
            for before, row in zip(old, new, strict=True)
        ]
        found = across_nodes_by_gpu(Plan(old, 5, 12), Plan(new, 5, 12), node)
        assert found.tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_those_with_which_moves_count_least(kind):
    rng = np.random.default_rng(1)
    for trial in range(30):
        problem, across = problem_of(kind, trial), int(rng.integers(2, 6))
        held, best = (
            rng.permutation(np.concatenate([np.arange(8), rng.integers(0, 8, 4)])) for _ in range(2)
        )
        price = move_price(problem, across)
        placed = named(problem, held, best, price)
        cost = int(price.of(Plan(held[None], 4), Plan(placed[None], 4))[0])
        assert cost == weighted(problem, Plan(held[None], 4), Plan(placed[None], 4), across)
        gpus = best.reshape(4, 3)
        orders = [
            order
            for order in permutations(range(4))
            if kind == "flat" or {order[0] // 2, order[1] // 2} in ({0}, {1})
        ]
        least = min(
            int(price.of(Plan(held[None], 4), Plan(gpus[list(order)].reshape(1, -1), 4))[0])
            for order in orders
        )
        assert cost == least
        rows = sorted(sorted(gpu) for gpu in placed.reshape(4, 3).tolist())
        assert rows == sorted(sorted(gpu) for gpu in gpus.tolist())


@given(
    kind=st.sampled_from(sorted(KINDS)),
    seed=st.integers(0, 10**6),
    across=st.integers(1, 9),
    most=st.integers(0, 20),
)
@settings(deadline=None, max_examples=40)
def test_a_limit_is_on_what_moves_count(kind, seed, across, most):
    held, problem = in_force(kind, seed, 2), problem_of(kind, seed + 1, 2)
    result = eplb_opt.plan(problem, effort=1, current=held, max_moves=most, cross_node_price=across)
    assert weighted(problem, held, result.plan, across) <= most
    counted = result.moves + (across - 1) * result.moves_across
    assert counted.sum() == weighted(problem, held, result.plan, across)
    assert (result.objective <= eplb_opt.evaluate(problem, held).objective).all()


def all_plans(problem):
    """Every plan of a layer, one for each set of experts on each GPU."""
    gpus = [
        held
        for held in product(range(problem.num_experts), repeat=problem.slots_per_gpu)
        if list(held) == sorted(held)
    ]
    rows = [sum(choice, ()) for choice in product(gpus, repeat=problem.num_gpus)]
    return np.array([row for row in rows if len(set(row)) == problem.num_experts])


@pytest.mark.parametrize("seed", range(6))
def test_no_plan_of_all_beats_a_limited_one_by_counting_moves_otherwise(seed):
    """On four GPUs with two slots each, against all plans that there are."""
    rng = np.random.default_rng(seed)
    before, load = (rng.lognormal(0, 1, (2, 1, 4)) * 100).astype(np.int64)
    terms = {"num_slots": 8, "num_gpus": 4, "num_nodes": 2, "num_groups": 2}
    problem = Problem(load, **terms, topology=Topology(price=0.2))
    rows = all_plans(problem)
    held = eplb_opt.plan(problem.with_load(before), effort=5).plan
    tiled = Plan(np.tile(held.physical_to_logical, (len(rows), 1)), 4, 4)
    cost = move_price(problem, 3).of(tiled, Plan(rows, 4, 4))
    worth = layer_objectives(problem.repeated(0, len(rows)), rows)
    given = {"effort": 5, "current": held, "cross_node_price": 3}
    for most in (0, 1, 2, 4, 6, 100):
        least = min(w for w, c in zip(worth, cost.tolist(), strict=True) if c <= most)
        found = eplb_opt.plan(problem, max_moves=most, **given)
        assert found.bounds[0].objective >= least
        assert int(move_price(problem, 3).of(held, found.plan)[0]) <= most


@pytest.mark.parametrize("seed", range(4))
def test_of_all_plans_the_limits_call_for_the_best_by_weighted_moves(seed, monkeypatch):
    """Where the search for near plans finds every plan, the answer is that of brute force."""
    rng = np.random.default_rng(seed)
    before, load = (rng.lognormal(0, 1, (2, 1, 4)) * 100).astype(np.int64)
    terms = {"num_slots": 6, "num_gpus": 3, "num_nodes": 3, "num_groups": 3}
    rules = Topology(price=0.2, homes=[0, 0, 1, 2])
    problem = Problem(load, **terms, topology=rules)
    rows = all_plans(problem)
    held = eplb_opt.plan(problem.with_load(before), effort=5).plan
    monkeypatch.setattr(near_plans, "plans_at_price", lambda *_: list(rows))
    tiled = Plan(np.tile(held.physical_to_logical, (len(rows), 1)), 3, 4)
    cost = move_price(problem, 3).of(tiled, Plan(rows, 3, 4)).tolist()
    worth = layer_objectives(problem.repeated(0, len(rows)), rows)
    given = {"effort": 2, "current": held, "cross_node_price": 3}
    for most in range(8):
        found = eplb_opt.plan(problem, max_moves=most, **given)
        least = min(w for w, c in zip(worth, cost, strict=True) if c <= most)
        assert found.bounds[0].objective == least
    for tolerance in (0.0, 0.02, 0.1, 0.3):
        found = eplb_opt.plan(problem, move_tolerance=tolerance, **given)
        level = min(worth) * (1 + Fraction(tolerance))
        fewest = min(c for w, c in zip(worth, cost, strict=True) if w <= level)
        assert int(move_price(problem, 3).of(held, found.plan)[0]) == fewest
        assert found.bounds[0].objective <= level


@pytest.mark.parametrize("kind", KINDS)
def test_a_tolerance_is_reached_with_fewer_moves_across_nodes(kind):
    rng = np.random.default_rng(3)
    load = (rng.lognormal(0, 1, (2, 32)) * 1000).astype(np.int64)
    later = (load * rng.lognormal(0, 0.2, load.shape)).astype(np.int64)
    terms = {"num_slots": 48, "num_gpus": 8, **KINDS[kind]}
    held = eplb_opt.plan(Problem(load, **terms), effort=5).plan
    problem = Problem(later, **terms)
    alike, dear = (
        eplb_opt.plan(problem, effort=5, current=held, move_tolerance=0.05, cross_node_price=across)
        for across in (1, 20)
    )
    assert dear.moves_across.sum() <= alike.moves_across.sum()
    cheap = weighted(problem, held, dear.plan, 20)
    assert cheap <= weighted(problem, held, alike.plan, 20)


def test_seconds_count_with_a_topology_and_moves_across_nodes_take_longer():
    rng = np.random.default_rng(5)
    load = (rng.lognormal(0, 1, (2, 32)) * 1000).astype(np.int64)
    later = (load * rng.lognormal(0, 0.2, load.shape)).astype(np.int64)
    terms = {"num_slots": 48, "num_gpus": 8, **KINDS["topology"]}
    held = eplb_opt.plan(Problem(load, **terms), effort=5).plan
    problem = Problem(later, **terms)
    net = []
    for across in (1, 50):
        cost = MoveCost(10**7, 1e9, 0.05, 0.5, 100)
        found = eplb_opt.plan(
            problem, effort=5, current=held, move_cost=cost, cross_node_price=across
        )
        told = cost.assess(problem, held, found.plan, across)
        assert (told.net >= 0).all()
        assert told.before.sum() > 0
        stays = eplb_opt.evaluate(problem, held).objective.sum()
        gained = stays - found.objective.sum()
        expected = cost.moe_seconds * gained / stays
        assert told.before.sum() - told.after.sum() == pytest.approx(expected)
        net.append(told.net_seconds)
    assert net[0] > 0
    assert net[1] <= net[0]


def test_lost_gpus_keep_the_nodes_of_those_that_are_left():
    load = np.random.default_rng(2).integers(1, 100, (1, 8))
    terms = {"num_slots": 16, "num_gpus": 4, "num_nodes": 2}
    held = eplb_opt.plan(Problem(load, **terms), effort=1).plan.physical_to_logical.copy()
    held[:, 4:8] = -1
    lost = Problem(load[:, ::-1], **terms, active_gpus=[True, False, True, True])
    result = eplb_opt.plan(lost, effort=1, current=held, max_moves=40, cross_node_price=4)
    plans = Plan(held, 4, 8), result.plan
    assert result.moves_across.sum() == across_nodes_by_gpu(*plans, np.array([0, 0, 1, 1])).sum()
    assert move_price(lost, 4).of(*plans).sum() <= 40
    assert moved_slots(*plans).sum() == result.moves.sum()


def test_a_frontier_counts_what_it_is_told():
    held, problem = in_force("topology", 1), problem_of("topology", 2)
    found = eplb_opt.frontier(problem, held, effort=2, cross_node_price=5)
    for most in found.moves.tolist():
        assert weighted(problem, held, found.plan(most), 5) <= most


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cross_node_price": 0}, "cross_node_price=0"),
        ({"cross_node_price": 1001}, "cross_node_price=1001"),
        ({"cross_node_price": 2, "num_nodes": 1}, "needs num_nodes above 1"),
        ({"cross_node_price": 2, "current": None}, "needs current="),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    nodes = arguments.pop("num_nodes", 2)
    problem = Problem([[1, 2, 3, 4]], 4, 2, nodes)
    given = {"current": [[0, 1, 2, 3]]} | arguments
    with pytest.raises(ProblemError, match=message):
        eplb_opt.plan(problem, effort=0, **given)


def test_nodes_of_unequal_size_have_no_number():
    assert MovePrice(np.array([0, 0, 1])).equal_nodes is None
    assert MovePrice(np.array([0, 1, 1, 2])).equal_nodes is None
    assert MovePrice(np.array([0, 0, 1, 1])).equal_nodes == 2
