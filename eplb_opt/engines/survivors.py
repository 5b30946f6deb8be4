"""Survivors keep their slot: an expert that stays on its GPU is not moved within it."""

from __future__ import annotations

import numpy as np

from eplb_opt.arrays import as_int, as_numpy
from eplb_opt.errors import ProblemError


def keep_slots(placed: np.ndarray, old: np.ndarray, num_gpus: int) -> np.ndarray:
    """Reorder every GPU's slots so that what it held before stays where it was.

    Which experts stand on a GPU does not change. A replica that the GPU held before keeps its slot,
    the first of equal ones first; the others take the slots that are left, in their order.

    Parameters
    ----------
    placed
        The new map, int64 [num_layers, num_slots].
    old
        The map in force, [num_layers, any number of slots] with as many slots a GPU; -1 is an empty
        slot. Slots of GPUs that `placed` does not have are left out, missing ones count as empty.
    num_gpus
        GPUs of `placed`.

    Returns
    -------
    int64 [num_layers, num_slots].

    Raises
    ------
    ProblemError
        When the maps do not have the same layers, or slots do not divide among the GPUs.
    """
    num_gpus = as_int(num_gpus, "num_gpus")
    num_layers, num_slots = placed.shape
    if num_slots % num_gpus:
        raise ProblemError(f"{num_slots} slots are no multiple of num_gpus={num_gpus}.")
    rows = (num_layers * num_gpus, num_slots // num_gpus)
    new = placed.reshape(rows)
    before = _fitted(old, num_layers, num_slots).reshape(rows)
    same = before[:, :, None] == new[:, None, :]
    # The second replica of an expert on a GPU survives as the second, not as the first again.
    same &= _times_before(before)[:, :, None] == _times_before(new)[:, None, :]
    stays, is_newcomer = same.any(axis=2), ~same.any(axis=1)
    # A stable sort of booleans lists the holes, and the newcomers, in their order: the i-th
    # hole takes the i-th newcomer, and as many are there of both.
    holes = np.argsort(stays, axis=1, kind="stable")
    newcomers = np.argsort(~is_newcomer, axis=1, kind="stable")
    source = np.empty_like(holes)
    np.put_along_axis(source, holes, newcomers, axis=1)
    source = np.where(stays, same.argmax(axis=2), source)
    return np.take_along_axis(new, source, axis=1).reshape(num_layers, num_slots)


def _times_before(experts: np.ndarray) -> np.ndarray:
    """How often each id stands earlier in its row, like `experts`."""
    earlier = np.tri(experts.shape[1], k=-1, dtype=bool)
    equal = experts[:, :, None] == experts[:, None, :]
    return np.asarray((equal & earlier).sum(axis=2, dtype=np.int32))


def _fitted(old: np.ndarray, num_layers: int, num_slots: int) -> np.ndarray:
    """The old map with as many slots as the new one, cut or filled with empty ones."""
    old = as_numpy(old, "the old map")
    if old.ndim != 2 or old.shape[0] != num_layers:
        raise ProblemError(
            f"The old map has shape {list(old.shape)}; it must have {num_layers} layers, as the "
            "loads have: [num_layers, num_slots]."
        )
    missing = max(num_slots - old.shape[1], 0)
    return np.pad(old[:, :num_slots], ((0, 0), (0, missing)), constant_values=-1)
