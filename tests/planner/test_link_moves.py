"""A plan in force where links have costs: who may trade names, and few moves."""

import numpy as np
import pytest

from eplb_opt import Problem, Topology, plan
from eplb_opt.migration.naming import named
from eplb_opt.placement.scoring import objectives


def problem(by_gpu, seed=0, **rules):
    rng = np.random.default_rng(seed)
    load = (rng.lognormal(0, 1.0, (1, 24)) * 1000).astype(np.int64)
    node = np.arange(6) // 2
    costs = np.where(node[:, None] == node, 0.2, 1.0) * (1 - np.eye(6))
    sources = rng.integers(0, 9, (6 if by_gpu else 3, 24))
    topology = Topology(0.3, rank_costs=costs, sources=sources, **rules)
    return Problem(load, 36, 6, num_nodes=3, num_groups=6, topology=topology)


def shuffled(placed, order):
    return placed.reshape(6, -1)[order].ravel()


@pytest.mark.parametrize("by_gpu", [True, False])
def test_names_change_nothing_of_what_a_plan_is_worth(by_gpu):
    asked = problem(by_gpu)
    best = plan(asked, effort=2, workers=1).plan.physical_to_logical[0]
    # In force: the same GPUs, in another order within nodes, and nodes in another order.
    within, across = shuffled(best, [1, 0, 3, 2, 5, 4]), shuffled(best, [2, 3, 0, 1, 4, 5])
    for current in (within, across):
        found = named(asked, current, best)
        assert objectives(asked, found[None]) == objectives(asked, best[None])
    assert (named(asked, within, best) == within).all() != by_gpu


@pytest.mark.parametrize("by_gpu", [True, False])
def test_few_moves_cost_little(by_gpu):
    asked = problem(by_gpu, 1)
    current = plan(problem(by_gpu, 0), effort=2, workers=1).plan.physical_to_logical
    few = plan(asked, effort=3, workers=1, current=current, max_moves=6)
    assert few.moves.sum() <= 6
    assert few.bounds[0].objective <= objectives(asked, current)[0]
