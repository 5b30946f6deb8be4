"""The normal form that every file of a placement is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.placement.plan import Plan


@dataclass(frozen=True, eq=False)
class Placement:
    """A plan with what the engines want to know beside it.

    Parameters
    ----------
    plan
        The placement, its GPUs and experts.
    layer_ids
        Place of each planned layer among the hidden layers.
    num_hidden_layers
        Layers of the model, dense ones included.
    objective, lower_bound
        float64 [num_layers] of a result, or None.
    status
        One string a layer, or None.
    model
        Name of the model, for files that hold several; "" where it is not told.
    """

    plan: Plan
    layer_ids: tuple[int, ...]
    num_hidden_layers: int
    objective: np.ndarray | None = None
    lower_bound: np.ndarray | None = None
    status: np.ndarray | None = None
    model: str = ""

    def __post_init__(self) -> None:
        for name, kind in (("objective", np.float64), ("lower_bound", np.float64), ("status", str)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _a_layer(value, name, kind, self.plan.num_layers))


@dataclass(frozen=True, eq=False)
class StoredPlan:
    """A placement as a file holds it; what the file does not tell is None.

    Parameters
    ----------
    physical_to_logical
        int64 [num_layers, num_slots]; -1 is an empty slot.
    layer_ids
        Hidden layers of the rows.
    num_gpus, num_experts, num_hidden_layers
        GPUs of the machine; logical experts of a layer and layers of the model.
    is_every_layer
        Whether the one row stands for each layer.
    """

    physical_to_logical: np.ndarray
    layer_ids: tuple[int, ...] | None = None
    num_gpus: int | None = None
    num_experts: int | None = None
    num_hidden_layers: int | None = None
    is_every_layer: bool = False

    def __post_init__(self) -> None:
        for name in ("num_gpus", "num_experts", "num_hidden_layers"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise FormatError(f"{name} is {count}; it counts from 1.")

    def rows(self, layer_ids: Sequence[int]) -> np.ndarray:
        """The rows of some hidden layers, int64 [len(layer_ids), num_slots].

        As many rows as ids are those rows. Else they are found by their ids, or, where the file
        has none, each is taken to be the row of the hidden layer in its place.

        Raises
        ------
        FormatError
            When a layer has no row.
        """
        placed, wanted = self.physical_to_logical, [int(layer_id) for layer_id in layer_ids]
        if self.is_every_layer:
            return np.tile(placed, (len(wanted), 1))
        if len(placed) == len(wanted):
            return placed
        place = {layer_id: i for i, layer_id in enumerate(self.layer_ids or range(len(placed)))}
        if not wanted or not set(wanted) <= set(place):
            raise FormatError(
                f"there are {len(placed)} rows; they do not hold the layers {wanted[:8]}..."
            )
        return placed[[place[layer_id] for layer_id in wanted]]


def _a_layer(value: Any, name: str, kind: type, num_layers: int) -> np.ndarray:
    array: np.ndarray = np.asarray(value, dtype=kind)
    if array.shape != (num_layers,):
        raise FormatError(
            f"{name} has shape {list(array.shape)}; it must be [{num_layers}], one value a layer."
        )
    return array
