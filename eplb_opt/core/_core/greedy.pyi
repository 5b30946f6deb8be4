"""Replicate and place by decreasing load."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


def rebalance(weight: Annotated[NDArray, dict(shape=(None, None), device='cpu', writable=False)], sizes: tuple[int, int, int, int]) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')], Annotated[NDArray[numpy.int64], dict(shape=(None, None, None), order='C')], Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')]]:
    """
    Place replicas of all experts as the published greedy does.

    `weight` holds real numbers [num_layers, num_experts] of any type, stride and order;
    `sizes` are slots, groups, nodes and GPUs. Returns int64 arrays: the expert of every
    slot [num_layers, num_slots], the slots of every expert [num_layers, num_experts,
    largest count] padded with -1, and the counts [num_layers, num_experts].
    """
