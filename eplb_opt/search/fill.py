"""A greedy first plan where GPUs differ or experts are tied to GPUs; moves make room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.core import rules
from eplb_opt.core.parts import in_parts
from eplb_opt.errors import ProblemError

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem


#: The slots that one thread fills; they take about ten milliseconds.
SLOTS_OF_A_THREAD = 20_000


def fill_plan(problem: Problem) -> np.ndarray:
    """A plan that obeys every rule, int64 [num_layers, num_slots]; -1 in slots that stay empty.

    Each layer first gets its pinned replicas, then one replica of every other expert in descending
    order of load, and under `spread` a second one on another GPU or node. Each remaining slot gets
    the largest replica that may stand there. Where all GPUs that may take an expert are full,
    replicas move along a shortest chain to a free slot (an augmenting path).

    Parameters
    ----------
    problem
        A flat problem of one load, such as `problem.scenarios.blended` makes.

    Raises
    ------
    ProblemError
        When no plan can obey the rules; the message names the expert or the GPU.
    """
    placed = np.full((problem.num_layers, problem.num_slots), -1, dtype=np.int64)
    # The GPUs that are lost together; without spread the size does not matter.
    size = problem.gpus_per_node if problem.spread == "node" else 1
    gpu_rules = rules.GpuRules(
        np.ascontiguousarray(problem.open_slots),
        np.arange(problem.num_gpus) // size,
        np.array([float(speed) for speed in problem.speed]),
        problem.spread is not None,
        problem.colocation == "forbid",
    )

    def fill(part: slice) -> tuple[int, str]:
        """The first layer of a part that has no plan, -1 where all have one, and why."""
        load = np.ascontiguousarray(problem.load[part])
        forbidden, pinned = (
            None if mask is None else np.ascontiguousarray(mask[part])
            for mask in (problem.forbidden, problem.pinned)
        )
        found = rules.fill(gpu_rules, load, forbidden, pinned, placed[part])
        layer_idx, flaw, index, room = found
        if layer_idx < 0:
            return -1, ""
        return part.start + layer_idx, FLAWS[flaw].format(
            index=index, room=room, spread=problem.spread
        )

    least = max(SLOTS_OF_A_THREAD // problem.num_slots, 1)
    for layer_idx, message in in_parts(fill, problem.num_layers, least):
        if layer_idx >= 0:
            raise ProblemError(f"layer {layer_idx}: {message}")
    return placed


#: The messages for the core's codes of why a layer has no plan.
FLAWS = {
    1: "expert {index} finds no slot on the GPUs where it may stand. Forbid or pin less, or give "
    "those GPUs more slots.",
    2: "no second {spread} was found for expert {index}. Forbid or pin less, or take more slots.",
    3: "no expert may stand in the last {room} slots of GPU {index}. Forbid less, allow "
    "co-location, or give it fewer gpu_slots.",
}
