"""Plans within milliseconds."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


def fixed_point(weight: Annotated[NDArray, dict(shape=(None, None), device='cpu', writable=False)]) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')], Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C')]]:
    """
    Loads as integers below 2**58 a layer, int64 [num_layers, num_experts], and what one
    of them is worth, float64 [num_layers].
    """

def lightest_partition(weights: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], num_groups: int, num_nodes: int) -> Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')]:
    """
    The experts of every node, int64 [num_layers * num_nodes, experts per node], in the
    partition of groups whose heaviest node is the lightest.
    """

class NodeSearch:
    """The search on one node: slot k * num_gpus + g is the k-th of GPU g."""

    def __init__(self, placed: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], num_gpus: int) -> None:
        """
        From the experts of all slots, GPU after GPU, and the experts' fixed-point loads.
        """

    @property
    def expert(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """Of every slot."""

    @property
    def size(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """Load of every slot's replica."""

    @property
    def load(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """Of every GPU."""

    @property
    def count(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """Replicas of every expert."""

    @property
    def reached(self) -> int:
        """The least largest load so far."""

    @property
    def total(self) -> int:
        """Load of the node."""

    @property
    def dropped_bits(self) -> int:
        """Bits that exchanges drop."""

    def step(self, target: int) -> None:
        """
        One improvement of the heaviest GPU, or one kick; at `target` nothing is to gain.
        """

    def sweep(self) -> None:
        """Level the heaviest GPU with the lightest, and so on."""

    def exchange(self, target: int) -> bool:
        """
        The best exchange of one replica of the heaviest GPU; whether one lowers its load.
        """

def plan_shares(weights: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], start: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], rule: object, num_gpus: int, num_nodes: int, tolerance: float, near: bool, steps: int, seconds: float | None, seed: int) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')], Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')], Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]]:
    """
    Plans for a rule by which every GPU sends an expert's tokens to one replica.

    `weights` (int64 [num_layers, num_experts]) are loads in fixed point; `start` (int64
    [num_layers, num_slots]) holds a plan of each layer, or -1 in its first slot. No replica of
    it leaves its node of `num_nodes`. A layer ends where it is within 1 + `tolerance` of the
    mean and of its largest replica, after `steps` exchanges, or with its part of the seconds.
    With `near` a plan is changed by few moves; else a new one may take its place, and what no
    exchange betters is left by chance, from `seed`, not 0.

    Returns the plans, int64 [num_layers, num_slots], none worse than its start, and the
    largest loads before (-1 without a plan) and after, int64 [num_layers], in weights times
    senders.
    """

def plans_on_the_way(weight: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], placed: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], homes: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], sizes: tuple[int, int, int, int], price: float, steps: int) -> Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')]:
    """
    Plans of one layer that cost ever less, int64 [num, num_slots], on a descent from a
    valid one, `placed` int64 [num_slots], in so many steps at most. `weight` are loads in
    fixed point, int64 [num_experts]; `homes` the nodes of groups, int64 [num_groups].
    """

class PricedSession:
    """
    One call with a price on what is served away from home. From one thread
    at a time.
    """

    def __init__(self, weight: Annotated[NDArray, dict(shape=(None, None), device='cpu', writable=False)], sizes: tuple[int, int, int, int], price: float) -> None:
        """
        `weight` holds real numbers [num_layers, num_experts] of any type, stride and order;
        `sizes` are slots, groups, nodes and GPUs, which need not divide; `price` is that of
        all load, in mean GPU loads.
        """

    def plan(self, steps: int, seconds: float | None) -> None:
        """Plan all layers, refined by steps a layer, or for so many seconds."""

    def offer(self, plan: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], layers: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> Annotated[NDArray[numpy.int8], dict(shape=(None,), order='C')]:
        """
        Take rows of a plan, int64 [num, num_slots], for the layers int64 [num] where they cost
        less; int8 [num], 1 where but for its load a row costs next to nothing.
        """

    def near(self, current: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], tolerance: float, steps: int) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')], Annotated[NDArray[numpy.int8], dict(shape=(None,), order='C')]]:
        """
        Once planned: few changes to a valid plan in force, int64 [num_layers, num_slots], until
        each layer costs no more than (1 + tolerance) times its plan, in so many steps a layer
        at most; and int8 [num_layers], 1 where that was reached.
        """

    def worth_of(self, plan: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)]) -> Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C')]:
        """`worth` of another valid plan, int64 [num_layers, num_slots]."""

    @property
    def strict_bounds(self) -> Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C')]:
        """
        What no plan with all of a group on one node costs less than, float64
        [num_layers]; the cost of the layer's plan where it is clear that this is less.
        """

    @property
    def placed(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', writable=False)]:
        """The expert of every slot, int64 [num_layers, num_slots]."""

    @property
    def homes(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', writable=False)]:
        """The node of every group, int64 [num_layers, num_groups]."""

    @property
    def worth(self) -> Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C')]:
        """
        The largest GPU load, the load away from home, and the cost: the former times
        the GPUs plus the latter times the price, float64 [num_layers, 3].
        """

def first_offence(placed: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], counts: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], num_groups: int, num_nodes: int) -> int:
    """
    The first layer that breaks a law, or -1.

    `placed` is int64 [num_layers, num_slots], `counts` int64 [num_layers, num_experts];
    `num_groups` and `num_nodes` are 1 where the nodes constrain nothing.
    """

class Session:
    """One call of the serving path. From one thread at a time."""

    def __init__(self, weight: Annotated[NDArray, dict(shape=(None, None), device='cpu', writable=False)], sizes: tuple[int, int, int, int], greedy: bool = True) -> None:
        """
        `weight` holds real numbers [num_layers, num_experts] of any type, stride and order;
        `sizes` are slots, groups, nodes and GPUs. Plans greedily; with `greedy` False not
        before somebody asks for the plan, who may `put` another first.
        """

    @property
    def placed(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', writable=False)]:
        """
        The expert of every slot, int64 [num_layers, num_slots]: the plan as it is.
        """

    def compare(self, current: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)]) -> Annotated[NDArray[numpy.int8], dict(shape=(None,), order='C')]:
        """
        Compare with a plan in force, int64 [num_layers, num_slots]: int8 [num_layers], 1
        where the greedy's largest GPU load is lower, -1 where it is higher, 0 where they
        differ by no more than rounding.
        """

    def keep(self, current: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], layers: Annotated[NDArray[numpy.bool_], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """
        Take the layers that `layers`, bool [num_layers], names from the plan in force.
        """

    def put(self, plan: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)]) -> None:
        """
        Take all layers of a plan, int64 [num_layers, num_slots], to write its maps.
        """

    def refine(self, steps: int, seconds: float | None) -> None:
        """
        Refine by steps a layer, or for so many seconds with what is still to come.
        """

    def maps(self) -> tuple[bool, tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')], Annotated[NDArray[numpy.int64], dict(shape=(None, None, None), order='C')], Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C')]]]:
        """
        Check the plan: whether it obeys all laws, and phy2log, log2phy and logcnt; those of
        the greedy where it does not.
        """
