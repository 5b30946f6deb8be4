"""Exact search with two slots a GPU."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


class Layer:
    """
    Loads with two slots a GPU, in units of 2**-scale_bits tokens.

    `load` is int64 [num_experts].
    """

    def __init__(self, load: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], scale_bits: int, num_slots: int) -> None: ...

    def fewest(self, level: int) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """
        Replicas that each expert takes at least in a plan of at most the level;
        int64 [num_experts], and num_slots + 1 where they would be more.
        """

def refill(load: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], counts: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], num_slots: int) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
    """
    Counts made to use all slots: off the lightest replicas, or more of the heaviest.

    `load` is float64 [num_experts], `counts` int64 [num_experts], at least 1.
    """

def rate(load: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], counts: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], move: tuple[int, int], level: float) -> tuple[float, float]:
    """
    What the pairs exceed the level by together, and the largest pair, after a move.

    The slots are as many as the counts. `move` is (giver, taker), -1 for none.
    """

def search_counts(load: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], counts: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], limits: tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]], aim: tuple[float, float], budget: tuple[int, float]) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')], float]:
    """
    Moves of replicas, until all pairs are at most a bound; the best counts and their
    largest pair.

    `limits` are (lowest, highest), int64 [num_experts]; `aim` is (bound, share): wanted
    is this share of the way from the bound up to the best so far; `budget` is (moves,
    seconds).
    """

class Options:
    """
    The counts that a plan of at most a level can have, experts in their order,
    and the balance rows over them.
    """

    @property
    def first(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """int64 [num_experts + 1], where each expert's options begin."""

    @property
    def count(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """int64 [num_options], replicas."""

    @property
    def change(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """int64 [num_options], +count for small replicas, -count for big ones."""

    @property
    def rank(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """int64 [num_options], the rows below it hold the option's replicas."""

    @property
    def threshold(self) -> list[int]:
        """Keys in units, ascending, one a row."""

    def keep(self, mask: Annotated[NDArray[numpy.bool_], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> Options:
        """Those under a mask, bool [num_options]."""

    def need(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """What the tightened rows need, int64 [num_rows]."""

    def prove(self, price: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> tuple[int, Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]]:
        """
        A bound on the replicas of any plan, and what each option costs more than its
        expert's cheapest, int64 [num_options]; both in 2**-24 replicas, as the prices.
        """

    def climb(self, running: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], slots: float, steps: int) -> tuple[float, Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C')], Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C')]]:
        """
        A dual ascent: the bound in replicas, the running sums of the prices, float64
        [num_rows], and how often each option was its expert's cheapest.
        """

def list_options(layer: Layer, level: int) -> Options | None:
    """
    All options at a level; None where the fewest replicas exceed the slots.
    """

class Tree:
    """
    A branch and bound at one level.

    Only counts worth less than `best` tokens are of interest.
    """

    def __init__(self, layer: Layer, level: int, best: float) -> None: ...

    def begin_at(self, running: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """
        Running sums of prices that the root begins at, float64 [num_rows], ascending.
        """

    def grow(self, nodes: int, seconds: float) -> int:
        """
        Work on so many nodes, or until better counts come up; the rounds made.

        A call that the seconds end is taken up by the next one.
        """

    def decide(self, seconds: float) -> bool | None:
        """
        Dynamic programming over what the root left: True with counts that fit the level
        in at most the slots, False when there are none, None where it does not tell.
        It leaves no proof.
        """

    @property
    def num_labels(self) -> int:
        """Labels that `decide` has looked at so far."""

    @property
    def has_given_up(self) -> bool:
        """Whether `decide` will never tell."""

    @property
    def is_closed(self) -> bool:
        """Whether the level is proven to be out of reach."""

    @property
    def is_stuck(self) -> bool:
        """
        Whether counts of at most the level are worth no less than `best` to float64.
        """

    @property
    def is_root_done(self) -> bool:
        """Whether the root's rounds are over."""

    @property
    def has_found(self) -> bool:
        """Whether the last call came upon better counts."""

    @property
    def num_nodes(self) -> int:
        """Nodes begun so far."""

    @property
    def best_counts(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """The counts found, int64 [num_experts], or none."""

    @property
    def root_running(self) -> Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C')]:
        """
        Running sums of the root's prices, float64 [num_rows]; none before they are over.
        """

    def options_left(self) -> Options:
        """
        Options that are enough for every plan that reaches the level, once the root is done.
        """

    @property
    def most_cells(self) -> int:
        """
        Options times (rows with a price + 1) of the proof's largest round: what a
        verifier has to hold at once.
        """

    @property
    def threshold(self) -> list[int]:
        """Keys in units, ascending, one a row."""

    def trace(self) -> dict[str, Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]]:
        """
        The proof so far, a dict of int64 arrays: `rounds`, `expert`, `count` one a node,
        `entries` one a round, `row`, `price` one an entry.
        """
