"""Loads of physical slots to loads of the experts in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.placement.scoring import replica_counts


class Fold:
    """Adds up the slots of each expert; exact for integers.

    Parameters
    ----------
    placed
        The map in force while the loads were recorded, int64 [num_layers, num_slots]; what an
        empty slot (-1) has counted is left out.

    Raises
    ------
    FormatError
        When an expert is in no slot, so that its load is unknown.
    """

    def __init__(self, placed: np.ndarray) -> None:
        num_layers, num_slots = placed.shape
        num_experts = int(placed.max()) + 1
        if num_experts > num_slots or num_experts == 0:
            raise FormatError(
                f"the map holds ids up to {num_experts - 1} in {num_slots} slots; "
                "each expert has a slot."
            )
        absent = np.argwhere(replica_counts(placed, num_experts) == 0)
        if len(absent):
            layer_idx, expert = absent[0]
            raise FormatError(f"layer {layer_idx}: expert {expert} is in no slot of the map.")
        at = np.where(placed < 0, -1, placed + num_experts * np.arange(num_layers)[:, None])
        self.placed = placed
        self.shape = (num_layers, num_experts)
        self._order = np.argsort(at, axis=None, kind="stable")[np.count_nonzero(at < 0) :]
        in_order = at.ravel()[self._order]
        self._first = np.flatnonzero(np.diff(in_order, prepend=-1))

    def __call__(self, slot_load: Any, name: str = "the loads of slots") -> np.ndarray:
        """Loads [num_layers, num_experts] of loads [num_layers, num_slots].

        Raises
        ------
        FormatError
            When they are no numbers or of another shape than the map.
        """
        try:
            load = np.asarray(slot_load)
        except (ValueError, OverflowError) as error:
            raise FormatError(f"{name} are no rectangular table: {error}.") from error
        if load.shape != self.placed.shape or load.dtype.kind not in "iuf":
            raise FormatError(
                f"{name} have type {load.dtype} and shape {list(load.shape)}; numbers like the "
                f"map's {list(self.placed.shape)} are due."
            )
        wide = load.astype(np.float64 if load.dtype.kind == "f" else np.int64)
        return np.add.reduceat(wide.ravel()[self._order], self._first).reshape(self.shape)
