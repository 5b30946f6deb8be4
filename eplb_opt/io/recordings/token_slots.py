"""Tokens as ranks record them: slots to experts, and whether every rank recorded the same."""

from __future__ import annotations

import numpy as np

from eplb_opt.errors import FormatError

#: An odd number without a pattern in its bits (2**64 over the golden ratio).
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


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
    """Whether ranks have recorded the same tokens, as they do where these are not split over them.

    Where attention is not split, every rank has all tokens of a step; where it is, but no
    all-to-all exchange carries tokens, every rank has those of all ranks gathered, and SGLang keeps
    as many from the beginning as the rank has itself. Either way no rank is where a token starts.
    """

    def __init__(self) -> None:
        self._first: dict[int, tuple[int, np.ndarray]] = {}
        self._num_same = self._num_other = 0

    def see(self, step: int, rank: int, ids: np.ndarray) -> None:
        """Compare what a rank has recorded of a step, [layers, tokens, k], with the first rank."""
        if not ids.size:
            return
        by_token = ids.transpose(1, 0, 2).reshape(ids.shape[1], -1).astype(np.uint64)
        # Odd multipliers, sums modulo 2**64: a number for each token's experts in all layers.
        weights = np.arange(1, 2 * by_token.shape[1], 2, dtype=np.uint64) * MULTIPLIER
        seen = by_token @ weights
        other, first = self._first.setdefault(step, (rank, seen))
        if other != rank:
            both = min(len(first), len(seen))
            is_same = bool((first[:both] == seen[:both]).all())
            self._num_same += is_same
            self._num_other += not is_same

    def notes(self) -> list[str]:
        """What to say of it; nothing where ranks have tokens of their own."""
        if not self._num_same or self._num_same < self._num_other:
            return []
        return [
            f"{self._num_same} times a rank has recorded the very tokens of another one: they are "
            "not split over the ranks (no DP attention, or no all-to-all backend). Tokens count "
            "several times, and where they start is not known."
        ]
