"""The best plan and the best bound of every layer while a call works on them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt import checker, scoring
from eplb_opt.result import (
    HistoryPoint,
    ObjectiveBounds,
    bound_in_caller_units,
    objective_in_caller_units,
)

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.bounds import Bound
    from eplb_opt.problem import Problem


@dataclass(eq=False)
class Incumbents:
    """Offers come in from heuristics, models and bounds; only what is better stays.

    Every offered plan passes the checker and is scored exactly before it counts, so the
    state is a complete, valid answer at every moment. Offers may come from several threads.

    Parameters
    ----------
    problem
        What is planned.
    placed
        int64 [num_layers, num_slots], a first valid plan.
    bounds
        A first bound a layer.
    """

    problem: Problem
    placed: np.ndarray
    bounds: list[Bound]
    started: float = field(default_factory=time.monotonic)
    objective: list[Fraction] = field(init=False)
    history: list[HistoryPoint] = field(init=False, default_factory=list)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        checker.check(self.problem, self.placed)
        self.placed = self.placed.copy()
        self.objective = self._score(self.placed)
        for layer_idx, bound in enumerate(self.bounds):
            ObjectiveBounds(self.objective[layer_idx], bound.value)

    def offer_plans(self, placed: np.ndarray) -> None:
        """Take the layers of a whole-model plan that are better than what is there.

        Raises
        ------
        PlanError
            When the plan breaks a rule; nothing is taken then.
        """
        checker.check(self.problem, placed)
        objective = self._score(placed)
        with self._lock:
            for layer_idx, value in enumerate(objective):
                self._take(layer_idx, placed[layer_idx], value)

    def offer_layer(
        self, layer_idx: int, placed: np.ndarray | None = None, bound: Bound | None = None
    ) -> None:
        """Take a plan ([num_slots]) or a bound of one layer where it is better.

        Raises
        ------
        PlanError
            When the plan breaks a rule.
        ValueError
            When the bound exceeds a known plan's objective, so that it is false.
        """
        layer = self.problem.layer(layer_idx)
        if placed is not None:
            rows = np.asarray(placed, dtype=np.int64)[None, :]
            checker.check(layer, rows)
            value = scoring.largest_gpu_loads(layer.load, rows, layer.num_gpus)[0]
            with self._lock:
                self._take(layer_idx, rows[0], value)
        if bound is not None:
            with self._lock:
                ObjectiveBounds(self.objective[layer_idx], bound.value)
                if bound.value > self.bounds[layer_idx].value:
                    self.bounds[layer_idx] = bound

    def gap(self, layer_idx: int) -> float:
        """Objective over bound, less 1, of one layer."""
        with self._lock:
            return self._pair(layer_idx).gap

    def pairs(self) -> tuple[ObjectiveBounds, ...]:
        """Objective and bound of every layer."""
        with self._lock:
            return tuple(self._pair(i) for i in range(self.problem.num_layers))

    def record(self, stage: str) -> HistoryPoint:
        """Note the state of the whole model."""
        with self._lock:
            objective = objective_in_caller_units(self.problem, self.objective).sum()
            lower = bound_in_caller_units(self.problem, [b.value for b in self.bounds]).sum()
        point = HistoryPoint(time.monotonic() - self.started, stage, float(objective), float(lower))
        self.history.append(point)
        return point

    def _score(self, placed: np.ndarray) -> list[Fraction]:
        return scoring.largest_gpu_loads(self.problem.load, placed, self.problem.num_gpus)

    def _pair(self, layer_idx: int) -> ObjectiveBounds:
        return ObjectiveBounds(self.objective[layer_idx], self.bounds[layer_idx].value)

    def _take(self, layer_idx: int, placed: np.ndarray, value: Fraction) -> None:
        if value < self.bounds[layer_idx].value:
            ObjectiveBounds(value, self.bounds[layer_idx].value)  # raises: the bound is false
        if value < self.objective[layer_idx]:
            self.objective[layer_idx] = value
            self.placed[layer_idx] = placed
