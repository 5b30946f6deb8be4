"""From the plan in force to a new one."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


def best_assignment(worth: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)]) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
    """
    The column of each row in an assignment of the largest total worth, int64 [num].

    `worth` is int64 [num, num], at least 0.
    """

def relabel(current: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], fresh: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], num_gpus: int, num_nodes: int, far_price: int = 1) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
    """
    A new row with its GPUs named so that the fewest slots get an expert new on the GPU.

    A slot whose expert is new on its node, too, counts `far_price` times. Both rows are int64 [num_slots], -1 for an empty slot.
    """

def keep_slots(current: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], fresh: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], num_gpus: int) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
    """
    A new row with what stays on a GPU in the slot where it was, int64 [num_slots].
    """
