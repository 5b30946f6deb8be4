"""Plans that move little."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


class Planner:
    """
    Plans near the ones in force.

    Weights are int64 [num_layers, num_experts], of `serving.fixed_point`;
    `held` is int64 [num_layers, num_slots], -1 for an empty slot. All
    methods return the plans, int64 [num, num_slots], -1 on lost GPUs, and of
    each these numbers, int64 [num, 7]: its moves, their price, its largest load
    (rounded up), what no plan is below (rounded down), the largest load of
    the map in force with the moves that must be, the number of those, and
    whether it is as level as asked; loads in the weights' unit. A layer that
    cannot be planned has the largest load 0.
    """

    def __init__(self, num_experts: int, sizes: tuple[int, int, int, int], active: Annotated[NDArray[numpy.bool_], dict(shape=(None,), order='C', device='cpu', writable=False)], far_price: int, is_apart: bool) -> None:
        """
        `sizes` are slots, groups, nodes and GPUs; one group where the nodes bind none.
        `active` is bool [num_gpus]. `far_price` is that of a move to a node where the expert
        did not stand; within a node it is 1. `is_apart` forbids to bring an expert to a GPU that
        holds it.
        """

    def within(self, weights: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], held: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], tolerance: float, steps: int, seconds: float | None, bisects: bool = True) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')], Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')]]:
        """
        The fewest moves found to (1 + tolerance) times the bound; layers whose turn comes
        after so many seconds stay as they are. Where that level is not reached, `bisects` looks
        for the lowest that is.
        """

    def below(self, weights: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], held: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], levels: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], steps: int) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')], Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')]]:
        """
        The fewest moves found to largest loads of `levels`, int64 [num_layers], in the weights'
        unit.
        """

    def at_most(self, weights: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], held: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], prices: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], steps: int) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')], Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')]]:
        """
        The least largest load found with moves of at most a price, int64 [num_layers].
        """

    def front(self, weight: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], held: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], steps: int, seconds: float | None = None) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')], Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')]]:
        """
        For one layer, plans that cost ever more moves for ever less load; no further one is
        looked for after so many seconds.
        """

TOTAL_BITS: int = 29
