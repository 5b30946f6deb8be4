"""Plans that keep experts at home: where the search for a priced topology begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.topology import home_choices
from eplb_opt.core import local, serving
from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.placement import checker
from eplb_opt.problem import topology
from eplb_opt.problem.scenarios import blended
from eplb_opt.search.annealing.starts import counts_for_all

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem


#: Exchanges of a layer in the first plan at a price; more find little, and cost milliseconds.
FIRST_STEPS = 100


def first_plan_at_home(problem: Problem) -> np.ndarray:
    """A first plan for a topology, int64 [num_layers, num_slots].

    Where a price alone decides, it is the one that serving calls get, in a millisecond a layer at
    most. Under other rules all that fits at home is there. With scenarios it is made for their
    blend.

    Raises
    ------
    ProblemError
        Where it breaks the limit on what is off home.
    """
    one_load = blended(problem)
    if _has_price_alone(problem):
        return _plan_at_price(one_load)
    rows = []
    for layer_idx in range(problem.num_layers):
        layer = one_load.layer(layer_idx)
        rows.append(plan_at_home(layer, first_homes(layer)))
    placed = np.array(rows)
    try:
        checker.check(problem, placed)
    except PlanError as error:
        raise ProblemError(
            f"No plan was found that keeps the rules of the topology: {error} A node must fill its "
            "slots; give it experts that are at home there, or allow more off home."
        ) from error
    return placed


def _has_price_alone(problem: Problem) -> bool:
    """Whether a price alone says where an expert stands, on nodes as in a serving call."""
    rules = problem.topology
    if rules is None or rules.homes is not None or rules.keeps_all_at_home:
        return False
    if (topology.node_of_gpus(problem) != topology.equal_nodes(problem)).any():
        return False
    return problem.colocation == "allow" and not problem.has_gpu_rules


def _plan_at_price(problem: Problem) -> np.ndarray:
    """The serving path's plan at the problem's price."""
    price = 0.0 if problem.topology is None else problem.topology.price
    sizes = problem.num_slots, problem.num_groups, problem.num_nodes, problem.num_gpus
    session = serving.PricedSession(problem.load.astype(np.float64), sizes, price)
    session.plan(FIRST_STEPS, None)
    return np.asarray(session.placed)


def first_homes(problem: Problem) -> np.ndarray:
    """Home nodes of one layer, int64 [num_experts]: the problem's, or those of level nodes."""
    rules = problem.topology
    if rules is not None and rules.homes is not None:
        return np.asarray(rules.homes[0])
    return np.asarray(level_choice(problem)[topology.group_of_experts(problem)])


def level_choice(problem: Problem) -> np.ndarray:
    """A node for each group, int64 [num_groups], that levels the loads of GPUs on the nodes.

    The best of all choices where there are few; else the heaviest group that is left goes to the
    node with the least load a GPU, after those that must have more groups.
    """
    group = topology.group_of_experts(problem)
    totals = np.bincount(group, problem.load[0].astype(np.float64), problem.num_groups)
    gpus = topology.gpus_of_nodes(problem)
    choices = home_choices(problem)
    if choices is not None:
        on_node = (choices[:, :, None] == np.arange(problem.num_nodes)) * totals[:, None]
        return np.asarray(choices[int((on_node.sum(axis=1) / gpus).max(axis=1).argmin())])
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
    """A plan of one layer with all that fits at home there, int64 [num_slots].

    Where a node has more experts than slots, its lightest ones go where slots are left; where a
    node has too few experts to fill its slots, it gets replicas of others.

    Parameters
    ----------
    problem
        A problem of one layer with a topology.
    homes
        int64 [num_experts], the home node of each expert.
    """
    load = problem.load[0]
    slots, gpus = topology.slots_of_nodes(problem), topology.gpus_of_nodes(problem)
    held, homeless = [], []
    for node in range(problem.num_nodes):
        experts = np.flatnonzero(homes == node)
        experts = experts[np.argsort(-load[experts], kind="stable")].tolist()
        held.append(experts[: slots[node]])
        homeless += experts[slots[node] :]
    for expert in homeless:
        room = [int(slots[n]) - len(experts) for n, experts in enumerate(held)]
        held[int(np.argmax(room))].append(expert)
    rows = [_filled(problem, held[n], int(gpus[n])) for n in range(problem.num_nodes)]
    return np.concatenate(rows)


def _filled(problem: Problem, experts: list[int], num_gpus: int) -> np.ndarray:
    """The slots of one node with these experts, int64 [slots of the node]."""
    num_slots = num_gpus * problem.slots_per_gpu
    apart = problem.colocation == "forbid"
    load = problem.load[0]
    most = num_gpus if apart else num_slots
    for expert in np.argsort(load, kind="stable").tolist():
        if len(experts) * most >= num_slots:
            break
        if expert not in experts:  # the lightest, which are least off home
            experts = [*experts, expert]
    rows = np.array(experts)
    weight = load[rows].astype(np.float64)[:, None]
    count = counts_for_all(weight, np.ones(1), num_slots, most)
    packed = local.pack(load[rows] // count, count, num_gpus, problem.slots_per_gpu, apart)
    if packed is None:  # dealt out in turn, replicas of an expert to as many GPUs
        dealt = np.repeat(np.arange(len(rows)), count)
        packed = dealt.reshape(problem.slots_per_gpu, num_gpus).T.ravel()
    return np.asarray(rows[packed])
