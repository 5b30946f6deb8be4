"""Gaps of plans over load families, machines and time limits, beside the greedy's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.evaluation import evaluate
from eplb_opt.planner import plan
from eplb_opt.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True)
class Machine:
    """Slots and topology to plan for."""

    num_slots: int
    num_gpus: int
    num_nodes: int = 1
    num_groups: int = 1

    @classmethod
    def parse(cls, text: str) -> Machine:
        """From "288x32", slots x GPUs, or "288x32/4/8", with nodes and groups.

        Raises
        ------
        ValueError
            When it is neither.
        """
        slots, _, rest = text.partition("x")
        return cls(int(slots), *map(int, rest.split("/")))

    def __str__(self) -> str:
        nodes = f"/{self.num_nodes}/{self.num_groups}" if self.num_nodes > 1 else ""
        return f"{self.num_slots}x{self.num_gpus}{nodes}"

    def problem(self, load: np.ndarray) -> Problem:
        """Loads on this machine."""
        return Problem(load, self.num_slots, self.num_gpus, self.num_nodes, self.num_groups)


@dataclass(frozen=True)
class PlanRow:
    """One call of `plan`, and the greedy against the same bounds."""

    loads: str
    machine: str
    slots_per_gpu: int
    time_limit: float
    seconds: float
    model_gap: float
    median_gap: float
    worst_gap: float
    proven: int
    layers: int
    greedy_gap: float


def plan_rows(
    loads: Mapping[str, np.ndarray], machines: Sequence[Machine], limits: Sequence[float]
) -> Iterator[PlanRow]:
    """Plan everything with every limit, one after the other.

    Parameters
    ----------
    loads
        Name -> int64 [num_layers, num_experts].
    machines, limits
        To plan for; seconds.
    """
    for machine in machines:
        for name, load in loads.items():
            for limit in limits:
                yield _row(name, machine, machine.problem(load), limit)


def _row(name: str, machine: Machine, problem: Problem, limit: float) -> PlanRow:
    from eplb_opt.search.starts import heuristic_arguments
    from heuristics import greedy_numpy

    result = plan(problem, time_limit=limit)
    greedy = greedy_numpy.rebalance_experts(*heuristic_arguments(problem))[0]
    objective = evaluate(problem, greedy).objective.sum()
    return PlanRow(
        loads=name,
        machine=str(machine),
        slots_per_gpu=problem.slots_per_gpu,
        time_limit=limit,
        seconds=result.elapsed,
        model_gap=result.model_gap,
        median_gap=float(np.median(result.gap)),
        worst_gap=float(result.gap.max()),
        proven=result.status.count("optimal"),
        layers=problem.num_layers,
        greedy_gap=float(objective / result.lower_bound.sum() - 1),
    )
