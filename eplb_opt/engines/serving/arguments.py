"""Loads, sizes and the plan in force at the door of the serving path."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from eplb_opt.core import serving
from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_numpy
from eplb_opt.problem.checks import check_size
from eplb_opt.problem.problem import Problem
from heuristics.arguments import admit_array
from heuristics.layout import Layout, make_layout

#: What the core is given where it does not read a type, byte order, stride or place: a plain copy.
PLAIN_TYPES = {"f": np.float64, "i": np.int64, "u": np.uint64}


class Call:
    """One call's loads and topology, checked, with the session that plans it.

    Parameters
    ----------
    values
        [num_layers, num_experts], the caller's loads as numpy.
    layout
        Slots, groups, nodes and GPUs; one group and one node where nodes constrain nothing.
    greedy
        Whether the session plans greedily at once; else it does when it is asked for a plan.

    Raises
    ------
    ProblemError
        For loads that cannot be planned.
    """

    def __init__(self, values: np.ndarray, layout: Layout, *, greedy: bool = True) -> None:
        self.values = values
        self.layout = layout
        sizes = layout.num_slots, layout.num_groups, layout.num_nodes, layout.num_gpus
        try:
            self.session = _open(values, sizes, greedy)
        except ValueError as error:
            raise ProblemError(_why_not(values) or str(error)) from error

    @property
    def num_layers(self) -> int:
        """MoE layers of the call."""
        return len(self.values)

    def problem(self) -> Problem:
        """The same for the exact rooms."""
        layout = self.layout
        return Problem(
            self.values, layout.num_slots, layout.num_gpus, layout.num_nodes, layout.num_groups
        )


def _open(values: np.ndarray, sizes: tuple[int, int, int, int], greedy: bool) -> serving.Session:
    try:
        if values.flags.aligned:
            return serving.Session(values, sizes, greedy)
    except TypeError:
        pass  # a type, byte order or stride that the core does not read
    return serving.Session(plain(values), sizes, greedy)


def plain(values: np.ndarray) -> np.ndarray:
    """A copy in a type and an order that the core reads."""
    return np.array(values, dtype=PLAIN_TYPES[values.dtype.kind], order="C")


def _why_not(values: np.ndarray) -> str:
    """What is wrong with loads that the core refuses, with the numbers."""
    try:
        admit_array(values)
    except ValueError as error:
        return str(error)
    return ""


def admit(
    weight: Any,
    num_replicas: Any,
    num_groups: Any,
    num_nodes: Any,
    num_gpus: Any,
    *,
    greedy: bool = True,
) -> Call:
    """Check a call and, where `greedy` asks for it, plan it greedily.

    Raises
    ------
    ProblemError
        For loads or sizes that cannot be planned.
    """
    values, layout = admit_sizes(weight, num_replicas, num_groups, num_nodes, num_gpus)
    return Call(values, layout, greedy=greedy)


def admit_sizes(
    weight: Any, num_replicas: Any, num_groups: Any, num_nodes: Any, num_gpus: Any
) -> tuple[np.ndarray, Layout]:
    """The loads of a call, [num_layers, num_experts], and its sizes.

    Raises
    ------
    ProblemError
        For loads of another shape, or sizes that do not fit together.
    """
    values = as_numpy(weight, "weight")
    if values.ndim != 2 or 0 in values.shape:
        raise ProblemError(_why_not(values))
    sizes = values.shape[1], num_replicas, num_groups, num_nodes, num_gpus
    try:
        layout = _layout(*sizes)
    except TypeError:  # a size that cannot be hashed, such as a tensor of one number
        layout = _layout.__wrapped__(*sizes)
    check_size(len(values), layout.num_slots)
    return values, layout


@lru_cache(maxsize=64, typed=True)
def _layout(num_experts: int, *sizes: Any) -> Layout:
    try:
        layout = make_layout(num_experts, *sizes)
        if layout.num_nodes == 1 < layout.num_groups:  # then groups constrain nothing
            layout = make_layout(num_experts, sizes[0], 1, 1, sizes[3])
    except ValueError as error:
        raise ProblemError(str(error)) from error
    return layout


def in_kind(weight: Any, maps: tuple[np.ndarray, ...]) -> tuple[Any, Any, Any]:
    """Torch tensors on the weight's device where that is one, else the arrays."""
    if not hasattr(weight, "detach"):
        return maps[0], maps[1], maps[2]
    import torch

    tensors = [torch.from_numpy(array) for array in maps]
    if weight.device.type != "cpu":
        tensors = [tensor.to(weight.device) for tensor in tensors]
    return tensors[0], tensors[1], tensors[2]
