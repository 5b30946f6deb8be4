"""Survivors keep their slot: an expert that stays on its GPU is not moved within it."""

from __future__ import annotations

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_int, as_numpy


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
    before = fitted(old, num_layers, num_slots).reshape(rows)
    stays, is_newcomer = _matched(before, new)
    # A row has as many holes as newcomers, and masks are read row by row: the i-th meets the i-th.
    kept = before.astype(np.int64)
    kept[~stays] = new[is_newcomer]
    return kept.reshape(num_layers, num_slots)


def _matched(before: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which old slots keep their expert and which new replicas are newcomers, bool like the rows.

    The work is done on transposed copies: over so few slots a GPU numpy's inner loops are too
    short, over all GPUs of all layers they are not.
    """
    old_ids, new_ids = (np.ascontiguousarray(ids.T, dtype=np.int32) for ids in (before, new))
    same = old_ids[:, None, :] == new_ids[None, :, :]
    # The second replica of an expert on a GPU survives as the second, not as the first again.
    same &= _times_before(old_ids)[:, None, :] == _times_before(new_ids)[None, :, :]
    return same.any(axis=1).T, ~same.any(axis=0).T


def _times_before(ids: np.ndarray) -> np.ndarray:
    """How often each id stands earlier in its column, int16 like `ids`."""
    times = np.zeros(ids.shape, dtype=np.int16)
    for k in range(1, len(ids)):
        times[k] = (ids[:k] == ids[k]).sum(axis=0, dtype=np.int16)
    return times


def fitted(old: np.ndarray, num_layers: int, num_slots: int) -> np.ndarray:
    """The old map with as many slots as the new one, cut or filled with empty ones.

    Raises
    ------
    ProblemError
        When it does not have the layers of the new one.
    """
    old = as_numpy(old, "the old map")
    if old.ndim != 2 or old.shape[0] != num_layers:
        raise ProblemError(
            f"The old map has shape {list(old.shape)}; it must have {num_layers} layers, as the "
            "loads have: [num_layers, num_slots]."
        )
    missing = max(num_slots - old.shape[1], 0)
    return np.pad(old[:, :num_slots], ((0, 0), (0, missing)), constant_values=-1)
