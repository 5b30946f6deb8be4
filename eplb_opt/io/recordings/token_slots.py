"""Tokens as ranks record them: slots to experts, and whether every rank recorded the same."""

from __future__ import annotations

import zlib

import numpy as np

from eplb_opt.errors import FormatError


def experts_of_slots(slots: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """The logical experts in slots, int64 like `slots`; -1 stays.

    Parameters
    ----------
    slots
        Integers [num_layers, ...], ids of physical slots, -1 for none.
    placed
        The map in force, int64 [num_layers, num_slots].

    Raises
    ------
    FormatError
        When an id is of no slot, or of one that the map leaves empty.
    """
    flat = slots.reshape(len(slots), -1)
    if flat.size and not (flat.min() >= -1 and flat.max() < placed.shape[1]):
        raise FormatError(
            f"tokens go to slots {flat.min()} to {flat.max()}; the map has {placed.shape[1]}."
        )
    beside = np.concatenate([placed, np.full((len(placed), 1), -1)], axis=1)  # -1 finds -1
    found = np.take_along_axis(beside, flat.astype(np.int64), axis=1)
    lost = (found < 0) & (flat >= 0)
    if lost.any():
        layer, at = np.argwhere(lost)[0]
        raise FormatError(
            f"a token goes to slot {flat[layer, at]}, which the map leaves empty in its row {layer}"
            "; give the map that was in force."
        )
    return np.asarray(found.reshape(slots.shape))


class Repeats:
    """Whether all ranks have recorded the same tokens, as they do where attention is not split.

    Then no rank is where a token starts, and every token counts once a rank.
    """

    def __init__(self) -> None:
        self._first: dict[int, tuple[int, int]] = {}
        self._num_same = self._num_other = 0

    def see(self, step: int, rank: int, ids: np.ndarray) -> None:
        """Compare what a rank has recorded of a step with what the first rank has."""
        if not ids.size:
            return
        seen = zlib.crc32(np.ascontiguousarray(ids).tobytes())
        other, value = self._first.setdefault(step, (rank, seen))
        if other != rank:
            self._num_same += value == seen
            self._num_other += value != seen

    def notes(self) -> list[str]:
        """What to say of it; nothing where ranks have tokens of their own."""
        if not self._num_same or self._num_same < self._num_other:
            return []
        return [
            f"{self._num_same} times a rank has recorded the very tokens of another one: attention "
            "is not split over the ranks (no DP attention, or no all-to-all backend). Every token "
            "counts once a rank, and where it starts is not known."
        ]
