"""Stages whose solvers are written in a test."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

from eplb_opt.clock import Pace
from eplb_opt.solver import Answer, Task


@dataclass(frozen=True)
class MadeStage:
    """Looks to the portfolio like `planner.schedule.Stage`; every layer has the same solver."""

    name: str
    solve: Callable[[Task], Answer]
    pace: Pace = field(default_factory=Pace)
    all_at_first: bool = False
    package: str | None = None

    @property
    def solver(self):
        return self.name

    def make(self, problem, options):
        return SimpleNamespace(solve=self.solve)


def use_stages(monkeypatch, *stages):
    """Let calls have these stages and no others."""
    monkeypatch.setattr("eplb_opt.planner.call.schedule", lambda problem, options: list(stages))
