"""The result of a replay: one row for each policy, and the figures made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


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
        float64 [num_plans], seconds that each plan took to make.
    problem
        Why there are no figures; "" otherwise.
    dispatch
        How tokens were split; see `Problem`.
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
    """

    runs: tuple[PolicyRun, ...]
    every: int
    num_steps: int
    num_layers: int
    num_slots: int
    num_gpus: int
    expert_bytes: int | None = None

    @property
    def dispatch(self) -> str:
        """The dispatch of all rows; "" where they differ, and say so in their names."""
        found = {run.dispatch for run in self.runs}
        return found.pop() if len(found) == 1 else ""

    def ranked(self) -> list[PolicyRun]:
        """The runs from the best held-out mean to the worst, failures last."""
        return sorted(self.runs, key=lambda run: (bool(run.problem), -np.nan_to_num(run.mean)))

    def json(self) -> dict[str, Any]:
        """As a script wants it."""
        return {
            "every": self.every,
            "num_steps": self.num_steps,
            "first_scored_step": self.every,
            "num_slots": self.num_slots,
            "num_gpus": self.num_gpus,
            "expert_bytes": self.expert_bytes,
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
