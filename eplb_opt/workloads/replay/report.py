"""The result of a replay: one row for each policy, and the figures made of it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from eplb_opt.placement.move_cost import MoveCost


@dataclass(frozen=True)
class Net:
    """Seconds that a policy saved and cost, against a plan that is never changed.

    That plan is the drop-ins' first one, and the recording's steps all count the same.

    Parameters
    ----------
    saved
        By levelling the loads; below 0 where they were more level under the plan that stays.
    moving, planning
        Lost to moving experts and to making plans, the first plan aside. An engine that plans in
        the background loses less.
    """

    saved: float
    moving: float
    planning: float

    @classmethod
    def of(cls, run: PolicyRun, never: np.ndarray, every: int, cost: MoveCost) -> Net:
        """The seconds of a run.

        Parameters
        ----------
        run
            The policy over the recording.
        never
            float64 [num_scored_steps], balancedness under the plan that is never changed.
        every
            Steps of the recording between two re-plans, which stand for `cost.steps_until_next`.
        cost
            What moving costs, and what a step takes under the plan that is never changed.
        """
        # A layer takes as long as its fullest GPU, and that is the mean over the balancedness.
        parts = (1 - never / run.held_out)[~np.isnan(run.held_out)]
        return cls(
            saved=math.fsum(parts.tolist()) * cost.moe_seconds / every,
            moving=int(run.busiest.sum()) * cost.move_seconds,
            planning=math.fsum(run.seconds[1:].tolist()),
        )

    @property
    def total(self) -> float:
        """Seconds saved in all; below 0 where never re-planning is better."""
        return self.saved - self.moving - self.planning

    def json(self) -> dict[str, float]:
        """As a script wants it."""
        return {"seconds": self.total, **asdict(self)}


@dataclass(frozen=True, eq=False)
class PolicyRun:
    """One policy over a recording.

    Parameters
    ----------
    name
        The policy's name.
    is_heuristic
        Whether it stands for what engines ship.
    held_out
        float64 [num_scored_steps], GPU balancedness of each step under the plan in force, which
        was made before it; not a number for a step without load. See `Placed.balancedness`.
    held_out_slots
        The same on slots.
    seen
        float64 [num_plans], GPU balancedness of each plan on what it was made from.
    moves
        int64 [num_plans], slots over all layers whose expert is new on its GPU; 0 for the first.
    seconds
        float64 [num_plans], seconds that each plan took to make, without waiting for a core.
    problem
        Why there are no figures; "" otherwise.
    dispatch
        How tokens were split; see `Problem`.
    busiest
        int64 [num_plans], summed over the layers the moved slots of the GPU that receives most.
    net
        Seconds that re-planning saved and cost, or None without a move cost.
    """

    name: str
    is_heuristic: bool
    held_out: np.ndarray
    held_out_slots: np.ndarray
    seen: np.ndarray
    moves: np.ndarray
    seconds: np.ndarray
    problem: str = ""
    dispatch: str = "uniform"
    busiest: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    net: Net | None = None

    @property
    def mean(self) -> float:
        """Mean over the steps of the held-out balancedness on GPUs."""
        return mean_of(self.held_out)

    def json(self, expert_bytes: int | None) -> dict[str, Any]:
        """As a script wants it."""
        moves = int(self.moves.sum())
        return {
            "name": self.name,
            "is_heuristic": self.is_heuristic,
            "dispatch": self.dispatch,
            "held_out": self.mean,
            "held_out_worst": lowest(self.held_out),
            "held_out_slots": mean_of(self.held_out_slots),
            "seen": mean_of(self.seen),
            "num_plans": len(self.moves),
            "moves": moves,
            "bytes": None if expert_bytes is None else moves * expert_bytes,
            "seconds": float(self.seconds.sum()),
            "net": None if self.net is None else self.net.json(),
            "problem": self.problem,
            "steps": {"held_out": self.held_out, "held_out_slots": self.held_out_slots},
            "plans": {"seen": self.seen, "moves": self.moves, "seconds": self.seconds},
        }


@dataclass(frozen=True, eq=False)
class ReplayReport:
    """All policies over a recording.

    Parameters
    ----------
    runs
        One run for each policy, in the order in which they were asked for.
    every
        Steps between two re-plans.
    num_steps
        Steps of the recording; the first `every` of them are only planned from.
    num_layers, num_slots, num_gpus
        MoE layers of the model; slots of a layer, and GPUs, of the machine.
    expert_bytes
        Weights of one expert in one layer; None where not given.
    move_cost
        What the nets were made with; None where not given.
    """

    runs: tuple[PolicyRun, ...]
    every: int
    num_steps: int
    num_layers: int
    num_slots: int
    num_gpus: int
    expert_bytes: int | None = None
    move_cost: MoveCost | None = None

    @property
    def dispatch(self) -> str:
        """The dispatch of all rows; "" where they differ, and say so in their names."""
        found = {run.dispatch for run in self.runs}
        return found.pop() if len(found) == 1 else ""

    def ranked(self) -> list[PolicyRun]:
        """The runs from the best held-out mean to the worst, failures last."""
        return sorted(self.runs, key=lambda run: (bool(run.problem), -np.nan_to_num(run.mean)))

    @property
    def losing(self) -> list[PolicyRun]:
        """The runs whose re-planning lost time, the most first."""
        replanned = [run for run in self.runs if len(run.moves) > 1]
        lost = [(run.net.total, run) for run in replanned if run.net and run.net.total < 0]
        return [run for _, run in sorted(lost, key=lambda pair: pair[0])]

    def json(self) -> dict[str, Any]:
        """As a script wants it."""
        return {
            "every": self.every,
            "num_steps": self.num_steps,
            "first_scored_step": self.every,
            "num_slots": self.num_slots,
            "num_gpus": self.num_gpus,
            "expert_bytes": self.expert_bytes,
            "move_cost": None if self.move_cost is None else asdict(self.move_cost),
            "policies": [run.json(self.expert_bytes) for run in self.ranked()],
        }


def block_means(values: np.ndarray, size: int) -> np.ndarray:
    """Means over consecutive blocks of steps, those without a value left out, [num_blocks]."""
    return np.array([mean_of(values[at : at + size]) for at in range(0, len(values), size)])


def lowest(values: np.ndarray) -> float:
    """The least of those values that are numbers; not a number where none is."""
    there = values[~np.isnan(values)]
    return float(there.min()) if len(there) else float("nan")


def mean_of(values: np.ndarray) -> float:
    """The mean of those values that are numbers; not a number where none is."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")
