"""Groups that change nodes for a plan near the map in force."""

from itertools import combinations

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Plan, Problem, evaluate
from eplb_opt.bench.families import family_loads
from eplb_opt.engines.serving.regroup import (
    after_trades,
    heaviest_nodes,
    homes_of,
    with_traded_groups,
)
from eplb_opt.placement.moves import moved_slots
from heuristics.layout import make_layout

LAYOUT = make_layout(48, 64, 8, 2, 8)


def random_held(seed, layout=LAYOUT):
    """A map with each group on one node and the same number of groups on each."""
    rng = np.random.default_rng(seed)
    homes = rng.permutation(np.arange(layout.num_groups) % layout.num_nodes)
    placed = np.empty(layout.num_slots, dtype=np.int64)
    for node in range(layout.num_nodes):
        experts = np.flatnonzero(homes[np.arange(layout.num_experts) // layout.group_size] == node)
        more = rng.choice(experts, layout.node_slots - len(experts))
        slots = slice(node * layout.node_slots, (node + 1) * layout.node_slots)
        placed[slots] = rng.permutation(np.concatenate([experts, more]))
    return placed, homes


def heaviest(load, homes):
    groups = load.reshape(8, -1).sum(axis=1)
    return max(groups[homes == node].sum() for node in set(homes.tolist()))


@pytest.mark.parametrize("seed", range(8))
def test_a_trade_is_the_best_one_and_keeps_the_rules(seed):
    held, homes = random_held(seed)
    load = np.random.default_rng(seed).integers(1, 1000, 48)
    before = heaviest(load, homes)
    assert (homes_of(held[None], LAYOUT)[0] == homes).all()
    assert heaviest_nodes(load[None], homes[None], LAYOUT)[0] == before
    one_trade = []
    for a, b in combinations(range(8), 2):
        one_trade.append(homes.copy())
        one_trade[-1][[a, b]] = homes[[b, a]]
    least = min(heaviest(load, after) for after in one_trade)
    after = after_trades(load[None], homes[None], LAYOUT, np.array([least]))[0]
    assert heaviest(load, after) == min(least, before)
    assert (after != homes).sum() == (2 if least < before else 0)
    traded = with_traded_groups(held, homes, after, LAYOUT)
    node_of = np.arange(64) // 32
    for group in range(8):
        nodes = node_of[(traded >= 0) & (traded // 6 == group)]
        assert set(nodes.tolist()) == {after[group]}
    assert set(traded.tolist()) - {-1} == set(range(48))
    # What has not changed its node has not changed its slot.
    stays = ~np.isin(held // 6, np.flatnonzero(after != homes))
    assert (traded[stays] == held[stays]).all()


def test_no_group_moves_where_no_trade_helps_or_none_is_asked_for():
    _, homes = random_held(3)
    for load, level in ((np.full(48, 5), 0), (np.arange(48), 48 * 48)):
        after = after_trades(load[None], homes[None], LAYOUT, np.array([level]))
        assert (after[0] == homes).all()


def test_layers_are_traded_apart_from_each_other():
    loads = np.random.default_rng(2).integers(1, 1000, (5, 48))
    homes = np.stack([random_held(seed)[1] for seed in range(5)])
    nothing = np.zeros(5)
    together = after_trades(loads, homes, LAYOUT, nothing)
    for i in range(5):
        alone = after_trades(loads[i : i + 1], homes[i : i + 1], LAYOUT, nothing[:1])
        assert (alone[0] == together[i]).all()


@pytest.mark.parametrize("num_nodes", [2, 4])
def test_near_plans_are_within_the_tolerance_of_fresh_ones_when_nodes_drift_apart(num_nodes):
    load = family_loads("lognormal-1.0", 4, 48, 2)
    rng = np.random.default_rng(5)
    # Whole groups become hotter and cooler.
    later = np.rint(load * np.repeat(rng.lognormal(0, 0.5, (4, 8)), 6, axis=1)).astype(int)
    sizes = 64, 8, num_nodes, 8
    held = eplb_opt.rebalance_experts(load, *sizes, effort=100)[0]
    placed = eplb_opt.rebalance_experts(
        later, *sizes, effort=100, current=held, move_tolerance=0.01
    )[0]
    fresh = eplb_opt.rebalance_experts(later, *sizes, effort=100)[0]
    problem = Problem(later, 64, 8, num_nodes, 8)
    Plan(placed, 8).check(problem)
    ours, best = (evaluate(problem, ids).objective for ids in (placed, fresh))
    assert (ours <= best * 1.01 * 1.000001).all()
    assert (evaluate(problem, held).objective > best * 1.05).any()
    plans = [Plan(ids, 8, 48) for ids in (held, placed, fresh)]
    assert moved_slots(plans[0], plans[1]).sum() < 0.8 * moved_slots(plans[0], plans[2]).sum()
