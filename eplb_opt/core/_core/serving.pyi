"""Plans within milliseconds."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


def first_offence(placed: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], counts: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], num_groups: int, num_nodes: int) -> int:
    """
    The first layer that breaks a law, or -1.

    `placed` is int64 [num_layers, num_slots], `counts` int64 [num_layers, num_experts];
    `num_groups` and `num_nodes` are 1 where the nodes constrain nothing.
    """
