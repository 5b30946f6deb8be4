"""What share of a plan's assignments crosses nodes where every GPU sends to one replica, exactly.

Every GPU sends the same part of each expert's tokens. Under nearest copy a GPU whose node holds a
replica is served there: by one on itself, by the node's first one, or, where the node holds all of
them, by one that is dealt to it. All others cross, whatever is drawn. Under rank modulo the numbers
of GPU and replica decide alone, and what stays on a node does so by chance.

This module shares no code with the search, the bounds or the exact model, whose plans it judges.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.senders import Copies
from eplb_opt.problem.topology import gpus_of_nodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.problem.problem import Problem


#: Loads of senders below this add up in int64.
MAX_SUM = 2**62


def crossing(problem: Problem, physical_to_logical: np.ndarray) -> list[Fraction]:
    """The share of assignments that are served on another node than they come from, [num_layers].

    A layer without load has none. Loads that were rounded down as they came in count with all that
    they may lack.

    Parameters
    ----------
    problem
        A problem with dispatch "nearest" or "rank_modulo".
    physical_to_logical
        int64 [num_layers, num_slots], every expert at least once; -1 is an empty slot.
    """
    away = crossing_senders(problem, physical_to_logical)
    senders, totals = problem.num_senders, problem.load.sum(axis=1).tolist()
    fits = max(totals) * senders < MAX_SUM
    load = problem.load if fits else problem.load.astype(object)
    parts = (load * away).sum(axis=1).tolist()
    found = []
    for total, part, is_rounded in zip(totals, parts, problem.rounded.tolist(), strict=True):
        top = part + is_rounded * problem.num_experts * senders
        found.append(Fraction(min(top, total * senders), total * senders) if total else Fraction(0))
    return found


def crossing_senders(problem: Problem, physical_to_logical: np.ndarray) -> np.ndarray:
    """GPUs that send an expert's tokens to another node, int64 [num_layers, num_experts].

    Parameters
    ----------
    problem, physical_to_logical
        As for `crossing`.
    """
    copies = Copies.of(problem, physical_to_logical)
    at_hand = AT_HAND[problem.dispatch](gpus_of_nodes(problem), copies)
    served = np.add.reduceat(at_hand, copies.starts)
    return np.asarray(problem.num_senders - served.reshape(-1, problem.num_experts))


def _nearest(gpus: np.ndarray, copies: Copies) -> np.ndarray:
    """All GPUs of a node, at the first of an expert's replicas there."""
    is_first = np.ones(len(copies.run), dtype=bool)
    is_first[1:] = (copies.run[1:] != copies.run[:-1]) | (copies.node[1:] != copies.node[:-1])
    return np.asarray(np.where(is_first, gpus[copies.node], 0))


def _rank_modulo(gpus: np.ndarray, copies: Copies) -> np.ndarray:
    """The numbers of senders on a replica's node that leave its rank over the count."""
    end = np.cumsum(gpus)[copies.node]
    begin = end - gpus[copies.node]
    count, rank = copies.counts[copies.run], copies.rank
    return np.asarray(-((rank - end) // count) + ((rank - begin) // count))


#: Dispatch -> the GPUs of its own node that each replica serves, for replicas as in `Copies`.
AT_HAND: dict[str, Callable[[np.ndarray, Copies], np.ndarray]] = {
    "nearest": _nearest,
    "rank_modulo": _rank_modulo,
}
