"""Plans whose nodes are filled before their GPUs are packed."""

import numpy as np
import pytest

from eplb_opt import Problem, Topology
from eplb_opt.clock import Deadline
from eplb_opt.placement import checker, scoring
from eplb_opt.placement.homes import off_home
from eplb_opt.search.annealing.cooling import Runs
from eplb_opt.search.annealing.packed import slots_alike
from eplb_opt.search.annealing.topology import TopologySearch

MACHINE = {"num_slots": 72, "num_gpus": 12, "num_nodes": 3, "num_groups": 6}


def layer(topology=None, seed=0, **change):
    load = np.random.default_rng(seed).lognormal(0, 1, (1, 60)) * 1000
    return Problem(load.astype(np.int64), topology=topology or Topology(0.3), **(MACHINE | change))


def start(problem):
    placed = np.full(problem.num_slots, -1)
    placed[problem.is_open] = np.arange(problem.is_open.sum()) % problem.num_experts
    return placed


def searched(problem, slices=1500, placed=None):
    search = TopologySearch(problem, start(problem) if placed is None else placed, 0)
    search.run_slices(slices)
    return search


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"num_nodes": 4, "num_gpus": 18},
        {"active_gpus": np.arange(12) != 5},
        {"topology": Topology(0.3, nodes=np.array([0] * 3 + [1] * 4 + [2] * 5))},
        {"topology": Topology(0.3, rank_costs=np.array([[0, 1, 2], [1, 0, 2], [3, 1, 0.5]]))},
    ],
    ids=["like nodes", "last node smaller", "a lost GPU", "nodes of any size", "costs by node"],
)
def test_it_reaches_valid_plans_that_are_worth_what_it_says(change):
    problem = layer(**change)
    search = searched(problem)
    assert search.packed is not None
    placed = search.placed()[None]
    checker.check(problem, placed)
    # Scores take the best homes for a plan, and the search those that it began with.
    assert float(scoring.objectives(problem, placed)[0]) <= search.best * (1 + 1e-9)
    with_clock = TopologySearch(problem, start(problem), 0)
    with_clock.run_until(Deadline.after(0.05))
    checker.check(problem, with_clock.placed()[None])


def test_it_beats_the_search_of_single_gpus_at_the_same_work():
    for seed in range(3):
        problem = layer(seed=seed)
        single = TopologySearch(problem, start(problem), 0)
        Runs(single, single.params.cooling, problem.num_slots).counted(1500)
        assert searched(problem).best < single.best


def test_counted_work_gives_the_same_plan():
    assert (searched(layer()).placed() == searched(layer()).placed()).all()


def test_anchors_and_limits_hold_where_gpus_are_packed():
    strict = searched(layer(Topology(100.0))).placed()
    anchored = layer(Topology(0.0, anchored=True))
    placed = searched(anchored, placed=strict).placed()[None]
    checker.check(anchored, placed)
    most = float(off_home(layer(), strict[None])[0])
    limited = layer(Topology(0.0, max_off_home=most))
    placed = searched(limited, placed=strict).placed()[None]
    assert off_home(limited, placed)[0] <= most


def test_what_is_packed_apart_needs_like_gpus_and_free_slots():
    assert slots_alike(layer()) == 6
    assert slots_alike(layer(colocation="forbid")) == 0
    assert slots_alike(layer(gpu_speed=[1.0] * 11 + [2.0])) == 0
    by_gpu = layer(Topology(0.3, rank_costs=np.arange(144.0).reshape(12, 12)))
    assert TopologySearch(by_gpu, start(by_gpu), 0).packed is None
