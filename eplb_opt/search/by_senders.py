"""Plans within milliseconds where every GPU sends an expert's tokens to one copy.

Copies then carry a whole number of senders each, so a plan that is level under the uniform split is
not. Counts come from those that split the senders evenly, copies stand where the rule gives them
equal parts, and exchanges of the heaviest GPU, in which every part is counted anew, do the rest.
Everything is integers, and the work is counted where no seconds are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eplb_opt.core import annealing, serving
from eplb_opt.search.seeds import SALT

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: The copies of an expert that the core takes.
MOST_COPIES = 1024
#: Bits that a layer's fixed-point load, times its senders, may have more than its load alone.
SPARE_BITS = 3
#: Steps where only the clock ends them.
ANY_STEPS = 2**40


class Machine(NamedTuple):
    """Equal GPUs and how they send.

    Parameters
    ----------
    num_slots, num_gpus
        Slots of a layer, and GPUs.
    group_nodes
        Nodes that no copy leaves; 1 where groups are not bound.
    dispatch
        "nearest" or "rank_modulo".
    num_nodes
        Nodes of the machine; nearest copy looks at them.
    """

    num_slots: int
    num_gpus: int
    group_nodes: int
    dispatch: str
    num_nodes: int

    def rule(self) -> annealing.RankModulo | annealing.Nearest:
        """The dispatch for the core."""
        most = min(self.num_slots, MOST_COPIES)
        if self.dispatch == "rank_modulo":
            return annealing.RankModulo(self.num_gpus, most)
        node = np.arange(self.num_gpus) // (self.num_gpus // self.num_nodes)
        first = np.arange(self.num_gpus + 1) * (self.num_slots // self.num_gpus)
        return annealing.Nearest(node, first, most)


class Work(NamedTuple):
    """How far a plan is to be improved.

    Parameters
    ----------
    steps
        Exchanges of a layer.
    seconds
        For all layers, or None.
    tolerance
        A layer is left alone within (1 + tolerance) of its mean GPU load, or of its largest copy.
    near
        Whether a plan in force is changed by few moves; else a new one may take its place.
    seed
        Of what is drawn at random.
    """

    steps: int
    seconds: float | None = None
    tolerance: float = 0.0
    near: bool = False
    seed: int = 0


def plans_by_senders(
    load: np.ndarray, start: np.ndarray, machine: Machine, work: Work
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Plans of all layers, none worse than its start.

    Parameters
    ----------
    load
        [num_layers, num_experts], numbers that the core reads.
    start
        int64 [num_layers, num_slots], a plan of each layer, or -1 in its slots. With groups bound
        to nodes every layer has one.
    machine, work
        The GPUs, and how far to go.

    Returns
    -------
    The plans, int64 [num_layers, num_slots]; and their largest GPU loads before (-1 without a
    start) and after, int64 [num_layers], in units of a layer's own.
    """
    weights, _ = serving.fixed_point(load)
    # A layer's load in fixed point takes 58 bits; times the senders it must stay below 2**61.
    weights >>= max((machine.num_gpus - 1).bit_length() - SPARE_BITS, 0)
    found: tuple[np.ndarray, np.ndarray, np.ndarray] = serving.plan_shares(
        weights,
        np.ascontiguousarray(start),
        machine.rule(),
        machine.num_gpus,
        machine.group_nodes,
        work.tolerance,
        work.near,
        work.steps,
        work.seconds,
        SALT + 1 + work.seed,
    )
    return found


def descends(problem: Problem) -> bool:
    """Whether such plans can be made of a problem: one load, equal GPUs, no rules but groups.

    They know no price on what crosses nodes, and equal nodes alone.
    """
    topology = problem.topology
    nodes = topology is None or not (
        topology.price
        or topology.max_off_home is not None
        or topology.nodes is not None
        or problem.num_gpus % problem.num_nodes
    )
    rules = problem.pinned, problem.forbidden, problem.spread, problem.gpu_speed
    return (
        problem.splits_by_sender
        and not problem.has_scenarios
        and nodes
        and all(rule is None for rule in rules)
        and bool(problem.is_open.all())
        and problem.num_gpus <= 2**12
    )


def descended(problem: Problem, start: np.ndarray, work: Work) -> np.ndarray:
    """One layer's plan, int64 [num_slots], from a valid one; see `plans_by_senders`.

    Where copies must stand apart and do not, the start comes back.
    """
    nodes = problem.num_nodes if problem.is_hierarchical else 1
    machine = Machine(
        problem.num_slots, problem.num_gpus, nodes, problem.dispatch, problem.num_nodes
    )
    placed: np.ndarray = plans_by_senders(problem.load, start[None], machine, work)[0][0]
    if problem.colocation == "forbid":
        on_gpus = np.sort(placed.reshape(problem.num_gpus, -1), axis=1)
        if (on_gpus[:, 1:] == on_gpus[:, :-1]).any():
            return start
    return np.asarray(placed)
