"""The serving call where every GPU sends an expert's tokens to one copy: nearest, or in turn.

The plans are those of `search.by_senders`. Where no seconds are given the work is counted: the same
bytes on every rank.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from eplb_opt.engines.serving.arguments import Call, admit_sizes, in_kind, plain
from eplb_opt.engines.serving.in_force import admit_current
from eplb_opt.errors import ProblemError
from eplb_opt.placement.survivors import keep_slots
from eplb_opt.problem.arrays import as_int, is_number
from eplb_opt.search.by_senders import ANY_STEPS, MOST_COPIES, Machine, Work, plans_by_senders

LOGGER = logging.getLogger("eplb_opt")

#: The dispatches in which every GPU sends an expert's tokens to one copy.
SENDER_DISPATCHES = ("nearest", "rank_modulo")
#: Steps of a near plan where a call counts none.
NEAR_STEPS = 200
#: GPUs with so many slots have their plans begin with those for the uniform split, too; and the
#: part of the time that these take.
FEW_SLOTS_PER_GPU, START_SHARE = 3, 0.3

Maps = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class SenderRules:
    """What a plan is for, and how near it stays to the map in force.

    Parameters
    ----------
    dispatch
        "nearest" or "rank_modulo"; see `Problem`.
    num_nodes
        Nodes of the machine, which nearest copy looks at even where groups are not bound to them.
    tolerance
        With a map in force: few moves until every layer is within (1 + tolerance) of the mean load,
        or of its largest copy, as far as exchanges lead; a layer made anew where that is better by
        more than the tolerance, and groups bind to no node. None plans anew where that is better.
    min_gain
        With a map in force: nothing moves where the largest GPU loads, added up, would fall by a
        smaller part.

    Raises
    ------
    ProblemError
        For another dispatch, or numbers that cannot be used.
    """

    dispatch: str
    num_nodes: int = 1
    tolerance: float | None = None
    min_gain: float = 0.0

    def __post_init__(self) -> None:
        if self.dispatch not in SENDER_DISPATCHES:
            raise ProblemError(
                f"dispatch={self.dispatch!r} is unknown to this call; known: uniform, "
                f"{', '.join(SENDER_DISPATCHES)}."
            )
        if self.tolerance is not None and not (is_number(self.tolerance) and self.tolerance >= 0):
            raise ProblemError(f"move_tolerance={self.tolerance} must be a number, at least 0.")


def rebalance_by_senders(
    weight: Any,
    num_replicas: Any,
    num_groups: Any,
    num_nodes: Any,
    num_gpus: Any,
    *,
    rules: SenderRules,
    time_limit: float | None = None,
    effort: int | None = None,
    current: Any = None,
) -> tuple[Any, Any, Any]:
    """Plan for a dispatch by senders, with so many steps a layer or in so many seconds.

    Parameters
    ----------
    weight, num_replicas, num_groups, num_nodes, num_gpus
        As of `eplb_opt.rebalance_experts`; groups bind where there are several groups and nodes.
    rules
        The dispatch, and how near a plan stays to the map in force.
    time_limit
        Seconds, of the whole call.
    effort
        Steps a layer, each an exchange of the heaviest GPU; the same bytes everywhere.
    current
        The map in force, [num_layers, num_replicas], or None. No layer in which it is valid gets a
        plan that is worse under the dispatch.

    Returns
    -------
    phy2log, log2phy, logcnt
        int64, as of `eplb_opt.rebalance_experts`. What stays on its GPU keeps its slot.

    Raises
    ------
    ProblemError
        For an argument that cannot be used.
    """
    end = None if time_limit is None else time.perf_counter() + time_limit
    values, layout = admit_sizes(weight, num_replicas, num_groups, num_nodes, num_gpus)
    call = Call(values, layout, greedy=False)
    held = None if current is None else _valid(call, current)
    placed, before, after = _planned(call, rules, held, effort, end)
    if held is not None and bool((before >= 0).all()):
        is_kept = float(before.sum(dtype=np.float64) - after.sum(dtype=np.float64)) < (
            rules.min_gain * float(before.sum(dtype=np.float64))
        )
        placed = held if is_kept else placed
    if held is not None:
        placed = keep_slots(placed, held, layout.num_gpus)
    call.session.put(placed)
    is_sound, maps = call.session.maps()
    if not is_sound:
        LOGGER.error("a plan broke a rule, and the greedy's took its place; please report")
    return in_kind(weight, maps)


def _valid(call: Call, current: Any) -> np.ndarray:
    """The map in force, int64 [num_layers, num_slots]; -1 in layers that are to be made anew."""
    placed, is_valid = admit_current(call, current)
    counts = np.zeros((call.num_layers, call.layout.num_experts), dtype=np.int64)
    np.add.at(counts, (np.arange(call.num_layers)[:, None], placed), 1)
    is_valid &= counts.max(axis=1) <= MOST_COPIES
    return np.where(is_valid[:, None], placed, -1)


def _planned(
    call: Call, rules: SenderRules, held: np.ndarray | None, effort: int | None, end: float | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plans, and the largest loads of the map in force (-1 without) and of the plans."""
    layout = call.layout
    num_nodes = as_int(rules.num_nodes, "num_nodes")
    if layout.num_gpus % num_nodes:
        raise ProblemError(f"num_nodes={num_nodes} does not divide {layout.num_gpus} GPUs.")
    sizes = layout.num_slots, layout.num_gpus, layout.num_nodes
    machine = Machine(*sizes, rules.dispatch, num_nodes)
    start = np.full((call.num_layers, layout.num_slots), -1) if held is None else held
    is_near = held is not None and rules.tolerance is not None
    has_few_slots = layout.num_slots // layout.num_gpus <= FEW_SLOTS_PER_GPU and held is None
    if layout.num_nodes > 1 or has_few_slots:
        start = np.where(start[:, :1] < 0, _refined(call, effort, end), start)
    work = Work(
        (NEAR_STEPS if is_near else ANY_STEPS) if effort is None else effort,
        None if end is None or effort is not None else end - time.perf_counter(),
        float(rules.tolerance or 0.0) if is_near else 0.0,
        is_near,
    )
    return plans_by_senders(plain(call.values), start, machine, work)


def _refined(call: Call, effort: int | None, end: float | None) -> np.ndarray:
    """Plans for the uniform split, int64 [num_layers, num_slots].

    They say which groups go to which node; and where GPUs have few slots, the counts decide more
    than equal parts do.
    """
    if effort is not None:
        call.session.refine(effort, None)
    elif end is not None:
        call.session.refine(0, (end - time.perf_counter()) * START_SHARE)
    return np.array(call.session.placed)
