"""What the loss of a GPU costs and brings, and its return: near plans beside those made anew."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bench.moves import (
    EFFORT,
    EFFORT_IN_FORCE,
    TOLERANCES,
    YARDSTICK,
    Scene,
    timed_rows,
)
from eplb_opt.engines.rebalance import rebalance_experts
from eplb_opt.engines.serving.live_gpus import LiveGpus
from eplb_opt.planner.evaluate import evaluate
from eplb_opt.problem.problem import Problem
from heuristics import HEURISTICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eplb_opt.bench.moves import MovesRow, Policy
    from eplb_opt.problem.machine import Machine


def lost_rows(
    name: str,
    load: np.ndarray,
    machine: Machine,
    num_lost: int = 1,
    tolerances: Sequence[float] = TOLERANCES,
    rounds: int = 5,
) -> Iterator[MovesRow]:
    """Measure all policies when GPUs are lost, and when they return, by turns.

    While they are lost groups do not bind, as in SGLang. The yardstick is what SGLang's algorithm
    elasticity_aware does, in our own code: EPLB on the GPUs that are left, anew.

    Parameters
    ----------
    name
        Of the loads.
    load
        int64 [num_layers, num_experts]; the map in force is planned for it.
    machine
        Before the loss.
    num_lost
        How many GPUs are lost, the middle ones.
    tolerances
        Of the near plans. The map that returning GPUs find is that of the first.
    rounds
        Calls of each policy that are timed.

    Yields
    ------
    The rows after the loss, then those after the return.
    """
    sizes = machine.num_slots, machine.num_groups, machine.num_nodes, machine.num_gpus
    flat = machine.num_slots, 1, 1, machine.num_gpus
    active = np.ones(machine.num_gpus, dtype=bool)
    first = max((machine.num_gpus - num_lost) // 2, 0)
    active[first : first + num_lost] = False
    live = LiveGpus(active, machine.num_slots // machine.num_gpus)
    live.require_room(load.shape[1])
    held = rebalance_experts(load, *sizes, effort=EFFORT_IN_FORCE)[0]
    gpus = "GPU" if num_lost == 1 else f"{num_lost} GPUs"

    def near(current: np.ndarray, active_gpus: Any, sizes: Sequence[int], tolerance: float) -> Any:
        return rebalance_experts(
            load, *sizes, current=current, active_gpus=active_gpus,
            move_tolerance=tolerance, effort=EFFORT,
        )[0]  # fmt: skip

    def left(tolerance: float) -> np.ndarray:
        return live.cut(near(held, active, flat, tolerance))

    small = Problem(load, live.slots.size, live.num_gpus)
    smaller = live.slots.size, 1, 1, live.num_gpus
    chosen = _anew(load, smaller)
    for tolerance in tolerances:
        chosen[f"near, {tolerance:.1%}"] = partial(left, tolerance)
    scene = Scene(f"{name}, {gpus} lost", str(machine), small, live.cut(held), None)
    yield from timed_rows(scene, chosen, rounds)

    while_lost = near(held, active, flat, tolerances[0])
    chosen = _anew(load, sizes)
    for tolerance in tolerances:
        chosen[f"near, {tolerance:.1%}"] = partial(near, while_lost, None, sizes, tolerance)
    stay = evaluate(small, live.cut(while_lost)).objective
    whole = machine.problem(load)
    scene = Scene(f"{name}, {gpus} back", str(machine), whole, while_lost, stay)
    yield from timed_rows(scene, chosen, rounds)


def _anew(load: np.ndarray, sizes: tuple[int, int, int, int]) -> dict[str, Policy]:
    return {
        YARDSTICK: lambda: HEURISTICS[YARDSTICK](load, *sizes)[0],
        "ours, anew": lambda: rebalance_experts(load, *sizes, effort=EFFORT)[0],
    }
