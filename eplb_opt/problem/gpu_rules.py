"""What makes GPUs differ: lost ones, their slots and speed, experts tied to them or kept off."""

from __future__ import annotations

from typing import Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_numpy


def open_slots(
    gpu_slots: Any, active_gpus: Any, num_gpus: int, slots_per_gpu: int
) -> np.ndarray | None:
    """Slots of each GPU that can hold an expert, int64 [num_gpus]; None where all of them can.

    Parameters
    ----------
    gpu_slots
        [num_gpus], 0 .. slots_per_gpu, or None.
    active_gpus
        bool [num_gpus], or None; the others have no slots.
    num_gpus, slots_per_gpu
        The number of GPUs, and of slots on each of them.

    Raises
    ------
    ProblemError
        For another shape or range, or where no GPU is left.
    """
    if gpu_slots is None and active_gpus is None:
        return None
    slots = np.full(num_gpus, slots_per_gpu, dtype=np.int64)
    if gpu_slots is not None:
        given = _row(gpu_slots, "gpu_slots", num_gpus)
        if given.dtype.kind == "f" or given.min() < 0 or given.max() > slots_per_gpu:
            raise ProblemError(
                f"gpu_slots must be integers in 0..{slots_per_gpu}, num_slots / num_gpus; found "
                f"{given.min()} to {given.max()}. Take num_slots as num_gpus x the most slots."
            )
        slots = given.astype(np.int64)
    if active_gpus is not None:
        slots = np.where(as_mask(active_gpus, "active_gpus", (num_gpus,)), slots, 0)
    if not slots.any():
        raise ProblemError(f"None of the {num_gpus} GPUs is active and has a slot.")
    slots.flags.writeable = False
    return slots


def speeds(gpu_speed: Any, num_gpus: int) -> np.ndarray | None:
    """Relative speeds, float64 [num_gpus], above 0; None where all are alike.

    Raises
    ------
    ProblemError
        For another shape, or what is not finite or not above 0.
    """
    if gpu_speed is None:
        return None
    speed = _row(gpu_speed, "gpu_speed", num_gpus).astype(np.float64)
    if not np.isfinite(speed).all() or speed.min() <= 0:
        raise ProblemError(
            f"gpu_speed ranges from {speed.min()} to {speed.max()}; speeds are finite and above 0 "
            "(a lost GPU is one that is not in active_gpus)."
        )
    speed.flags.writeable = False
    return speed


def expert_gpu_pairs(pairs: Any, name: str, shape: tuple[int, int, int]) -> np.ndarray | None:
    """Experts and GPUs that are tied, as bool [num_layers, num_experts, num_gpus].

    Parameters
    ----------
    pairs
        (expert, GPU) for every layer or (layer, expert, GPU), integers [num, 2 or 3]; or a bool
        mask [num_experts, num_gpus], for every layer, or of the full shape; or None.
    name
        The argument's name, for messages.
    shape
        num_layers, num_experts, num_gpus.

    Raises
    ------
    ProblemError
        For what is none of these, or an index out of range.
    """
    if pairs is None or len(pairs) == 0:
        return None
    given = np.asarray(pairs)
    if given.dtype == bool:
        wanted = shape if given.ndim == 3 else shape[1:]
        mask = np.broadcast_to(as_mask(given, name, wanted), shape).copy()
    else:
        mask = _from_indices(given, name, shape)
    mask.flags.writeable = False
    return mask if mask.any() else None


def _from_indices(given: np.ndarray, name: str, shape: tuple[int, int, int]) -> np.ndarray:
    if given.ndim != 2 or given.shape[1] not in (2, 3) or given.dtype.kind not in "iu":
        raise ProblemError(
            f"{name} has type {given.dtype} and shape {list(given.shape)}; it must hold integers "
            "(expert, GPU) or (layer, expert, GPU), or be a bool mask [num_experts, num_gpus]."
        )
    bounds = shape[3 - given.shape[1] :]
    bad = ((given < 0) | (given >= bounds)).any(axis=1)
    if bad.any():
        raise ProblemError(f"{name} holds {given[bad][0].tolist()}; the range is {list(bounds)}.")
    mask = np.zeros(shape, dtype=bool)
    mask[(..., *given.T) if given.shape[1] == 2 else tuple(given.T)] = True
    return mask


def _row(values: Any, name: str, num_gpus: int) -> np.ndarray:
    row = as_numpy(values, name)
    if row.shape != (num_gpus,):
        raise ProblemError(f"{name} has shape {list(row.shape)}; it must be [{num_gpus}].")
    return row


def as_mask(values: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Flags of that shape, an array or a tensor.

    Raises
    ------
    ProblemError
        For another type or shape.
    """
    mask = np.asarray(values.cpu() if hasattr(values, "cpu") else values)
    if mask.dtype != bool or mask.shape != shape:
        raise ProblemError(
            f"{name} has type {mask.dtype} and shape {list(mask.shape)}; it must be bool "
            f"{list(shape)}."
        )
    return mask
