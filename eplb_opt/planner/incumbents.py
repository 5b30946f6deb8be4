"""The best plan and the best bound of every layer while a call works on them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.bounds import Bound, attainable
from eplb_opt.placement import checker, scoring
from eplb_opt.placement.caller_units import bound_in_caller_units, objective_in_caller_units
from eplb_opt.result import HistoryPoint, ObjectiveBounds, objective_bounds

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem


@dataclass(eq=False)
class Incumbents:
    """Offers come in from heuristics, models and bounds; only what is better stays.

    Every offered plan passes the checker and is scored exactly before it counts, so the
    state is a complete, valid answer at every moment. Offers may come from several threads. A layer
    is worth what it is worth whatever the others hold; see `scoring.layer_objectives`.

    Parameters
    ----------
    problem
        The problem that is planned.
    placed
        int64 [num_layers, num_slots], a first valid plan.
    bounds
        [num_layers], a first bound of each layer.
    started
        The time at which the call began, in seconds of `time.monotonic`; by default now.

    Attributes
    ----------
    scoring_seconds
        Seconds that checking and scoring the first plan took; another one takes as long.
    """

    problem: Problem
    placed: np.ndarray
    bounds: list[Bound]
    started: float = field(default_factory=time.monotonic)
    history: list[HistoryPoint] = field(init=False, default_factory=list)
    certificates: list[Certificate | None] = field(init=False)
    _pairs: list[ObjectiveBounds] = field(init=False, repr=False)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        began = time.monotonic()
        checker.check(self.problem, self.placed)
        self.placed = self.placed.copy()
        self.certificates = [None] * self.problem.num_layers
        objective = scoring.layer_objectives(self.problem, self.placed)
        self._pairs = list(objective_bounds(objective, self.bounds))
        # Kept beside the exact pairs, for the history is written far more often than they change.
        lower = [bound.value for bound in self.bounds]
        self._objective = objective_in_caller_units(self.problem, objective)
        self._lower = bound_in_caller_units(self.problem, lower)
        self.scoring_seconds = time.monotonic() - began

    def offer_plans(self, placed: np.ndarray) -> list[Fraction]:
        """Take the layers of a whole-model plan that are better than what is there.

        Returns
        -------
        What each of its layers is worth, exactly.

        Raises
        ------
        PlanError
            When the plan breaks a rule; nothing is taken then.
        """
        checker.check(self.problem, placed)
        objective = scoring.layer_objectives(self.problem, placed)
        with self._lock:
            for layer_idx, value in enumerate(objective):
                self._take_plan(layer_idx, placed[layer_idx], value)
        return objective

    def offer_layer(
        self,
        layer_idx: int,
        placed: np.ndarray | None = None,
        bound: Bound | None = None,
        certificate: Certificate | None = None,
        preferred: bool = False,
    ) -> None:
        """Take a plan ([num_slots]), a bound or a certificate of one layer where it is better.

        A preferred plan is taken in any case.

        Raises
        ------
        PlanError
            When the plan breaks a rule.
        ValueError
            When the bound exceeds a known plan's objective, so that it is false.
        """
        if placed is not None:
            layer = self.problem.layer(layer_idx)
            rows = np.asarray(placed, dtype=np.int64)[None, :]
            checker.check(layer, rows)
            value = scoring.layer_objectives(layer, rows)[0]
            with self._lock:
                self._take_plan(layer_idx, rows[0], value, preferred)
        if bound is not None:
            with self._lock:
                self._take_bound(layer_idx, bound)
        if certificate is not None:
            with self._lock:
                known = self.certificates[layer_idx]
                if known is None or certificate.bound > known.bound:
                    self.certificates[layer_idx] = certificate

    def gap(self, layer_idx: int) -> float:
        """Objective over bound, less 1, of one layer."""
        return self._pairs[layer_idx].gap

    def pairs(self) -> tuple[ObjectiveBounds, ...]:
        """Objective and bound of every layer."""
        with self._lock:
            return tuple(self._pairs)

    def pair(self, layer_idx: int) -> ObjectiveBounds:
        """Objective and bound of one layer."""
        return self._pairs[layer_idx]

    @property
    def num_closed(self) -> int:
        """Layers that are proven optimal."""
        return sum(pair.is_closed for pair in self._pairs)

    def state(self, stage: str, start_objective: float | None = None) -> HistoryPoint:
        """The state of the whole model; parameters as of `HistoryPoint`."""
        with self._lock:
            objective, lower = float(self._objective.sum()), float(self._lower.sum())
        seconds = time.monotonic() - self.started
        return HistoryPoint(seconds, stage, objective, lower, start_objective)

    def record(self, stage: str, start_objective: float | None = None) -> HistoryPoint:
        """Note the state of the whole model; parameters as of `HistoryPoint`."""
        point = self.state(stage, start_objective)
        self.history.append(point)
        return point

    def _take_plan(
        self, layer_idx: int, placed: np.ndarray, value: Fraction, preferred: bool = False
    ) -> None:
        known = self._pairs[layer_idx]
        if value >= known.objective and not preferred:
            return
        # Raises where the plan is below the bound, which is false then.
        self._pairs[layer_idx] = ObjectiveBounds(value, known.lower)
        self.placed[layer_idx] = placed
        layer = self.problem.layer(layer_idx)
        self._objective[layer_idx] = objective_in_caller_units(layer, [value])[0]

    def _take_bound(self, layer_idx: int, bound: Bound) -> None:
        known = self._pairs[layer_idx]
        bound = attainable(self.problem, layer_idx, bound)
        pair = ObjectiveBounds(known.objective, bound.value)  # raises where it is false
        if bound.value <= known.lower:
            return
        self._pairs[layer_idx] = pair
        self.bounds[layer_idx] = bound
        layer = self.problem.layer(layer_idx)
        self._lower[layer_idx] = bound_in_caller_units(layer, [bound.value])[0]
