"""The textfile from which Prometheus' node exporter reads how a watch is doing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from eplb_opt.errors import import_optional

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eplb_opt.workloads.watch.state import Figures, State

#: Of every metric's name.
PREFIX = "eplb_opt_"


def import_prometheus() -> Any:
    """The package that writes the textfile, or which extra brings it.

    Raises
    ------
    MissingDependency
        When it is not installed.
    """
    return import_optional("prometheus_client", "watch")


def write_metrics(path: Path, state: State, at: float, *, expert_bytes: int | None = None) -> None:
    """Write the textfile whole or not at all.

    Parameters
    ----------
    path
        The file; the exporter reads names that end in .prom.
    state
        The state after the round.
    at
        When the round began, in seconds since 1970.
    expert_bytes
        Bytes of the weights of one expert in one layer; None tells no bytes.

    Raises
    ------
    MissingDependency
        Without prometheus-client.
    OSError
        When the system refuses.
    """
    prometheus = import_prometheus()
    registry = prometheus.CollectorRegistry()
    registry.register(_Collector(prometheus, state, at, expert_bytes))
    prometheus.write_to_textfile(os.fspath(path), registry)


class _Collector:
    """The samples of one moment, as the package asks for them."""

    def __init__(self, prometheus: Any, state: State, at: float, expert_bytes: int | None) -> None:
        self._families = prometheus.metrics_core
        self._state, self._at, self._expert_bytes = state, at, expert_bytes

    def collect(self) -> Iterator[Any]:
        """The metrics; what is not known has no sample."""
        state = self._state
        counted = self._families.CounterMetricFamily(
            f"{PREFIX}rounds", "Rounds by how they ended.", labels=["outcome"]
        )
        for outcome, count in sorted(state.rounds.items()):
            counted.add_metric([outcome], count)
        yield counted
        failed = state.rounds.get("failed", 0)
        yield self._families.CounterMetricFamily(
            f"{PREFIX}failures", "Rounds that could not read or write something.", value=failed
        )
        yield self._gauge("last_round_timestamp_seconds", "When the last round began.", self._at)
        if state.planned_at is not None:
            written, age = state.planned_at, self._at - state.planned_at
            yield self._gauge("plan_timestamp_seconds", "When the map was written.", written)
            yield self._gauge("plan_age_seconds", "Age of the map at the last round.", age)
        if state.figures is not None:
            yield from self._of_plan(state.figures)

    def _of_plan(self, figures: Figures) -> Iterator[Any]:
        balance = self._families.GaugeMetricFamily(
            f"{PREFIX}balancedness",
            "Mean over largest GPU load on the newest recordings planned for.",
            labels=["map", "layers"],
        )
        for name, whole, worst in (
            ("in_force", figures.in_force, figures.in_force_worst),
            ("before", figures.before, figures.before_worst),
            ("planned", figures.planned, figures.planned_worst),
        ):
            if whole is not None and worst is not None:
                balance.add_metric([name, "all"], whole)
                balance.add_metric([name, "worst"], worst)
        yield balance
        words = "Largest GPU loads of the plan over the proven bound, less 1."
        yield self._gauge("plan_gap_ratio", words, figures.gap)
        if figures.moves is not None:
            yield self._gauge("plan_moves", "Experts that the plan moves.", figures.moves)
            if self._expert_bytes is not None:
                moved = figures.moves * self._expert_bytes
                yield self._gauge("plan_moves_bytes", "Bytes of weights that it moves.", moved)

    def _gauge(self, name: str, words: str, value: float) -> Any:
        return self._families.GaugeMetricFamily(f"{PREFIX}{name}", words, value=value)
