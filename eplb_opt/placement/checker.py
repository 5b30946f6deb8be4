"""The laws a plan must obey, one function a law; each returns the first offence or None.

It reads a placement and a problem and knows nothing of how the placement was found.
"""

from collections.abc import Callable

import numpy as np

from eplb_opt.errors import PlanError
from eplb_opt.placement import homes
from eplb_opt.placement.scoring import replica_counts
from eplb_opt.problem.problem import Problem


def shape_fits(problem: Problem, placed: np.ndarray) -> str | None:
    """The map has a row for each layer and a column for each slot."""
    wanted = (problem.num_layers, problem.num_slots)
    if placed.shape == wanted:
        return None
    return f"the plan has shape {list(placed.shape)}; the problem asks for {list(wanted)}."


def ids_in_range(problem: Problem, placed: np.ndarray) -> str | None:
    """Every slot that can be filled holds the id of an expert."""
    bad = problem.is_open & ((placed < 0) | (placed >= problem.num_experts))
    if not bad.any():
        return None
    layer_idx, slot_idx = np.argwhere(bad)[0]
    return (
        f"layer {layer_idx}, GPU {slot_idx // problem.slots_per_gpu}, slot {slot_idx}: expert "
        f"{placed[layer_idx, slot_idx]} is not in 0..{problem.num_experts - 1}"
        f"{' (an empty slot)' if placed[layer_idx, slot_idx] == -1 else ''}."
    )


def closed_slots_are_empty(problem: Problem, placed: np.ndarray) -> str | None:
    """Slots of lost GPUs, and those beyond what a GPU can fill, hold -1."""
    bad = ~problem.is_open & (placed != -1)
    if not bad.any():
        return None
    layer_idx, slot_idx = np.argwhere(bad)[0]
    gpu_idx = slot_idx // problem.slots_per_gpu
    return (
        f"layer {layer_idx}, GPU {gpu_idx}, slot {slot_idx}: expert {placed[layer_idx, slot_idx]} "
        f"stands there; only {problem.open_slots[gpu_idx]} slots of that GPU can be filled, the "
        "others are -1."
    )


def every_expert_is_placed(problem: Problem, placed: np.ndarray) -> str | None:
    """Every expert has at least one replica in every layer."""
    missing = replica_counts(placed, problem.num_experts) == 0
    if not missing.any():
        return None
    layer_idx, expert_idx = np.argwhere(missing)[0]
    return f"layer {layer_idx}: expert {expert_idx} is on no GPU."


def groups_stay_on_one_node(problem: Problem, placed: np.ndarray) -> str | None:
    """All replicas of a group's experts are on one node."""
    if not problem.is_hierarchical:
        return None
    seen = _groups_on_nodes(problem, placed)
    split = seen.sum(axis=2) > 1
    if not split.any():
        return None
    layer_idx, group_idx = np.argwhere(split)[0]
    nodes = np.flatnonzero(seen[layer_idx, group_idx])
    gpus = nodes * problem.gpus_per_node
    return (
        f"layer {layer_idx}: group {group_idx} stands on nodes {nodes.tolist()} (from GPUs "
        f"{gpus.tolist()} on); its replicas must stay on one node."
    )


def nodes_hold_equally_many_groups(problem: Problem, placed: np.ndarray) -> str | None:
    """Every node takes the same number of groups."""
    if not problem.is_hierarchical:
        return None
    held = _groups_on_nodes(problem, placed).sum(axis=1)
    bad = held != problem.groups_per_node
    if not bad.any():
        return None
    layer_idx, node_idx = np.argwhere(bad)[0]
    return (
        f"layer {layer_idx}, node {node_idx} (from GPU {node_idx * problem.gpus_per_node} on): "
        f"{held[layer_idx, node_idx]} groups stand there; each node takes "
        f"{problem.groups_per_node}."
    )


def _groups_on_nodes(problem: Problem, placed: np.ndarray) -> np.ndarray:
    """Whether a replica of a group stands on a node, bool [num_layers, num_groups, num_nodes]."""
    seen = np.zeros((problem.num_layers, problem.num_groups, problem.num_nodes), dtype=bool)
    node = np.arange(problem.num_slots) // problem.slots_per_node
    layers = np.arange(problem.num_layers)[:, None]
    group = placed[:, problem.is_open] // problem.experts_per_group
    seen[layers, group, node[problem.is_open]] = True
    return seen


def replicas_stand_apart(problem: Problem, placed: np.ndarray) -> str | None:
    """No GPU holds an expert twice where colocation is "forbid"."""
    if problem.colocation == "allow":
        return None
    held = np.sort(placed.reshape(problem.num_layers, problem.num_gpus, -1), axis=2)
    twice = (held[:, :, 1:] == held[:, :, :-1]) & (held[:, :, 1:] >= 0)
    if not twice.any():
        return None
    layer_idx, gpu_idx, pair_idx = np.argwhere(twice)[0]
    return (
        f"layer {layer_idx}, GPU {gpu_idx}: expert {held[layer_idx, gpu_idx, pair_idx]} stands "
        'there twice, and colocation="forbid".'
    )


