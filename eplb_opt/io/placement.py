"""The normal form that every file of a placement is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError

if TYPE_CHECKING:
    from eplb_opt.plan import Plan


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
    """

    plan: Plan
    layer_ids: tuple[int, ...]
    num_hidden_layers: int
    objective: np.ndarray | None = None
    lower_bound: np.ndarray | None = None
    status: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, kind in (("objective", np.float64), ("lower_bound", np.float64), ("status", str)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _a_layer(value, name, kind, self.plan.num_layers))


def every_expert_placed(placement: Placement, engine: str) -> None:
    """Refuse a plan that the engine would crash on.

    Raises
    ------
    FormatError
        When a slot is empty or an expert is on no GPU.
    """
    placed, count = placement.plan.physical_to_logical, placement.plan.logical_count
    for bad, what in ((placed < 0, "slot {} is empty"), (count == 0, "expert {} is on no GPU")):
        if bad.any():
            layer_idx, idx = np.argwhere(bad)[0]
            raise FormatError(
                f"layer {layer_idx}: {what.format(idx)}, which {engine} cannot take; mend the plan."
            )


def _a_layer(value: Any, name: str, kind: type, num_layers: int) -> np.ndarray:
    array: np.ndarray = np.asarray(value, dtype=kind)
    if array.shape != (num_layers,):
        raise FormatError(
            f"{name} has shape {list(array.shape)}; it must be [{num_layers}], one value a layer."
        )
    return array
