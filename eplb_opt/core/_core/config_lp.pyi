"""Bounds by configurations of a GPU."""

import enum
from typing import Annotated

import numpy
from numpy.typing import NDArray


class Verdict(enum.Enum):
    """What is known of the LP at a load."""

    FEASIBLE = 0

    INFEASIBLE = 1

    OPEN = 2

class ColumnGeneration:
    """
    Decides whether the configuration LP of a node is feasible at a load.

    Columns, basis and dual values are kept from one load to the next.
    """

    def __init__(self, load: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], num_slots: int, num_gpus: int, start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None) -> None:
        """
        `load` is int64 [num_experts]; `start` is a plan, int64 [num_slots], or None.
        """

    def decide(self, target: float, low: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], high: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], last: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, *, seconds: float, rounds: int | None) -> Verdict:
        """
        Whether fractions of patterns of at most `target` fit the GPUs.

        `low` and `high` are the counts that experts may have, int64 [num_experts]; `last` is
        dual values to begin with, float64 [num_experts], or None. No round of pricing is
        begun that may not end within `seconds`, and no more than `rounds`, or None.
        """

    def division(self) -> Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C')]:
        """
        How much of each expert the LP takes with each count, float64
        [num_experts, num_counts].
        """

    @property
    def centre(self) -> Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C')]:
        """
        The dual values of the best bound at the last target, float64 [num_experts].
        """

    @property
    def rounds(self) -> int:
        """Rounds of pricing so far."""

def is_small(num_experts: int, num_slots: int, slots_per_gpu: int) -> bool:
    """Whether a node's tables fit the memory that they may take."""