def pinned_experts_stand_there(problem: Problem, placed: np.ndarray) -> str | None:
    """Every pinned expert has a replica on its GPU."""
    if problem.pinned is None:
        return None
    # In one dimension numpy looks through a hundred megabytes ten times faster than in three.
    pinned = np.flatnonzero(problem.pinned)
    layer_idx, expert_idx, gpu_idx = np.unravel_index(pinned, problem.pinned.shape)
    held = placed.reshape(problem.num_layers, problem.num_gpus, -1)[layer_idx, gpu_idx]
    missing = (held != expert_idx[:, None]).all(axis=1)
    if not missing.any():
        return None
    first = int(missing.argmax())
    return (
        f"layer {layer_idx[first]}, GPU {gpu_idx[first]}: expert {expert_idx[first]} is pinned "
        "there and missing."
    )


def forbidden_experts_stand_elsewhere(problem: Problem, placed: np.ndarray) -> str | None:
    """No forbidden expert has a replica on its GPU."""
    if problem.forbidden is None:
        return None
    layers = np.arange(problem.num_layers)[:, None]
    # An empty slot (-1) asks for the last expert, which does not stand there.
    wrong = problem.forbidden[layers, placed, _gpu_of_slots(problem)] & (placed >= 0)
    if not wrong.any():
        return None
    layer_idx, slot_idx = np.argwhere(wrong)[0]
    return (
        f"layer {layer_idx}, GPU {slot_idx // problem.slots_per_gpu}: expert "
        f"{placed[layer_idx, slot_idx]} is forbidden there."
    )


def replicas_are_spread(problem: Problem, placed: np.ndarray) -> str | None:
    """Every expert is on two GPUs, or nodes, where the problem asks for that."""
    if problem.spread is None:
        return None
    unit = _gpu_of_slots(problem)
    if problem.spread == "node":
        unit = unit // problem.gpus_per_node
    layers = np.arange(problem.num_layers)[:, None]
    # Empty slots (-1) fall into the last column, where no expert looks.
    shape = (problem.num_layers, problem.num_experts + 1)
    lowest, highest = np.full(shape, problem.num_gpus), np.full(shape, -1)
    np.minimum.at(lowest, (layers, placed), unit)
    np.maximum.at(highest, (layers, placed), unit)
    alone = (lowest == highest)[:, :-1]
    if not alone.any():
        return None
    layer_idx, expert_idx = np.argwhere(alone)[0]
    return (
        f"layer {layer_idx}: expert {expert_idx} stands on {problem.spread} "
        f"{lowest[layer_idx, expert_idx]} alone, and "
        f'spread="{problem.spread}" asks for two.'
    )


def anchored_experts_have_a_replica_at_home(problem: Problem, placed: np.ndarray) -> str | None:
    """Every expert has a replica on its home node where the topology says "anchored"."""
    if problem.topology is None or not problem.topology.anchored:
        return None
    home = homes.homes_of(problem, placed)
    stands = homes.stands_on_nodes(problem, placed)
    missing = ~np.take_along_axis(stands, home[:, :, None], axis=2)[:, :, 0]
    if not missing.any():
        return None
    layer_idx, expert_idx = np.argwhere(missing)[0]
    return (
        f"layer {layer_idx}: expert {expert_idx} is at home on node "
        f"{home[layer_idx, expert_idx]} and stands on nodes "
        f"{np.flatnonzero(stands[layer_idx, expert_idx]).tolist()} alone."
    )


def little_is_served_off_home(problem: Problem, placed: np.ndarray) -> str | None:
    """The share of assignments served off home is within the topology's limit."""
    if problem.topology is None or problem.topology.max_off_home is None:
        return None
    most = problem.topology.most_off_home
    for layer_idx, share in enumerate(homes.off_home(problem, placed)):
        if share > most:
            told = "of the assignments are served off home"
            if problem.topology.rank_costs is not None:
                told = "is what an assignment costs on average"
            return (
                f"layer {layer_idx}: {float(share):.6f} {told}, above max_off_home={float(most):g}."
            )
    return None


def _gpu_of_slots(problem: Problem) -> np.ndarray:
    """The GPU of every slot, int64 [num_slots]."""
    return np.arange(problem.num_slots) // problem.slots_per_gpu


Law = Callable[[Problem, np.ndarray], str | None]

#: In this order: a later law may rely on the earlier ones.
LAWS: tuple[Law, ...] = (
    shape_fits,
    ids_in_range,
    closed_slots_are_empty,
    every_expert_is_placed,
    groups_stay_on_one_node,
    nodes_hold_equally_many_groups,
    replicas_stand_apart,
    pinned_experts_stand_there,
    forbidden_experts_stand_elsewhere,
    replicas_are_spread,
    anchored_experts_have_a_replica_at_home,
    little_is_served_off_home,
)


def check(problem: Problem, physical_to_logical: np.ndarray) -> None:
    """Raise PlanError with the layer, GPU and reason when a law is broken.

    Parameters
    ----------
    problem
        The problem that the plan is for.
    physical_to_logical
        int64 [num_layers, num_slots].
    """
    for law in LAWS:
        offence = law(problem, physical_to_logical)
        if offence is not None:
            raise PlanError(f"{law.__name__.replace('_', ' ')}: {offence}")
