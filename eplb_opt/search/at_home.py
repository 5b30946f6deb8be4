"""Plans that keep experts at home: where the search for a priced topology begins."""

from __future__ import annotations

import numpy as np

from eplb_opt.bounds.topology import home_choices
from eplb_opt.core import local, serving
from eplb_opt.problem import node_kinds, topology
from eplb_opt.problem.problem import Problem
from eplb_opt.problem.scenarios import blended
from eplb_opt.search.annealing.starts import counts_for_all
from eplb_opt.search.at_links import level_nodes
from eplb_opt.search.fill import fill_plan

#: Exchanges of a layer in the first plan at a price; more find little, and cost milliseconds.
FIRST_STEPS = 100


def first_plan_at_home(problem: Problem) -> np.ndarray:
    """A first plan for a topology, int64 [num_layers, num_slots].

    Where a price alone decides, it is the one that serving calls get, in a millisecond a layer at
    most. Under other rules all that fits at home is there; a limit on what is off home may be
    broken, see `within_limit`. With scenarios it is made for their blend.
    """
    one_load = blended(problem)
    if _has_price_alone(problem):
        return _plan_at_price(one_load)
    layers = [one_load.layer(layer_idx) for layer_idx in range(problem.num_layers)]
    return np.array([plan_at_home(layer, first_homes(layer)) for layer in layers])


def first_plan_on_nodes(problem: Problem) -> np.ndarray:
    """A first plan where groups stay on nodes whose GPUs differ, int64 [num_layers, num_slots]."""
    asked = node_kinds.at_home_alone(blended(problem))
    group = topology.group_of_experts(asked)
    layers = [asked.layer(layer_idx) for layer_idx in range(asked.num_layers)]
    return np.array([plan_at_home(layer, level_choice(layer)[group]) for layer in layers])


def _has_price_alone(problem: Problem) -> bool:
    """Whether a price alone says where an expert stands, on nodes as in a serving call."""
    rules = problem.topology
    if rules is None or rules.homes is not None or rules.keeps_all_at_home:
        return False
    if not rules.counts_off_home:
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
    """Home nodes of one layer, int64 [num_experts]: the problem's, or those of level nodes.

    Where tokens have sources and homes bind nobody, cheap nodes for each expert.
    """
    rules = problem.topology
    if rules is not None and rules.sources is not None and not rules.anchored:
        return level_nodes(problem)
    if rules is not None and rules.homes is not None:
        return np.asarray(rules.homes[0])
    return np.asarray(level_choice(problem)[topology.group_of_experts(problem)])


def level_choice(problem: Problem) -> np.ndarray:
    """A node for each group, int64 [num_groups], that levels the loads of GPUs on the nodes.

    The best of all choices where there are few; else the heaviest group that is left goes to the
    node with the least load for its GPUs, after those that must have more groups.
    """
    group = topology.group_of_experts(problem)
    totals = np.bincount(group, problem.load[0].astype(np.float64), problem.num_groups)
    gpus = node_kinds.capacity_of_nodes(problem)
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
    slots = topology.slots_of_nodes(problem)
    held, homeless = [], []
    for node in range(problem.num_nodes):
        experts = np.flatnonzero(homes == node)
        experts = experts[np.argsort(-load[experts], kind="stable")].tolist()
        held.append(experts[: slots[node]])
        homeless += experts[slots[node] :]
    for expert in homeless:
        room = [int(slots[n]) - len(experts) for n, experts in enumerate(held)]
        held[int(np.argmax(room))].append(expert)
    placed = np.full((problem.num_gpus, problem.slots_per_gpu), -1, dtype=np.int64)
    for gpus, experts in zip(node_kinds.gpus_on_nodes(problem), held, strict=True):
        filled = _filled(problem, experts, gpus)
        placed[gpus] = filled.reshape(len(gpus), -1)
    return placed.ravel()


def _filled(problem: Problem, experts: list[int], gpus: list[int]) -> np.ndarray:
    """The slots of a node's GPUs with these experts, int64 [slots of the node]."""
    slots, num_gpus = problem.open_slots[gpus], len(gpus)
    num_slots = int(slots.sum())
    apart = problem.colocation == "forbid"
    load = problem.load[0]
    most = num_gpus if apart else num_slots
    needed = int(slots.max()) if apart else 1
    for expert in np.argsort(load, kind="stable").tolist():
        if len(experts) >= needed:
            break
        if expert not in experts:  # the lightest, which are least off home
            experts = [*experts, expert]
    rows = np.array(experts)
    if problem.has_gpu_rules:
        return _filled_unlike(problem, rows, gpus)
    weight = load[rows].astype(np.float64)[:, None]
    count = counts_for_all(weight, np.ones(1), num_slots, most)
    packed = local.pack(load[rows] // count, count, num_gpus, problem.slots_per_gpu, apart)
    if packed is None:  # dealt out in turn, replicas of an expert to as many GPUs
        dealt = np.repeat(np.arange(len(rows)), count)
        packed = dealt.reshape(problem.slots_per_gpu, num_gpus).T.ravel()
    return np.asarray(rows[packed])


def _filled_unlike(problem: Problem, experts: np.ndarray, gpus: list[int]) -> np.ndarray:
    """The same where GPUs have speeds or slots of their own."""
    speed = None if problem.gpu_speed is None else problem.gpu_speed[gpus]
    node = Problem(
        problem.load[:, experts],
        len(gpus) * problem.slots_per_gpu,
        len(gpus),
        colocation=problem.colocation,
        gpu_slots=problem.open_slots[gpus],
        gpu_speed=speed,
    )
    placed = fill_plan(node)[0]
    return np.asarray(np.where(placed < 0, placed, experts[placed]))
