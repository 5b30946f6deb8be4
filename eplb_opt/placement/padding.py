"""Maps with empty slots: which GPUs hold fewer experts, and where the empty slots stand."""

from __future__ import annotations

import numpy as np


def used_slots(placed: np.ndarray, num_gpus: int) -> np.ndarray:
    """Slots of each GPU that hold an expert, int64 [num_layers, num_gpus].

    Parameters
    ----------
    placed
        int64 [num_layers, num_slots], -1 for an empty slot; the slots are a multiple of the GPUs.
    num_gpus
        Slot p is on GPU p // (num_slots // num_gpus).
    """
    return np.asarray((placed >= 0).reshape(len(placed), num_gpus, -1).sum(axis=2))


def is_partly_empty(placed: np.ndarray, num_gpus: int) -> bool:
    """Whether some GPU has empty slots beside full ones: padding, not a GPU that is not there."""
    used = used_slots(placed, num_gpus)
    return bool(((used > 0) & (used < placed.shape[1] // num_gpus)).any())


def empty_last(placed: np.ndarray, num_gpus: int) -> np.ndarray:
    """A map with the empty slots of each GPU behind its others, as our plans have them.

    Parameters
    ----------
    placed, num_gpus
        As of `used_slots`; where the slots are no multiple of the GPUs the map comes back as it is.
    """
    if placed.shape[1] % num_gpus or not (placed < 0).any():
        return placed
    by_gpu = placed.reshape(len(placed), num_gpus, -1)
    order = np.argsort(by_gpu < 0, axis=2, kind="stable")
    return np.take_along_axis(by_gpu, order, axis=2).reshape(placed.shape)
