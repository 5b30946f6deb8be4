"""Local search on one layer."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


class LayerSearch:
    """
    Anytime search on the nodes of one layer, or on the whole of a flat one.
    """

    def __init__(self, weights: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], slots: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], num_gpus: int, apart: bool, target: int, seed: int) -> None:
        """
        `weights` is int64 [num_nodes, num_experts], the loads on each node, and `slots` int64
        [num_nodes, num_slots], a plan of each in the node's own expert numbers; every node has
        `num_gpus`. `apart` forbids an expert to stand twice on a GPU. A largest load at or below
        `target` ends the search.
        """

    def run_steps(self, steps: int) -> None:
        """
        Search for a number of steps, or until done; any split gives the same plan.
        """

    def run_until(self, seconds: float) -> None:
        """
        Search for so long, or until done; a first call ends at the first local optimum.
        """

    def best_slots(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')]:
        """The best plan, int64 [num_nodes, num_slots]."""

    @property
    def best(self) -> int:
        """The largest load of the best plan."""

    @property
    def is_done(self) -> bool:
        """Whether that is at or below the target."""

    @property
    def is_polished(self) -> bool:
        """Whether the heaviest node has been at a local optimum."""

TOTAL: int = 17592186044416

def fixed_point(loads: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
    """
    Loads scaled to add up to about TOTAL, rounded down; int64 [num_experts] both.
    """

def pack(pieces: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], counts: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], num_gpus: int, slots_per_gpu: int, apart: bool) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')] | None:
    """
    Longest processing time first: the largest replica to the lightest GPU with room.

    `pieces` and `counts` are int64 [num_experts], the size and the number of each
    expert's replicas, which fill the slots. Returns int64 [num_slots], or None where
    `apart` leaves no GPU to some replica.
    """

class NodeSearch:
    """The search on one node, move by move."""

    def __init__(self, weights: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], num_gpus: int, apart: bool, seed: int) -> None:
        """
        `weights` is int64 [num_experts], fixed-point loads; `slots` int64 [num_slots], the plan
        to start from.
        """

    def advance(self, steps: int, target: int, only_exchange: bool = False) -> int:
        """Take steps; returns how many, fewer where it stopped by itself."""

    def restart(self, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """Go on from another plan; the best one is kept."""

    def exchange(self, gpu: int) -> int:
        """
        The best exchange that lowers a GPU's load; returns the other GPU, or -1.
        """

    def redeal(self, heavy: int, second: int, third: int) -> bool:
        """
        Deal three GPUs' replicas out anew; returns whether their largest load fell.
        """

    def transfer(self, ceiling: int) -> bool:
        """Give a random slot to another expert; returns whether it could."""

    def shuffle(self, swaps: int) -> None:
        """Swap random pairs of replicas."""

    def renew(self, bound: int) -> bool:
        """Go on from counts drawn at random; returns whether a plan was found."""

    def fit_counts(self, target: int, ceiling: int) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')] | None:
        """
        Counts whose replicas are at or below the target, int64 [num_experts], or None.
        """

    def draw_counts(self, target: int) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')] | None:
        """
        Counts at or below the target under ceilings drawn, int64 [num_experts], or None.
        """

    def scan_counts(self, bound: int, keep: int) -> list[Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]]:
        """
        The best greedy packings over a range of counts, int64 [num_slots] each.
        """

    def sorted_subsets(self, gpu: int, size: int) -> list[tuple[int, list[int]]]:
        """Sum and places of a GPU's subsets of one size, ascending."""

    @property
    def slots(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]: ...

    @property
    def sizes(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]: ...

    @property
    def loads(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]: ...

    @property
    def counts(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]: ...

    @property
    def best_slots(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]: ...

    @property
    def best(self) -> int:
        """The largest load of the best plan."""
