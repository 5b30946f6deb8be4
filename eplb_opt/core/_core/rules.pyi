"""First plans where GPUs differ or replicas stand apart."""

from collections.abc import Sequence
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

def place_at_home(rules: GpuRules, load: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], home: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], placed: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu')], done: Annotated[NDArray[numpy.bool_], dict(shape=(None,), order='C', device='cpu')]) -> None:
    """
    Write plans with all at home that fits there; the rules' unit is the node.

    `load` and `home` are int64 [num_layers, num_experts], `placed` int64 [num_layers,
    num_slots] full of -1, `done` bool [num_layers]: whether every replica of a layer
    found a GPU that may take it; what is written of the others is no plan.
    """

def place_across(rules: GpuRules, load: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], first: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], steps: Sequence[Sequence[tuple[float, int]]], nodes: Sequence[Sequence[int]], placed: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu')], done: Annotated[NDArray[numpy.bool_], dict(shape=(None,), order='C', device='cpu')]) -> None:
    """
    Write plans whose hot experts stand on many nodes; the rules' unit is the node.

    `first` is int64 [num_layers, num_experts], the counts to begin with. `steps` has
    for each count the steps from there, the best first: what a step is worth a replica
    and a unit of load, and its replicas. `nodes` has for each count the nodes that the
    replicas should have, or none. Others as for `place_at_home`.
    """

def level_homes(load: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], price: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], part: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], room: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], home: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu')]) -> None:
    """
    Write a node for each expert, int64 [num_layers, num_experts], in descending load.

    `price` is float64 [num_layers * num_experts, num_nodes], `part` float64 [num_nodes]
    each node's part of the GPUs, and `room` int64 [num_nodes] its slots. An expert goes
    where its price, and the node's load over the largest so far, or the mean, are least.
    """
