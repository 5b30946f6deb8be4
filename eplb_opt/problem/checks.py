"""The checks of a problem; each refusal gives the numbers and says what would be allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_numpy, shown

if TYPE_CHECKING:
    from eplb_opt.problem.terms import Terms

#: How the scenarios' figures become one: their weighted mean, or the worst of them.
OBJECTIVES = ("mean", "max")
COLOCATIONS = ("allow", "forbid")
#: Dispatches under which every GPU sends an expert's tokens to one replica, which the rule chooses.
SENDER_DISPATCHES = ("nearest", "rank_modulo")
#: How an expert's tokens reach its replicas: an equal part each, as levels the GPUs best, or GPU by
#: GPU.
DISPATCHES = ("uniform", "optimal", *SENDER_DISPATCHES)
#: What every expert's replicas can be asked to stand on two of.
SPREADS = ("gpu", "node")

#: Slots of a layer, and GPUs, nodes and groups: fifty times the largest machines there are.
MAX_SLOTS = 2**20
#: The most slots of all layers together; a plan with that number of slots takes 256 MiB.
MAX_PLACED = 2**25


def scenario_weights(weights: Any, scenarios: tuple[int, ...], objective: str) -> Any:
    """Weights as float64 [num_scenarios], or None without scenarios."""
    if objective not in OBJECTIVES:
        raise ProblemError(f"objective={objective!r} is unknown; known: {', '.join(OBJECTIVES)}.")
    if not scenarios:
        if weights is None:
            return None
        raise ProblemError(
            "scenario_weights need loads of shape [num_scenarios, num_layers, num_experts]."
        )
    given = np.ones(scenarios) if weights is None else as_numpy(weights, "scenario_weights")
    given = given.astype(np.float64)
    if given.shape != scenarios:
        raise ProblemError(
            f"scenario_weights has shape {list(given.shape)}; there are {scenarios[0]} scenarios."
        )
    if not np.isfinite(given).all() or given.min() < 0 or given.max() == 0:
        raise ProblemError(
            f"scenario_weights range from {given.min()} to {given.max()}; they must be finite and "
            "at least 0, and not all 0."
        )
    given.flags.writeable = False
    return given


def check_size(num_layers: int, num_slots: int) -> None:
    """Refuse more slots than any machine has, before memory is taken for them.

    Raises
    ------
    ProblemError
        With the limit.
    """
    if num_slots > MAX_SLOTS:
        raise ProblemError(f"num_slots={shown(num_slots)} is above {MAX_SLOTS}; take fewer.")
    if num_layers * num_slots > MAX_PLACED:
        raise ProblemError(
            f"{num_layers} layers with num_slots={num_slots} are more than the {MAX_PLACED} slots "
            "that are planned at a time; take fewer slots, or plan the layers in parts."
        )


def check_topology(problem: Terms) -> None:
    """Raise ProblemError where slots, GPUs, nodes and groups do not divide as they must."""
    num_slots, num_gpus, num_experts = problem.num_slots, problem.num_gpus, problem.num_experts
    if problem.colocation not in COLOCATIONS:
        raise ProblemError(
            f"colocation={problem.colocation!r} is unknown; known: {', '.join(COLOCATIONS)}."
        )
    if problem.dispatch not in DISPATCHES:
        raise ProblemError(
            f"dispatch={problem.dispatch!r} is unknown; known: {', '.join(DISPATCHES)}."
        )
    check_size(problem.num_layers, num_slots)
    # First of all, for slots that are too few are not mended by other GPUs.
    if num_slots < num_experts:
        raise ProblemError(
            f"num_slots={num_slots} is below the {num_experts} experts; every expert needs a slot: "
            f"take at least {-(-num_experts // num_gpus) * num_gpus} slots on {num_gpus} GPUs."
        )
    _check_divides("num_slots", num_slots, "num_gpus", num_gpus, least=num_experts)
    if problem.has_topology:  # which takes any numbers of nodes and groups
        return
    _check_divides("num_gpus", num_gpus, "num_nodes", problem.num_nodes)
    _check_divides("The number of experts", num_experts, "num_groups", problem.num_groups)
    if problem.is_hierarchical:
        _check_divides("num_groups", problem.num_groups, "num_nodes", problem.num_nodes)


def check_gpu_rules(problem: Terms) -> None:
    """Refuse rules that no plan can keep, as far as counting shows it.

    Whether a plan exists at all shows when the first one is made.
    """
    num_open = int(problem.open_slots.sum())
    if num_open < problem.num_experts:
        raise ProblemError(
            f"{num_open} slots are left on {int((problem.open_slots > 0).sum())} GPUs, below the "
            f"{problem.num_experts} experts; every expert needs a slot."
        )
    if problem.binds_unlike_gpus:
        _check_unlike_nodes(problem)
    _check_colocation(problem)
    if problem.pinned is None:
        return
    num_pinned = problem.pinned.sum(axis=1)
    full = num_pinned > problem.open_slots
    if full.any():
        layer_idx, gpu_idx = np.argwhere(full)[0]
        raise ProblemError(
            f"{num_pinned[layer_idx, gpu_idx]} experts are pinned to GPU {gpu_idx} in layer "
            f"{layer_idx}, which has {problem.open_slots[gpu_idx]} slots."
        )
    if problem.forbidden is not None and (problem.pinned & problem.forbidden).any():
        at = np.argwhere(problem.pinned & problem.forbidden)[0].tolist()
        raise ProblemError(f"(layer, expert, GPU) {tuple(at)} is both pinned and forbidden.")


#: What groups on nodes whose GPUs differ do not go with: a test, and what to say.
REFUSED_WITH_UNLIKE_NODES = (
    (lambda t: t.dispatch != "uniform", 'dispatch other than "uniform"'),
    (lambda t: t.cost is not None, "cost"),
    (lambda t: t.pinned is not None, "pinned"),
    (lambda t: t.forbidden is not None, "forbidden"),
)


def _check_unlike_nodes(problem: Terms) -> None:
    """Refuse groups that stay on nodes where these differ, as far as no solver or plan can be."""
    for test, name in REFUSED_WITH_UNLIKE_NODES:
        if test(problem):
            raise ProblemError(
                "Groups that stay on nodes whose GPUs differ in speed, slots or number do not go "
                f"with {name}. Leave it out, or take num_groups=1, which lets experts stand on any "
                "node."
            )
    slots = problem.open_slots.reshape(problem.num_nodes, -1).sum(axis=1)
    needed = problem.groups_per_node * problem.experts_per_group
    if slots.min() < needed:
        raise ProblemError(
            f"Node {int(slots.argmin())} has {slots.min()} slots left, below the {needed} experts "
            f"of {problem.groups_per_node} groups that stay on it; every expert needs a slot. Take "
            "more slots, or num_groups=1, which lets experts stand on any node."
        )


def _check_colocation(problem: Terms) -> None:
    """Refuse colocation="forbid" where a GPU has more slots than experts that may stand on it."""
    distinct = problem.num_experts // (problem.num_nodes if problem.is_hierarchical else 1)
    most = int(problem.open_slots.max())
    if problem.colocation == "forbid" and most > distinct:
        raise ProblemError(
            f'colocation="forbid" cannot hold: a GPU has {most} slots to fill, but only {distinct} '
            "different experts may stand on it. Take fewer slots or allow co-location."
        )


def check_spread(problem: Terms) -> None:
    """Raise ProblemError where not every expert can stand on two GPUs, or on two nodes."""
    spread = problem.spread
    if spread is None:
        return
    if spread not in SPREADS:
        raise ProblemError(f"spread={spread!r} is unknown; known: {', '.join(SPREADS)}, None.")
    if problem.is_hierarchical:
        raise ProblemError(
            "Groups that stay on one node do not go with spread. Take num_groups=1, which lets "
            "experts stand on any node."
        )
    slots = problem.open_slots
    if spread == "node":
        slots = slots.reshape(problem.num_nodes, -1).sum(axis=1)
    # Of an expert's two replicas a GPU or node takes one.
    room = int(np.minimum(slots, problem.num_experts).sum())
    if room < 2 * problem.num_experts:
        raise ProblemError(
            f'spread="{spread}" cannot hold: {problem.num_experts} experts need '
            f"{2 * problem.num_experts} slots with at most {problem.num_experts} of them on one "
            f"{spread}; there are {room} such slots on {int((slots > 0).sum())} {spread}s."
        )


def _check_divides(name: str, value: int, divisor_name: str, divisor: int, least: int = 1) -> None:
    """Refuse a value that is no multiple; none below the least is proposed in its place."""
    if value % divisor == 0:
        return
    below, above = value - value % divisor, value - value % divisor + divisor
    nearest = f"{below} or {above}" if below >= least else f"{above}"
    divisors = [d for d in range(1, value + 1) if value % d == 0]
    near = sorted(divisors, key=lambda d: abs(d - divisor))[:3]
    raise ProblemError(
        f"{name} = {value} is no multiple of {divisor_name} = {divisor}. "
        f"Make {name} {nearest}, or {divisor_name} one of {', '.join(map(str, sorted(near)))}."
    )
