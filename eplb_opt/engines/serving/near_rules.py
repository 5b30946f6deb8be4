"""How near a plan is to stay to the map in force."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.placement.move_cost import refuse_two_limits
from eplb_opt.problem.arrays import as_int, as_numpy, is_number
from eplb_opt.problem.gpu_rules import as_mask

if TYPE_CHECKING:
    from eplb_opt.placement.move_cost import MoveCost

#: Of a move across nodes.
MAX_PRICE = 1000


@dataclass(frozen=True, eq=False)
class NearRules:
    """How near a plan is to stay, and on what machine.

    Parameters
    ----------
    tolerance
        The largest GPU load may be so much above the bound, as a share of it.
    max_moves
        Moves at most: a number for the model, or one a layer; instead of `tolerance`.
    min_gain
        Where the largest GPU loads, summed over the layers, would fall by less than this share, the
        map in force stays, byte for byte.
    active_gpus
        bool [num_gpus], or None where all are there; slots of the others get -1.
    cross_node_price
        What a move to a node costs on which its expert did not stand; within a node it is 1. It
        counts in the choice of moves, and against `max_moves`.
    num_nodes
        Nodes for that price, where groups are not bound to nodes and the call's layout knows none.
    apart
        Whether no GPU may get an expert that it holds.
    move_cost
        Instead of `tolerance` and `max_moves`: every layer's plan is the one that loses least time
        to moving and to imbalance until the next rebalance.

    Raises
    ------
    ProblemError
        For limits that are none, or two that exclude each other.
    """

    tolerance: float | None = None
    max_moves: Any = None
    min_gain: float = 0.0
    active_gpus: Any = None
    cross_node_price: int = 1
    num_nodes: int | None = None
    apart: bool = False
    move_cost: MoveCost | None = None

    def __post_init__(self) -> None:
        refuse_two_limits(self.max_moves, self.tolerance, self.move_cost)
        for name, value in (("move_tolerance", self.tolerance), ("min_gain", self.min_gain)):
            if value is not None and not (is_number(value) and 0 <= value < math.inf):
                raise ProblemError(f"{name}={value} must be finite and at least 0.")
        as_int(self.cross_node_price, "cross_node_price", most=MAX_PRICE)

    def active(self, num_gpus: int) -> np.ndarray:
        """Which GPUs are there, bool [num_gpus].

        Raises
        ------
        ProblemError
            For a mask of another shape or type, or one without any GPU.
        """
        if self.active_gpus is None:
            return np.ones(num_gpus, dtype=bool)
        mask = as_mask(self.active_gpus, "active_gpus", (num_gpus,))
        if not mask.any():
            raise ProblemError(f"active_gpus names none of the {num_gpus} GPUs.")
        return mask

    def per_layer(self, num_layers: int) -> np.ndarray | None:
        """The most moves of every layer, int64 [num_layers]; None where the model shares them."""
        if np.ndim(self.max_moves) == 0:
            return None
        most = as_numpy(self.max_moves, "max_moves")
        if most.shape != (num_layers,) or most.dtype.kind not in "iu" or most.min() < 0:
            raise ProblemError(
                f"max_moves={self.max_moves} must be one number, or {num_layers} integers from 0 "
                "on, one a layer."
            )
        return np.asarray(np.minimum(most, 2**30), dtype=np.int64)
