"""The search where links have costs or tokens sources, and what it begins with."""

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Problem, ProblemError, Topology, evaluate, plan
from eplb_opt.certificates import verify
from eplb_opt.placement import checker, homes, scoring
from eplb_opt.search.annealing.topology import TopologySearch
from eplb_opt.search.at_links import level_nodes
from eplb_opt.search.starts import first_plan
from tests.homes_oracle import home_optimum
from tests.link_problems import tiny_links


def problem(by="gpu", num_layers=1, homes=None, num_nodes=4, **rules):
    rng = np.random.default_rng(5)
    load = (rng.lognormal(0, 1.2, (num_layers, 32)) * 1000).astype(np.int64)
    node = np.arange(8) // (8 // num_nodes)
    costs = np.where(node[:, None] == node, 0.2, 1.0) * (1 - np.eye(8))
    size = 8 if by == "gpu" else num_nodes
    sources = (rng.dirichlet(np.full(size, 0.4), (num_layers, 32)) * 999).astype(int)
    given = {"rank_costs": costs, "sources": sources.transpose(0, 2, 1), "homes": homes}
    topology = Topology(**({"price": 0.3} | given | rules))
    return Problem(load, 48, 8, num_nodes=num_nodes, num_groups=8, topology=topology)


RULES = {
    "gpus": {},
    "nodes": {"by": "node"},
    "one node": {"num_nodes": 1},
    "limit": {"max_off_home": 0.5},
    "anchored": {"homes": np.arange(32) % 4, "anchored": True},
    "given homes": {"homes": np.arange(32) % 4, "sources": None},
    "chosen homes": {"sources": None},
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_the_search_beats_its_start_and_says_what_its_plan_is_worth(rules):
    asked = problem(**rules)
    start = first_plan(asked)
    checker.check(asked, start)
    search = TopologySearch(asked, start[0], seed=1)
    before = search.best
    assert before <= float(scoring.objectives(asked, start)[0]) * (1 + 1e-9)
    search.run_slices(300)
    placed = search.placed()[None]
    checker.check(asked, placed)
    worth = float(scoring.objectives(asked, placed)[0])
    assert worth <= search.best * (1 + 1e-9)
    assert search.best < before - 0.001


def test_a_higher_price_makes_links_cheaper():
    found = {}
    for price in (0.0, 1.0):
        asked = problem(price=price)
        search = TopologySearch(asked, first_plan(asked)[0], seed=1)
        search.run_slices(300)
        found[price] = homes.off_home(asked, search.placed()[None])[0]
    assert found[1.0] < found[0.0] - 0.1


def test_a_call_begins_with_the_better_of_two_plans_in_each_layer():
    asked = problem(num_layers=3)
    both = [scoring.objectives(asked, first_plan(a)) for a in (asked, asked.flat())]
    found = [pair.objective for pair in plan(asked, time_limit=0).bounds]
    assert all(mine <= min(two) for mine, *two in zip(found, *both, strict=True))


def test_cheap_nodes_are_chosen_while_they_are_level():
    load = np.array([[10, 10, 10, 10, 1, 1]])
    sources = np.array([[1] * 6, [0] * 6])
    asked = Problem(load, 8, 4, num_nodes=2, topology=Topology(0.3, sources=sources))
    # Half of the load goes to the other node, though all tokens come from one.
    nodes = level_nodes(asked)[0]
    assert np.bincount(nodes, load[0]).tolist() == [21, 21]
    dear = asked.with_topology(Topology(9.0, sources=sources))
    assert np.bincount(level_nodes(dear)[0], load[0], 2)[1] < 21


def test_counted_work_gives_the_same_plan_at_any_number_of_workers():
    asked = problem(num_layers=2)
    results = [plan(asked, effort=3, workers=w) for w in (1, 2)]
    plans = [result.plan.physical_to_logical.tolist() for result in results]
    assert plans[0] == plans[1]
    assert results[0].bounds == results[1].bounds


def test_a_plan_comes_with_a_proof():
    asked = problem(num_layers=2)
    result = plan(asked, effort=6, workers=1)
    assert result.bound_source == ["traffic", "traffic"]
    for layer_idx, certificate in enumerate(result.certificates):
        proven = verify(asked.layer(layer_idx), certificate)
        assert proven <= result.bounds[layer_idx].objective
    assert result.model_gap < 0.05
    assert result.off_home.tolist() == pytest.approx(
        [float(cost) for cost in homes.off_home(asked, result.plan.physical_to_logical)]
    )


def test_lost_gpus_send_nothing():
    asked = problem()
    rules, load = asked.topology, asked.load
    lost = np.arange(8) != 3
    few = Problem(load, 48, 8, num_nodes=4, topology=rules, active_gpus=lost)
    result = plan(few, effort=2, workers=1)
    assert (result.plan.physical_to_logical.reshape(8, 6)[3] == -1).all()
    assert result.bounds[0].lower <= result.bounds[0].objective


@settings(max_examples=12, deadline=None)
@given(tiny_links())
def test_plans_obey_the_rules_and_bounds_hold(asked):
    if asked is None:
        return
    try:
        result = plan(asked, effort=2, workers=1)
    except ProblemError:
        return
    best = home_optimum(asked)
    assert result.bounds[0].lower <= best <= result.bounds[0].objective


def test_few_moves_go_with_links_on_gpus_of_unlike_speeds():
    load = (np.random.default_rng(3).lognormal(0, 1, (1, 32)) * 1000).astype(np.int64)
    tokens = np.random.default_rng(4).integers(0, 9, (4, 32))
    rules = Topology(0.3, rank_costs=np.where(np.eye(4), 0.1, 1.0), sources=tokens)
    asked = Problem(load, 48, 8, num_nodes=4, gpu_speed=[1, 0.5] * 4, topology=rules)
    held = plan(asked, effort=5)
    verify(asked, held.certificates[0])
    later = asked.with_load(load[:, ::-1])
    before = evaluate(later, held.plan).objective
    near = plan(later, effort=3, current=held.plan, max_moves=8)
    assert near.moves.sum() <= 8
    assert near.messages == ()
    assert near.objective[0] < before[0]
