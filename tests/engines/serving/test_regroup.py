"""Groups that change nodes for a plan near the map in force."""

from itertools import combinations

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Plan, Problem, evaluate
from eplb_opt.bench.families import family_loads
from eplb_opt.engines.serving.regroup import heaviest_nodes, with_traded_groups
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
    assert heaviest_nodes(load[None], held[None], LAYOUT)[0] == before
    one_trade = [
        np.where(np.arange(8) == a, homes[b], np.where(np.arange(8) == b, homes[a], homes))
        for a, b in combinations(range(8), 2)
    ]
    least = min(heaviest(load, after) for after in one_trade)
    traded = with_traded_groups(load, held, LAYOUT, float(least))
    if least >= before:
        assert traded is None
        return
    node_of = np.arange(64) // 32
    after = np.array([set(node_of[traded // 6 == group].tolist()).pop() for group in range(8)])
    assert all(
        len(set(node_of[(traded // 6 == g) & (traded >= 0)].tolist())) == 1 for g in range(8)
    )
    assert set(traded.tolist()) - {-1} == set(range(48))
    assert heaviest(load, after) == least
    assert (after != homes).sum() == 2
    # What has not changed its node has not changed its slot.
    stays = ~np.isin(held // 6, np.flatnonzero(after != homes))
    assert (traded[stays] == held[stays]).all()


def test_no_group_moves_where_no_trade_helps_or_none_is_asked_for():
    held, _ = random_held(3)
    load = np.full(48, 5)
    assert with_traded_groups(load, held, LAYOUT, 0.0) is None
    load = np.random.default_rng(1).integers(1, 1000, 48)
    assert with_traded_groups(load, held, LAYOUT, float(load.sum())) is None


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
