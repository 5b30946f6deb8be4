"""First plans where GPUs differ or replicas stand apart."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


class GpuRules:
    """What holds for the GPUs in every layer."""

    def __init__(self, open_slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], unit: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], speed: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], is_spread: bool, keeps_apart: bool) -> None:
        """
        `open_slots` and `unit` are int64 [num_gpus], `speed` float64 [num_gpus]; the unit is
        what a plan is to survive the loss of, the GPU or its node.
        """

def fill(rules: GpuRules, load: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], forbidden: Annotated[NDArray[numpy.bool_], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, pinned: Annotated[NDArray[numpy.bool_], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, placed: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu')]) -> tuple[int, int, int, int]:
    """
    Write a plan that obeys every rule.

    `load` is int64 [num_layers, num_experts], the masks bool [num_layers, num_experts,
    num_gpus] or None, `placed` int64 [num_layers, num_slots] full of -1. Returns the
    layer without a plan or -1, why (1: an expert finds no slot, 2: no second unit, 3: no
    expert may stand in a GPU's last slots), that expert or GPU, and the slots left.
    """

def place_apart(load: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], num_gpus: int, placed: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu')]) -> None:
    """
    Write one node's greedy plan under which no GPU holds an expert twice.

    `load` is int64 [num_experts], `placed` int64 [num_slots].
    """
