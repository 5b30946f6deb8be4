"""What a placement is worth, exactly."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


def least_levels(load: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], placed: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], rate: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], tokens: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu')], is_tight: Annotated[NDArray[numpy.bool_], dict(shape=(None, None), order='C', device='cpu')]) -> None:
    """
    Find the sets of GPUs that prove the least largest load over rate of every layer.

    `load` is int64 [num_layers, num_experts], `placed` int64 [num_layers, num_slots] with
    -1 for an empty slot, `rate` int64 [num_gpus]. Written are `is_tight`, bool
    [num_layers, num_gpus], and `tokens`, int64 [num_layers], of the experts that stand
    on such GPUs alone; -1 where the integers would not fit, and nothing is known.
    """
