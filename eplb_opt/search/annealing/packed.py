"""Annealing of what stands on each node of a layer, and packing of its GPUs afterwards.

What is off home depends on nodes alone, and a node with many slots on a GPU can nearly always be
packed so that its GPUs carry the same. So most of the choice is which replicas a node has: one of a
few hundred replicas and few nodes, where swaps within a node are no moves at all. The core anneals
it (`annealing.PackedSearch`), and the local search packs all nodes (`local.LayerSearch`).

A node is hard to pack where it has heavy replicas, so that these have a ceiling. Which one is best
depends on the layer; runs take one after the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from eplb_opt.core import annealing, local
from eplb_opt.search.annealing import cooling
from eplb_opt.search.annealing.cooling import OPEN_TURN_SLICES, Cooling, Runs
from eplb_opt.search.annealing.layer import THRESHOLDS
from eplb_opt.search.seeds import SALT

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem

#: How a run cools, and its most slices for each slot: more give no better nodes. A short run begins
#: so cool that it does not leave where it came from.
COOLING = Cooling(first_heat=0.003, last_heat=3e-6, run_slices=12)
SHORT_COOLING = Cooling(first_heat=1e-4, last_heat=3e-6, run_slices=12)
#: A run is short below so many seconds, or slices, for each slot.
SHORT_SECONDS, SHORT_SLICES = 1e-4, 1
#: Chances among 1024; see `annealing.TopologySearch`.
TRANSFERS, HOMEWARD, SETTLING = 200, 960, 400
#: No two replicas above so many mean GPU loads share a GPU, as nodes are judged.
HEAVY = 0.4
#: Ceilings of replicas in the water level, the load that the slots could keep all replicas below.
CEILINGS = (1.6, 1.4, 2.0, 1.25, 1.8, 3.0)
#: Halvings that find the water level to some parts in a thousand.
HALVINGS = 12
#: Steps of the packing in counted work; and a node is packed well enough so near to what it carries
#: at least.
PACK_STEPS, NEAR = 1000, 2e-5
#: How GPUs cool after the nodes are packed, and the part of counted work that the nodes take.
LAST_COOLING, NODE_SLICES = Cooling(first_heat=3e-5, last_heat=3e-6, run_slices=6), 2 / 3
#: With fewer slots on a GPU nodes are hard to pack, and single GPUs are annealed, too.
MANY_SLOTS = 4
#: The parts of a run's time that the annealing of nodes and the packing take; what is left is for
#: the annealing of GPUs.
NODE_PART, PACK_PART = 0.65, 0.15


@dataclass(frozen=True)
class NodeArguments:
    """What the core's searches on one layer take, but for the plan to start from and the chance.

    Parameters
    ----------
    machine
        The GPUs.
    share
        float64 [num_experts], each expert's part of all tokens.
    node
        int64 [num_gpus], the node of each GPU with a slot.
    price
        What the off-home share counts in mean GPU loads.
    most
        The largest off-home share.
    anchored
        Whether every expert keeps a replica at home.
    cost
        float64 [num_nodes or num_experts, num_places], what an assignment costs at each place.
    place
        int64 [num_gpus], the place of each GPU with a slot.
    by_home
        Whether rows of `cost` are home nodes; else they are experts.
    """

    machine: annealing.Machine
    share: np.ndarray
    node: np.ndarray
    price: float
    most: float
    anchored: bool
    cost: np.ndarray
    place: np.ndarray
    by_home: bool

    @property
    def costs_by_node(self) -> bool:
        """Whether an assignment costs the same on all GPUs of a node."""
        return np.array_equal(self.place, self.node)


class PackedNodes:
    """Runs that each make a plan: what stands on nodes is annealed, and the GPUs are packed.

    Parameters
    ----------
    problem
        A problem of one layer whose GPUs have `slots_alike`, three or more.
    arguments
        What the core takes.
    seed
        The seed of the random numbers.
    """

    def __init__(self, problem: Problem, arguments: NodeArguments, seed: int) -> None:
        self.arguments, self.seed, self.num_runs = arguments, seed, 0
        self.weight = local.fixed_point(problem.load[0])
        self.slots_per_gpu = int(problem.open_slots.max())
        self.num_slots = int(problem.open_slots.sum())
        self.longest = COOLING.run_slices * self.num_slots
        gpus = np.bincount(arguments.node)
        self.first = np.concatenate(([0], np.cumsum(gpus * self.slots_per_gpu)))
        self.sizes = [np.flatnonzero(gpus == size) for size in np.unique(gpus)]
        self.mean = int(self.weight.sum()) / len(arguments.node)
        self.water = _water_level(arguments.share, self.num_slots) * len(arguments.node)

    def until(self, start: np.ndarray, homes: np.ndarray, deadline: Deadline) -> np.ndarray:
        """A plan from another one with given homes, by one run that ends before the deadline.

        Parameters
        ----------
        start
            int64 [num_open_slots], a valid plan.
        homes
            int64 [num_experts], home nodes.
        deadline
            When the time is over; the run leaves some of it.

        Returns
        -------
        int64 [num_open_slots].
        """
        is_short = deadline.remaining < SHORT_SECONDS * self.num_slots
        nodes = self.begin(start, homes, SHORT_COOLING if is_short else COOLING)
        nodes.runs.once(deadline.part(NODE_PART))
        return self._packed(nodes, deadline.part(PACK_PART))

    def counted(self, start: np.ndarray, homes: np.ndarray, slices: int) -> np.ndarray:
        """The same by a run of so many slices."""
        is_short = slices < SHORT_SLICES * self.num_slots
        nodes = self.begin(start, homes, SHORT_COOLING if is_short else COOLING)
        nodes.runs.counted(slices)
        return self._packed(nodes, None)

    def begin(self, start: np.ndarray, homes: np.ndarray, how: Cooling = COOLING) -> NodeRun:
        """The next run, with its ceiling: `until` and `counted` take it to its end."""
        given = self.arguments
        search = annealing.PackedSearch(
            given.machine,
            given.share,
            homes,
            given.node,
            given.price,
            given.most,
            given.anchored,
            start,
            annealing.Chance(THRESHOLDS, SALT + 1 + self.seed + self.num_runs),
            given.cost,
            given.place,
            given.by_home,
            heavy=HEAVY,
            ceiling=self.water * CEILINGS[self.num_runs % len(CEILINGS)],
        )
        self.num_runs += 1
        return NodeRun(search, how, len(start))

    def _packed(self, nodes: NodeRun, deadline: Deadline | None) -> np.ndarray:
        """The nodes' plan with its GPUs packed anew, node by node of those of one size."""
        plan: np.ndarray = nodes.search.plan()
        counts = np.bincount(plan, minlength=len(self.weight))
        replica = (self.weight // np.maximum(counts, 1))[plan]
        target = int(self.mean * nodes.least_load * (1 + NEAR))
        for same in self.sizes:
            num_slots = int(self.first[same[0] + 1] - self.first[same[0]])
            rows = self.first[same][:, None] + np.arange(num_slots)
            order = np.tile(np.arange(num_slots), (len(same), 1))
            num_gpus = num_slots // self.slots_per_gpu
            search = local.LayerSearch(replica[rows], order, num_gpus, False, target, self.seed)
            if deadline is None or deadline.is_open:
                search.run_steps(PACK_STEPS)
            else:
                search.run_until(deadline.remaining)  # the first call ends at a local optimum
                search.run_until(deadline.remaining)
            plan[rows] = np.take_along_axis(plan[rows], search.best_slots(), axis=1)
        return plan


class Search(cooling.Search, Protocol):
    """The annealing of GPUs that goes on from packed nodes, as `PackedRuns` knows it."""

    now: tuple[np.ndarray, np.ndarray]

    def restart_at(self, slots: np.ndarray, homes: np.ndarray) -> None:
        """Go on from the open slots of another plan, with given homes; int64 both."""
        ...


class PackedRuns:
    """Runs of a search on one layer: its nodes are filled and packed, and its GPUs annealed a bit.

    Parameters
    ----------
    search
        The annealing of GPUs, whose best plan counts.
    nodes
        What fills and packs the nodes.
    """

    def __init__(self, search: Search, nodes: PackedNodes) -> None:
        self.search, self.nodes, self.turns = search, nodes, 0
        self.last = Runs(search, LAST_COOLING, nodes.num_slots)

    def is_due(self) -> bool:
        """Whether the next turn is for it: all are, or every other one where slots are few."""
        self.turns += 1
        return self.nodes.slots_per_gpu >= MANY_SLOTS or self.turns % 2 == 0

    def until(self, deadline: Deadline) -> None:
        """One run until the deadline, or several where there is time."""
        if deadline.is_open:
            self.counted(OPEN_TURN_SLICES)
            return
        while not deadline.expired:
            slots, homes = self.search.now
            self.search.restart_at(self.nodes.until(slots, homes, deadline), homes)
            self.search.advance(0, 0.0, 1, math.inf)  # looks at it, however late it is
            self.last.once(deadline)
            self.search.go_on()

    def counted(self, slices: int) -> None:
        """Runs of so many slices together."""
        longest = self.nodes.longest + self.last.longest
        while slices > 0:
            length = min(slices, longest)
            of_nodes = int(length * NODE_SLICES)
            slots, homes = self.search.now
            self.search.restart_at(self.nodes.counted(slots, homes, of_nodes), homes)
            self.last.counted(length - of_nodes)
            slices -= length
            if slices > 0:
                self.search.go_on()


class NodeRun:
    """One run's search, as `Runs` takes it."""

    def __init__(self, search: annealing.PackedSearch, how: Cooling, num_slots: int) -> None:
        self.search = search
        self.runs = Runs(self, how, num_slots)

    @property
    def least_load(self) -> float:
        """What the nodes carry now at least, relative to the mean."""
        return float(self.search.largest_load)

    @property
    def largest_load(self) -> float:
        """As much as a GPU may come to carry, relative to the mean."""
        return self.least_load

    def advance(self, doublings: int, temperature: float, slices: int, seconds: float) -> None:
        """Anneal some slices, fewer where the seconds are over."""
        self.search.anneal(
            doublings, temperature, TRANSFERS, 0, HOMEWARD, SETTLING, slices, seconds
        )

    def go_on(self) -> None:
        """Go on as it is: longer runs are cut elsewhere."""


def _water_level(share: np.ndarray, num_slots: int) -> float:
    """About the least level that the slots can keep every replica at or below: a ceiling's unit."""
    low, high = 0.0, float(share.max())
    for _ in range(HALVINGS):
        level = (low + high) / 2
        if np.maximum(np.ceil(share / level), 1.0).sum() <= num_slots:
            high = level
        else:
            low = level
    return high


def slots_alike(problem: Problem) -> int:
    """The slots of every GPU that has some, where these are alike and hold what they may; else 0.

    Then which replicas stand on a node can be decided before on which of its GPUs they do: with one
    load, where replicas of an expert may share a GPU.
    """
    open_slots = problem.open_slots[problem.open_slots > 0]
    is_even = bool((open_slots == open_slots[0]).all()) and problem.gpu_speed is None
    is_free = problem.colocation == "allow" and not problem.has_scenarios
    return int(open_slots[0]) if is_even and is_free else 0
