"""The walk through time: score a step under the plan in force, then let it become the past."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import MAX_BYTES, as_int
from eplb_opt.problem.units import MAX_LAYER_TOTAL
from eplb_opt.workloads.replay.policies import Policy, ReplanLimits, near
from eplb_opt.workloads.replay.report import Net, PolicyRun, ReplayReport
from eplb_opt.workloads.replay.run import Run
from eplb_opt.workloads.replay.scores import Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event

    from eplb_opt.io import Trace
    from eplb_opt.placement.move_cost import MoveCost
    from eplb_opt.problem.machine import Machine

    # Policy's name, the step from which the plan is in force, [num_layers, num_slots] ids.
    OnPlan = Callable[[str, int, np.ndarray], None]

#: Windows of the past that policies may look at.
MEMORY = 32


def replay(
    trace: Trace,
    machine: Machine,
    policies: Mapping[str, Policy],
    *,
    every: int,
    memory: int = MEMORY,
    limits: ReplanLimits | None = None,
    expert_bytes: int | None = None,
    on_plan: OnPlan | None = None,
    stop: Event | None = None,
) -> ReplayReport:
    """Walk through a recording, re-planning every `every` steps from the past alone.

    The first `every` steps are planned from and not scored. Of a long recording only a chunk and
    the last windows' sums are in memory.

    Parameters
    ----------
    trace
        The recording.
    machine
        Slots and topology.
    policies
        Name -> policy; one that fails has its reason in the report, and the others go on.
    every
        Steps between two re-plans, and the length of a window.
    memory
        Windows that policies may look back on.
    limits
        What each re-plan may cost; a second by default. With a move cost every policy's net is in
        the report.
    expert_bytes
        Weights of one expert in one layer, to tell what moves cost.
    on_plan
        Called with every plan: policy, first step that it serves, ids.
    stop
        A `threading.Event`. Once it is set, no policy plans again, and the report is of the steps
        until then: of none where no window had been planned for.

    Raises
    ------
    ProblemError
        When there are not more steps than `every`, or the loads do not fit the machine.
    FormatError
        When the recording is damaged.
    """
    every = as_int(every, "every")
    if expert_bytes is not None:
        as_int(expert_bytes, "expert_bytes", most=MAX_BYTES)
    if trace.num_steps <= every:
        raise ProblemError(
            f"The recording has {trace.num_steps} steps, --every is {every}: nothing follows the "
            "first window. Re-plan more often or record for longer."
        )
    limits = limits or ReplanLimits()
    runs = [
        Run(name, policy, _machine(machine, policy), limits) for name, policy in policies.items()
    ]
    never = _never_replanned(runs, limits)
    past, done = _Past(as_int(memory, "memory"), trace.shape[1:]), 0
    for chunk in trace.chunks(every):
        steps = Steps.of(chunk)
        for run in (*runs, *never.values()):
            run.score(steps)
        past.add(chunk, float(steps.totals.sum()))
        done += len(chunk)
        # Here every plan that was made has steps that it is scored on.
        if stop is not None and stop.is_set():
            break
        if done % every == 0 and done < trace.num_steps:
            windows = past.closed()
            _replan(runs, windows, done, on_plan)
            for run in never.values():
                run.replan(windows)
    cost = limits.move_cost
    finished = [run.finished() for run in runs]
    if cost is not None:
        finished = [_with_net(run, never[run.dispatch], every, cost) for run in finished]
        expert_bytes = cost.expert_bytes if expert_bytes is None else expert_bytes
    return ReplayReport(
        tuple(finished),
        every,
        done,
        trace.shape[1],
        machine.num_slots,
        machine.num_gpus,
        expert_bytes,
        cost,
    )


def _never_replanned(runs: list[Run], limits: ReplanLimits) -> dict[str, Run]:
    """What nets are measured against, by dispatch: the drop-ins' first plan, which stays."""
    if limits.move_cost is None:
        return {}
    machines = {run.machine.dispatch: run.machine for run in runs}
    policy = Policy(planner=near, once=True)
    return {name: Run("", policy, machine, limits) for name, machine in machines.items()}


def _with_net(run: PolicyRun, never: Run, every: int, cost: MoveCost) -> PolicyRun:
    held_out = never.finished().held_out
    if run.problem or len(held_out) != len(run.held_out):
        return run
    return replace(run, net=Net.of(run, held_out, every, cost))


def _machine(machine: Machine, policy: Policy) -> Machine:
    return machine if policy.dispatch is None else replace(machine, dispatch=policy.dispatch)


def _replan(runs: list[Run], past: np.ndarray, done: int, on_plan: OnPlan | None) -> None:
    others = [run for run in runs if not (run.policy.is_heuristic or run.policy.follows)]
    # Who follows needs the others' plans first.
    for run in sorted(runs, key=lambda run: run.policy.follows):
        alike = [other for other in others if other.machine == run.machine]
        is_new = run.follow(alike) if run.policy.follows else run.replan(past)
        if is_new and on_plan is not None and run.placed is not None:
            on_plan(run.name, done, run.placed.physical_to_logical)


class _Past:
    """Sums of the last windows, and of the one that is not full yet."""

    def __init__(self, memory: int, shape: tuple[int, ...]) -> None:
        self.windows: deque[np.ndarray] = deque(maxlen=memory)
        self.memory, self.shape = memory, shape
        self._begin()

    def _begin(self) -> None:
        self.window, self.tokens = np.zeros(self.shape, dtype=np.int64), 0.0

    def add(self, chunk: np.ndarray, tokens: float) -> None:
        """Add steps, and their rough sum, to the window."""
        self.tokens += tokens
        if chunk.dtype.kind == "i" and self.tokens * self.memory >= MAX_LAYER_TOTAL:
            raise ProblemError(
                f"A window's loads add up to about {self.tokens:.3g} and --memory is {self.memory}:"
                " together beyond 2**62. Divide the loads by a constant or re-plan more often."
            )
        self.window = self.window + chunk.sum(axis=0)

    def closed(self) -> np.ndarray:
        """End the window; all that are remembered, [num, num_layers, num_experts]."""
        self.windows.append(self.window)
        self._begin()
        past = np.stack(self.windows)
        past.flags.writeable = False  # one policy must not change what the next one sees
        return past
