"""What a watch is asked to do."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.io.write import WRITERS, write_plan
from eplb_opt.placement.plan import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from eplb_opt.problem.machine import Machine
    from eplb_opt.workloads.watch.sources import Sources

#: As of the drop-ins: few experts move, and the plan is within 0.3 % of the best one found.
MOVE_TOLERANCE = 0.003
#: Settings that do not change what is planned.
ASIDE = ("output", "current", "metrics", "expert_bytes")


@dataclass(frozen=True)
class Settings:
    """Where the recordings come from, how they are planned for, and where the map goes.

    Parameters
    ----------
    sources
        The recordings.
    machine
        Slots, GPUs, nodes and rules.
    output
        The map's file, which is taken for the map in force from the second round on.
    engine
        The format to write it in, a name of `WRITERS`.
    current
        The map in force while there is no `output` yet; None for none, and a plan made anew.
    move_tolerance
        How far above the best plan found a layer may be so that fewer experts move; see `plan`.
    min_gain
        The map in force stays where the largest GPU loads, summed over the layers, would fall by a
        smaller share.
    time_limit
        Seconds for a plan.
    effort
        Counted work instead of time; None for a time limit.
    workers
        Layers worked on at a time; None for as many as there are cores.
    with_scenarios
        Whether the plan serves every snapshot, instead of their sum.
    load_format
        The recordings' format; None where their content tells.
    expert_bytes
        Bytes of the weights of one expert in one layer; None where moves are not told in bytes.
    metrics
        The textfile for Prometheus; None for none.

    Raises
    ------
    ProblemError
        When a number is out of its range.
    """

    sources: Sources
    machine: Machine
    output: Path
    engine: str = "npz"
    current: Path | None = None
    move_tolerance: float = MOVE_TOLERANCE
    min_gain: float = 0.0
    time_limit: float = 10.0
    effort: int | None = None
    workers: int | None = None
    with_scenarios: bool = False
    load_format: str | None = None
    expert_bytes: int | None = None
    metrics: Path | None = None

    def __post_init__(self) -> None:
        for name in ("move_tolerance", "min_gain", "time_limit"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ProblemError(f"{name}={value} must be finite and at least 0.")
        if self.expert_bytes is not None and self.expert_bytes < 0:
            raise ProblemError(f"expert_bytes={self.expert_bytes} must be at least 0.")

    @property
    def state_file(self) -> Path:
        """What is remembered from round to round, beside the map."""
        return self.output.with_name(f"{self.output.name}.watch.json")

    @property
    def plan_format(self) -> str | None:
        """The format to read the map with, where the file's name does not tell it."""
        suffix = self.output.suffix.lower()
        return None if suffix in WRITERS[self.engine].packings else self.engine

    @property
    def fingerprint(self) -> str:
        """Changes when another plan may come out for the same recordings."""
        told = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if field.name not in ASIDE
        ]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def rehearse(self) -> None:
        """Raise what would be raised at the end whatever the plan: a package that is missing, say.

        Raises
        ------
        FormatError
            When the map or the state cannot be written, or would be taken for recordings.
        MissingDependency
            When the format needs a package.
        """
        for written in (self.output, self.state_file, self.metrics):
            if written is not None:
                self.sources.check_apart(written)
        slots = np.arange(self.machine.num_slots)[None]
        plan = Plan(slots, self.machine.num_gpus, self.machine.num_slots)
        write_plan(self.output, plan, engine=self.engine, dry_run=True)
