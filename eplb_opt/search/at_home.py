"""Plans that keep experts at home: where the search for a priced topology begins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.topology import home_choices
from eplb_opt.core import rules, serving
from eplb_opt.errors import ProblemError
from eplb_opt.problem import node_kinds, topology
from eplb_opt.problem.scenarios import blended
from eplb_opt.search.at_links import level_nodes

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: Exchanges of a layer in the first plan at a price; more find little, and cost milliseconds.
FIRST_STEPS = 100
#: Seconds that one of them takes for each node.
STEP_SECONDS = 2.5e-7


def first_plan_at_home(problem: Problem, seconds: float = math.inf) -> np.ndarray:
    """A first plan for a topology, int64 [num_layers, num_slots].

    Where a price alone decides, it is the one that serving calls get, in a millisecond a layer at
    most. Under other rules all that fits at home is there; a limit on what is off home may be
    broken, see `within_limit`. With scenarios it is made for their blend.

    Parameters
    ----------
    problem
        A problem with a topology.
    seconds
        What it may take; a plan at a price gets fewer exchanges in less time.
    """
    one_load = blended(problem)
    if _has_serving_nodes(problem):
        return _plan_at_price(one_load, seconds)
    return plans_at_home(one_load, first_homes(one_load))


def fits_at_home(problem: Problem) -> bool:
    """Whether all is at home in the plan of `first_plan_at_home`, so that no rule is broken."""
    terms, one_load = problem.topology, blended(problem)
    is_free = terms is None or terms.max_off_home is None or terms.counts_off_home
    return (
        is_free and not _has_serving_nodes(problem) and _has_room(one_load, first_homes(one_load))
    )


def _has_room(problem: Problem, homes: np.ndarray) -> bool:
    """Whether every node has slots for all that is at home there, and experts to fill them."""
    layers, num_nodes = np.arange(problem.num_layers)[:, None], problem.num_nodes
    at = (layers * num_nodes + homes).ravel()
    held = np.bincount(at, minlength=problem.num_layers * num_nodes).reshape(-1, num_nodes)
    needed = int(problem.open_slots.max()) if problem.colocation == "forbid" else 1
    return bool((held <= topology.slots_of_nodes(problem)).all() and (held >= needed).all())


def packed_plan(problem: Problem) -> np.ndarray | None:
    """A plan that heeds the load alone, for GPUs of any speeds and slots.

    Parameters
    ----------
    problem
        A problem of one load without rules on single experts.

    Returns
    -------
    int64 [num_layers, num_slots]; None where replicas must stand apart and some find no GPU.
    """
    alone = problem.with_topology(None, 1, 1)
    placed = np.full((problem.num_layers, problem.num_slots), -1, dtype=np.int64)
    done = np.zeros(problem.num_layers, dtype=bool)
    load = np.ascontiguousarray(problem.load)
    rules.place_at_home(node_rules(alone), load, np.zeros_like(load), placed, done)
    return placed if done.all() else None


def first_plan_on_nodes(problem: Problem) -> np.ndarray:
    """A first plan where groups stay on nodes whose GPUs differ, int64 [num_layers, num_slots]."""
    asked = node_kinds.at_home_alone(blended(problem))
    return plans_at_home(asked, level_choices(asked)[:, topology.group_of_experts(asked)])


def has_price_alone(problem: Problem) -> bool:
    """Whether the price of off-home shares alone says where an expert stands, as in a serving call.

    Parameters
    ----------
    problem
        A problem with a topology.
    """
    terms = problem.topology
    if terms is None or problem.splits_by_sender:
        return False
    return terms.counts_off_home and _has_serving_nodes(problem)


def _has_serving_nodes(problem: Problem) -> bool:
    """Whether nodes are as in a serving call, which chooses homes, and no rule binds."""
    terms = problem.topology
    if terms is None or not terms.chooses_homes or terms.keeps_all_at_home:
        return False
    if (topology.node_of_gpus(problem) != topology.equal_nodes(problem)).any():
        return False
    return problem.colocation == "allow" and not problem.has_gpu_rules


def _plan_at_price(problem: Problem, seconds: float) -> np.ndarray:
    """The serving path's plan at the problem's price; where links have costs, at their mean."""
    terms, links = problem.topology, problem.link_costs
    price = 0.0 if terms is None else terms.price
    node = topology.node_of_gpus(problem)
    cost = links.table[0][:, links.place] / links.unit[0]  # of homes and GPUs
    is_home = np.arange(problem.num_nodes)[:, None] == node
    price *= max(float(cost[~is_home].mean() - cost[is_home].mean()), 0.0)
    sizes = problem.num_slots, problem.num_groups, problem.num_nodes, problem.num_gpus
    session = serving.PricedSession(problem.load.astype(np.float64), sizes, price)
    expected = problem.num_layers * problem.num_nodes * FIRST_STEPS * STEP_SECONDS
    session.plan(FIRST_STEPS, None if expected <= seconds else seconds)
    return np.asarray(session.placed)


def first_homes(problem: Problem) -> np.ndarray:
    """Home nodes, int64 [num_layers, num_experts]: the problem's, or those of level nodes.

    Where tokens have sources and homes bind nobody, cheap nodes for each expert.
    """
    terms = problem.topology
    if terms is not None and terms.sources is not None and not terms.anchored:
        return level_nodes(problem)
    if terms is not None and terms.homes is not None:
        return terms.homes
    return np.asarray(level_choices(problem)[:, topology.group_of_experts(problem)])


def level_choices(problem: Problem) -> np.ndarray:
    """A node for each group, int64 [num_layers, num_groups], that levels the loads of nodes' GPUs.

    The best of all choices where there are few; else the heaviest group that is left goes to the
    node with the least load for its GPUs, after those that must have more groups.

    Parameters
    ----------
    problem
        A problem of one load with a topology.
    """
    begins = np.arange(problem.num_groups) * topology.experts_per_group(problem)
    totals = np.add.reduceat(problem.load.astype(np.float64), begins, axis=1)
    gpus = node_kinds.capacity_of_nodes(problem)
    choices = home_choices(problem)
    if choices is None:
        return np.array([_level_choice(problem, row, gpus) for row in totals])
    worst = np.zeros((problem.num_layers, len(choices)))
    for node, size in enumerate(gpus.tolist()):
        np.maximum(worst, totals @ (choices == node).T / size, out=worst)
    return np.asarray(choices[worst.argmin(axis=1)])


def _level_choice(problem: Problem, totals: np.ndarray, gpus: np.ndarray) -> np.ndarray:
    """The node of each group of one layer, [num_groups], the heaviest first."""
    least, most = topology.group_rooms(problem)
    loads, held = np.zeros(problem.num_nodes), np.zeros(problem.num_nodes, dtype=np.int64)
    choice = np.zeros(problem.num_groups, dtype=np.int64)
    for done, heaviest in enumerate(np.argsort(-totals, kind="stable").tolist()):
        must = int(np.maximum(least - held, 0).sum()) >= problem.num_groups - done
        room = held < (least if must else most)
        node = int(np.argmin(np.where(room, loads / gpus, np.inf)))
        choice[heaviest] = node
        loads[node] += totals[heaviest]
        held[node] += 1
    return choice


def plan_at_home(problem: Problem, homes: np.ndarray) -> np.ndarray:
    """`plans_at_home` of one layer, int64 [num_slots], for its homes, int64 [num_experts]."""
    return np.asarray(plans_at_home(problem, homes[None])[0])


def plans_at_home(problem: Problem, homes: np.ndarray) -> np.ndarray:
    """Plans with all that fits at home there, int64 [num_layers, num_slots].

    Where a node has more experts than slots, its lightest ones go where slots are left; where a
    node has too few experts to fill its slots, it gets replicas of others.

    Parameters
    ----------
    problem
        A problem of one load with a topology.
    homes
        int64 [num_layers, num_experts], the home node of each expert.

    Raises
    ------
    ProblemError
        Where replicas must stand apart and some find no GPU.
    """
    placed = np.full((problem.num_layers, problem.num_slots), -1, dtype=np.int64)
    done = np.zeros(problem.num_layers, dtype=bool)
    load, rows = (np.ascontiguousarray(a, dtype=np.int64) for a in (problem.load, homes))
    rules.place_at_home(node_rules(problem), load, rows, placed, done)
    if not done.all():
        raise ProblemError(
            f"layer {int(np.argmin(done))}: no plan was found with all at home that fits there and "
            "no two replicas of an expert on a GPU. Allow co-location, or take other homes."
        )
    return placed


def node_rules(problem: Problem) -> rules.GpuRules:
    """What the core fills nodes by; its unit is the node."""
    return rules.GpuRules(
        np.ascontiguousarray(problem.open_slots),
        np.ascontiguousarray(topology.node_of_gpus(problem)),
        np.array([float(speed) for speed in problem.speed]),
        False,
        problem.colocation == "forbid",
    )
