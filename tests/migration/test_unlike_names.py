"""Names of GPUs that differ: like trades with like, and a plan is worth what it was."""

import numpy as np
import pytest

from eplb_opt import Problem, Topology
from eplb_opt.clock import Deadline
from eplb_opt.migration.naming import keeps_names, named
from eplb_opt.migration.unlike_names import has_unlike_names
from eplb_opt.placement import checker, scoring
from eplb_opt.search.starts import better_plans, first_plan

LOAD = (np.random.default_rng(5).lognormal(0, 1, (1, 16)) * 1000).astype(np.int64)
SPEEDS = [1, 0.5, 0.5, 1, 1, 0.5, 0.5, 1]  # of two nodes that are alike
FLAT = {"num_nodes": 1, "num_groups": 1}


def problem(topology=None, **terms):
    given = {"num_nodes": 2, "num_groups": 4, "gpu_speed": SPEEDS} | terms
    return Problem(LOAD, 32, 8, topology=topology, **given)


def under_names(placed, names):
    """The plan whose GPU g is called names[g]."""
    rows = np.empty_like(placed[0].reshape(8, 4))
    rows[names] = placed[0].reshape(8, 4)
    return rows.ravel()


@pytest.mark.parametrize(
    "asked",
    [
        problem(Topology(0.3)),
        problem(Topology(0.3, homes=np.arange(16) // 8)),
        problem(),
        problem(**FLAT),
        problem(Topology(0.3), gpu_slots=[4, 4, 3, 4, 4, 4, 3, 4]),
    ],
    ids=["priced", "homes", "strict", "flat", "slots"],
)
def test_gpus_that_are_alike_get_their_names_back(asked):
    placed = first_plan(asked)
    for better in better_plans(asked, placed, Deadline()):  # in which no two GPUs hold the same
        placed = better
    turned = under_names(placed, np.array([3, 1, 2, 0, 4, 5, 6, 7]))
    if asked.gpu_slots is None:
        turned = under_names(turned[None], np.array([0, 2, 1, 3, 7, 5, 6, 4]))
    assert (turned != placed[0]).any()
    again = named(asked, placed[0], turned)
    assert (again == placed[0]).all()
    assert not keeps_names(asked)


@pytest.mark.parametrize("homes", [None, np.arange(16) // 8], ids=["chosen", "given"])
def test_nodes_trade_places_where_their_homes_are_chosen(homes):
    asked = problem(Topology(0.3, homes=homes))
    placed = first_plan(asked)
    turned = under_names(placed, np.array([4, 5, 6, 7, 0, 1, 2, 3]))
    again = named(asked, placed[0], turned)
    assert (again == placed[0]).all() == (homes is None)
    worth = scoring.objectives(asked, np.array([turned]))
    assert scoring.objectives(asked, again[None]) == worth


def test_gpus_of_other_speeds_or_slots_never_trade():
    asked = problem(**FLAT, gpu_slots=[4, 4, 3, 4, 4, 4, 4, 4])
    placed = first_plan(asked)
    rng = np.random.default_rng(0)
    for _ in range(10):
        # Another order of experts on the GPUs, each in slots that can be filled.
        held = placed.copy()
        held[0, asked.is_open] = rng.permutation(placed[0, asked.is_open])
        again = named(asked, held[0], placed[0])
        checker.check(asked, again[None])
        assert scoring.objectives(asked, again[None]) == scoring.objectives(asked, placed)


def test_experts_that_are_tied_to_gpus_leave_no_names_to_trade():
    for rule in ({"pinned": [(0, 0)]}, {"forbidden": [(0, 0)]}, {"spread": "gpu"}):
        tied = problem(**FLAT, **rule)
        assert keeps_names(tied)
        assert not has_unlike_names(tied)


LINKS = np.where(np.eye(2), 0.0, [[0.4], [0.9]])  # nodes that are alike but for what leaves them


def test_costs_of_links_keep_names_that_they_tell_apart():
    tokens = np.random.default_rng(2).integers(1, 9, (2, 16))
    by_node = problem(Topology(0.3, rank_costs=LINKS, sources=tokens))
    placed = first_plan(by_node)
    turned = under_names(placed, np.array([3, 1, 2, 0, 4, 5, 6, 7]))
    assert (named(by_node, placed[0], turned) == placed[0]).all()
    swapped = under_names(placed, np.array([4, 5, 6, 7, 0, 1, 2, 3]))
    again = named(by_node, placed[0], swapped)
    worth = scoring.objectives(by_node, swapped[None])
    assert scoring.objectives(by_node, again[None]) == worth
    tokens = np.random.default_rng(2).integers(1, 9, (8, 16))
    by_gpu = problem(Topology(0.3, rank_costs=1 - np.eye(8), sources=tokens))
    assert keeps_names(by_gpu)
