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

def ascend(load: NDArray[numpy.float64], home: NDArray[numpy.int64], slots: NDArray[numpy.int64], gpus: NDArray[numpy.int64], price: float, anchored: bool, least: float, most: float, enough: float, seconds: float) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64], float, NDArray[numpy.int64], NDArray[numpy.int64]] | None:
    """
    Prices of slots and of load on nodes for one layer, by Newton's method on a smoothed dual.

    `load` is float64 [num_experts], relative to the mean GPU load; `home` int64 [num_experts];
    `slots` and `gpus` int64 [num_nodes]. `price` is of a share of 1 off home, and the largest
    GPU load lies between `least` and `most`. No more than `enough` need be proven, and seconds
    may be infinite. Returns prices of slots and of a mean GPU load, float64 [num_nodes] each,
    and of the program whose dual values they are: the largest load, the replicas of each
    expert, and 1 where most of those beyond the first are at home, int64 [num_experts] each.
    None where no plan has so little load, or there was no time.
    """
