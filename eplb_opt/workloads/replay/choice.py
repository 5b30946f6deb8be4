"""Which loads to plan for: whatever did best on steps that it had not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.workloads.replay.policies import Policy, ours
from eplb_opt.workloads.replay.report import ReplayReport, block_means, mean_of
from eplb_opt.workloads.replay.walk import MEMORY, replay
from eplb_opt.workloads.representatives import METHODS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eplb_opt.io import Trace
    from eplb_opt.problem.machine import Machine
    from eplb_opt.workloads.replay.policies import Planner, ReplanLimits
    from eplb_opt.workloads.replay.walk import OnPlan
    from eplb_opt.workloads.representatives import Method, Scenarios


@dataclass(frozen=True, eq=False)
class Choice:
    """The method that served best, with every method's held-out figures.

    Parameters
    ----------
    name
        Name of the method that was best on the whole recording.
    method
        That method.
    held_out
        What choosing reaches: the held-out balancedness when each window is planned for by the
        method that was best on the windows before it. The winner's own figure flatters it, for it
        won on the very steps that it is measured on.
    report
        The replay of all methods.
    """

    name: str
    method: Method
    held_out: float
    report: ReplayReport

    def scenarios(self, past: Any) -> Scenarios:
        """What to plan for now, of windows [num_windows, num_layers, num_experts]."""
        return self.method(past)

    def json(self) -> dict[str, Any]:
        """The choice and the figures of all methods, as JSON writes them."""
        return {"name": self.name, "held_out": self.held_out, "methods": self.report.json()}


def choose(
    trace: Trace,
    machine: Machine,
    *,
    every: int,
    methods: Mapping[str, Method] = METHODS,
    memory: int = MEMORY,
    limits: ReplanLimits | None = None,
    planner: Planner = ours,
    on_plan: OnPlan | None = None,
) -> Choice:
    """Replay a recording under every method and take the one best on later steps.

    Parameters
    ----------
    trace, machine, every
        The recording, the machine, and the steps between two re-plans, as for `replay`.
    methods
        Methods by name, at least one.
    memory, limits
        Windows to look back on, and what a re-plan may cost, as for `replay`.
    planner
        The function that makes the plans.
    on_plan
        Called with every plan, as for `replay`.

    Raises
    ------
    ProblemError
        When nothing follows the first window, or the loads do not fit the machine.
    """
    policies = {name: Policy(method, planner) for name, method in methods.items()}
    report = replay(
        trace, machine, policies, every=every, memory=memory, limits=limits, on_plan=on_plan
    )
    means = np.array([block_means(run.held_out, every) for run in report.runs])
    best = report.ranked()[0].name
    return Choice(best, methods[best], followed(means), report)


def followed(means: np.ndarray) -> float:
    """Held-out mean of following the leader, from block means [num_methods, num_blocks].

    On the first block nothing is known: it counts with the mean of all methods.
    """
    known = np.nan_to_num(means)
    leader = np.cumsum(known, axis=1).argmax(axis=0)[:-1]
    led = means[leader, np.arange(1, means.shape[1])]
    return mean_of(np.concatenate([[mean_of(means[:, 0])], led]))
