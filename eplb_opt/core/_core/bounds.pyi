"""Sums that no plan undercuts."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


def least_totals(costs: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], totals: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu')]) -> None:
    """
    Find the least total cost of each layer over all ways to share out its spare slots.

    `costs` is int64 [num_layers * num_experts, most + 1], from 0 to 2**62: entry c is
    what an expert costs with c slots beyond its first. Written is `totals`, int64
    [num_layers], for `most` such slots in all; 2**62 where no way costs less.
    """
