"""Loads of any kind to fixed point, exactly where they fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from eplb_opt.arrays import as_numpy
from eplb_opt.errors import ProblemError
from eplb_opt.problem import Problem
from eplb_opt.units import MAX_LAYER_TOTAL
from heuristics.door import admit_array
from heuristics.layout import Layout, make_layout

#: Bits of a layer's total in fixed point; twice a GPU load and a flag fit above.
TOTAL_BITS = 58
#: Integers up to here are float64 exactly, and so are their sums.
EXACT_FLOAT = 2.0**53


@dataclass(frozen=True, eq=False)
class Call:
    """One call's loads and topology, checked.

    Parameters
    ----------
    values
        [num_layers, num_experts], the caller's loads as numpy.
    single
        The same in float32, as the published greedy takes them.
    layout
        Slots, groups, nodes and GPUs; one node where nodes constrain nothing.
    """

    values: np.ndarray
    single: np.ndarray
    layout: Layout

    @property
    def slots_per_gpu(self) -> int:
        return self.layout.num_slots // self.layout.num_gpus

    @property
    def num_layers(self) -> int:
        return len(self.values)

    def problem(self) -> Problem:
        """The same for the exact rooms."""
        layout = self.layout
        return Problem(
            self.values, layout.num_slots, layout.num_gpus, layout.num_nodes, layout.num_groups
        )


def admit(weight: Any, num_replicas: Any, num_groups: Any, num_nodes: Any, num_gpus: Any) -> Call:
    """Check a call.

    Raises
    ------
    ProblemError
        For loads or sizes that cannot be planned.
    """
    values = as_numpy(weight, "weight")
    try:
        single = admit_array(values)
        layout = make_layout(values.shape[1], num_replicas, num_groups, num_nodes, num_gpus)
    except ValueError as error:
        raise ProblemError(str(error)) from error
    if layout.num_nodes == 1 < layout.num_groups:  # then groups constrain nothing
        layout = make_layout(values.shape[1], num_replicas, 1, 1, num_gpus)
    return Call(values, single, layout)


def fixed_point(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loads as integers that add up to less than 2**TOTAL_BITS a layer.

    The unit is a power of two, so nothing is lost but what lies below it: less than one unit an
    expert, where a layer's loads differ by more bits than there are.

    Returns
    -------
    int64 [num_layers, num_experts], and the worth of a unit, float64 [num_layers].
    """
    total = values.sum(axis=1, dtype=np.float64)
    bits = TOTAL_BITS - np.frexp(total)[1]
    unit = np.ldexp(1.0, -bits)
    if values.dtype.kind != "f" and total.max() >= EXACT_FLOAT:
        if total.max() >= MAX_LAYER_TOTAL:
            raise ProblemError(
                f"A layer's loads add up to {total.max():.3g}; exact arithmetic needs less than "
                "2**62. Use a larger unit: divide the loads by a constant."
            )
        left, right = np.maximum(bits, 0)[:, None], np.maximum(-bits, 0)[:, None]
        return (values.astype(np.int64) << left) >> right, unit
    # In two factors, for the whole one may be past the largest float.
    half = bits // 2
    scaled = values * np.ldexp(1.0, half)[:, None]
    scaled *= np.ldexp(1.0, bits - half)[:, None]
    return scaled.astype(np.int64), unit


def in_kind(weight: Any, maps: tuple[np.ndarray, ...]) -> tuple[Any, Any, Any]:
    """Torch tensors on the weight's device where that is one, else the arrays."""
    if not hasattr(weight, "detach"):
        return maps[0], maps[1], maps[2]
    import torch

    phy2log, log2phy, logcnt = (torch.from_numpy(array).to(weight.device) for array in maps)
    return phy2log, log2phy, logcnt
