"""A first plan where GPUs differ or experts are tied to them: greedy, with room made by swaps."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import ProblemError

if TYPE_CHECKING:
    from eplb_opt.problem import Problem


def fill_plan(problem: Problem) -> np.ndarray:
    """A plan that obeys every rule, int64 [num_layers, num_slots]; -1 in the slots left empty.

    Each layer first gets its pinned replicas, then one of every other expert, the most loaded
    first, with spread a second one on another GPU or node, then what is worth most in each slot
    that is left: the largest replica that may stand there.

    Parameters
    ----------
    problem
        Flat and of one load; see `scenarios.blended`.

    Raises
    ------
    ProblemError
        When no plan can obey the rules; the message names the expert or the GPU.
    """
    placed = np.full((problem.num_layers, problem.num_slots), -1, dtype=np.int64)
    for layer_idx in range(problem.num_layers):
        filling = _Filling(problem, layer_idx)
        filling.run()
        for gpu_idx, held in enumerate(filling.held):
            first = gpu_idx * problem.slots_per_gpu
            placed[layer_idx, first : first + len(held)] = held
    return placed


@dataclass(eq=False)
class _Filling:
    """One layer while it is filled."""

    problem: Problem
    layer_idx: int
    held: list[list[int]] = field(init=False)
    allowed: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        problem = self.problem
        self.held = [[] for _ in range(problem.num_gpus)]
        self.room = problem.open_slots.tolist()
        # What a plan is to survive the loss of; without spread it does not matter.
        size = problem.gpus_per_node if problem.spread == "node" else 1
        self.unit = [gpu_idx // size for gpu_idx in range(problem.num_gpus)]
        self.speed = [float(speed) for speed in problem.speed]
        self.load = problem.load[self.layer_idx].tolist()
        self.count = [0] * problem.num_experts
        self.allowed = np.ones((problem.num_experts, problem.num_gpus), dtype=bool)
        self.pinned = np.zeros_like(self.allowed)
        if problem.forbidden is not None:
            self.allowed &= ~problem.forbidden[self.layer_idx]
        if problem.pinned is not None:
            self.pinned = problem.pinned[self.layer_idx]

    def run(self) -> None:
        """Fill every open slot."""
        for expert, gpu_idx in np.argwhere(self.pinned).tolist():
            self._put(expert, gpu_idx)
        for expert in sorted(range(len(self.load)), key=lambda e: (-self.load[e], e)):
            while not self._is_placed(expert):
                self._place_one(expert)
        self._check_spread()
        for _ in range(sum(self.room)):
            self._fill_one()

    def _homes(self, expert: int) -> list[int]:
        """The unit of every replica."""
        return [self.unit[g] for g, held in enumerate(self.held) for e in held if e == expert]

    def _is_placed(self, expert: int) -> bool:
        if self.problem.spread is None:
            return self.count[expert] > 0
        return len(set(self._homes(expert))) > 1

    def _check_spread(self) -> None:
        """Where an expert made way twice at once its replicas may have met."""
        if self.problem.spread is None:
            return
        for expert in range(len(self.load)):
            if not self._is_placed(expert):
                raise ProblemError(
                    f"layer {self.layer_idx}: no second {self.problem.spread} was found for expert "
                    f"{expert}. Forbid or pin less, or take more slots."
                )

    def _put(self, expert: int, gpu_idx: int) -> None:
        self.held[gpu_idx].append(expert)
        self.count[expert] += 1
        self.room[gpu_idx] -= 1

    def _may_take(self, gpu_idx: int, expert: int) -> bool:
        if not self.allowed[expert, gpu_idx] or not self.problem.open_slots[gpu_idx]:
            return False
        return self.problem.colocation == "allow" or expert not in self.held[gpu_idx]

    def _may_begin(self, gpu_idx: int, expert: int) -> bool:
        """Whether one of the replicas that the expert needs may stand there."""
        if not self._may_take(gpu_idx, expert):
            return False
        return self.problem.spread is None or self.unit[gpu_idx] not in self._homes(expert)

    def _may_move(self, mover: int, source: int, target: int) -> bool:
        """Whether a replica may change places, its expert's others staying where they are."""
        if not self._may_take(target, mover):
            return False
        if self.problem.spread is None or self.unit[source] == self.unit[target]:
            return True
        homes = self._homes(mover)
        homes.remove(self.unit[source])
        return not homes or len({*homes, self.unit[target]}) > 1

    def _place_one(self, expert: int) -> None:
        """On the GPU that it loads least; where all that may take it are full, one makes way."""
        fitting = [g for g in range(len(self.room)) if self.room[g] and self._may_begin(g, expert)]
        if fitting:
            self._put(expert, min(fitting, key=lambda g: (self._filled(g, expert), g)))
            return
        chain = self._way_to_room(expert)
        if chain is None:
            raise ProblemError(
                f"layer {self.layer_idx}: expert {expert} finds no slot on the GPUs where it may "
                "stand. Forbid or pin less, or give those GPUs more slots."
            )
        # The last mover goes first, so that each finds the slot that the next one left.
        for gpu_idx, mover, target in reversed(chain):
            self.held[gpu_idx].remove(mover)
            self.held[target].append(mover)
        first, last = chain[0][0], chain[-1][2]
        self.room[last] -= 1
        self.room[first] += 1
        self._put(expert, first)

    def _way_to_room(self, expert: int) -> list[tuple[int, int, int]] | None:
        """Moves (GPU, expert, to GPU) that free a slot for the expert, by breadth-first search."""
        came: dict[int, tuple[int, int] | None] = {
            g: None
            for g in range(len(self.room))
            if self._may_begin(g, expert) and self.problem.open_slots[g]
        }
        queue = deque(came)
        while queue:
            gpu_idx = queue.popleft()
            if self.room[gpu_idx] > 0:
                return _path(came, gpu_idx)
            for mover in dict.fromkeys(self.held[gpu_idx]):
                if self.pinned[mover, gpu_idx]:
                    continue
                for target in range(len(self.room)):
                    if (
                        target not in came
                        and self.problem.open_slots[target]
                        and self._may_move(mover, gpu_idx, target)
                    ):
                        came[target] = (gpu_idx, mover)
                        queue.append(target)
        return None

    def _filled(self, gpu_idx: int, expert: int) -> float:
        held = sum(self.load[e] / self.count[e] for e in self.held[gpu_idx])
        share = self.load[expert] / (self.count[expert] + 1)
        return float((held + share) / self.speed[gpu_idx])

    def _fill_one(self) -> None:
        """The largest replica that has a GPU with room, to the one that it loads least."""
        for expert in sorted(
            range(len(self.load)), key=lambda e: (-self.load[e] / self.count[e], self.count[e], e)
        ):
            fitting = [
                g for g in range(len(self.room)) if self.room[g] and self._may_take(g, expert)
            ]
            if fitting:
                self._put(expert, min(fitting, key=lambda g: (self._filled(g, expert), g)))
                return
        gpu_idx = next(g for g, room in enumerate(self.room) if room)
        raise ProblemError(
            f"layer {self.layer_idx}: no expert may stand in the last {self.room[gpu_idx]} slots "
            f"of GPU {gpu_idx}. Forbid less, allow co-location, or give it fewer gpu_slots."
        )


def _path(came: dict[int, tuple[int, int] | None], gpu_idx: int) -> list[tuple[int, int, int]]:
    chain: list[tuple[int, int, int]] = []
    while (step := came[gpu_idx]) is not None:
        source, mover = step
        chain.append((source, mover, gpu_idx))
        gpu_idx = source
    return chain[::-1]
