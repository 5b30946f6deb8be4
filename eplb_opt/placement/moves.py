"""What changing from one plan to another moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from eplb_opt.placement.plan import Plan


def moved_slots(current: Plan, new: Plan) -> np.ndarray:
    """Slots whose expert is new on its GPU, int64 [num_layers].

    A replica that changes its slot on the same GPU moves nothing over a wire, nor does a
    further copy of an expert that the GPU held before, nor a slot that is left empty.

    Parameters
    ----------
    current, new
        Plans with the same layers, slots and GPUs; both may have empty slots.
    """
    return np.asarray(moved_slots_by_gpu(current, new).sum(axis=1))


def moved_slots_by_gpu(current: Plan, new: Plan) -> np.ndarray:
    """What every GPU has to receive: its slots whose expert is new on it.

    Parameters
    ----------
    current, new
        As of `moved_slots`.

    Returns
    -------
    int64 [num_layers, num_gpus].
    """
    num_experts = max(current.num_experts, new.num_experts)
    shape = (new.num_layers, new.num_gpus, -1)
    rows, held = (plan.physical_to_logical.reshape(shape) for plan in (new, current))
    # Slots of a GPU are compared with each other, or marked in a table of all GPUs and experts:
    # at the largest shapes the one or the other takes a hundred megabytes.
    if rows.shape[2] ** 2 <= num_experts:
        stays = (rows[:, :, :, None] == held[:, :, None, :]).any(axis=3)
    else:
        # Empty slots (-1) fall into the last column, where no expert looks.
        table = np.zeros((new.num_layers, new.num_gpus, num_experts + 1), dtype=bool)
        np.put_along_axis(table, held, values=True, axis=2)
        stays = np.take_along_axis(table, rows, axis=2)
    # An empty slot receives nothing.
    return np.asarray((~stays & (rows >= 0)).sum(axis=2))
