"""Replays of loads that drift and of recordings: ours as drop-ins beside what engines ship."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench.rival_policies import rival_policies
from eplb_opt.errors import ProblemError
from eplb_opt.io import Trace
from eplb_opt.placement.move_cost import MoveCost
from eplb_opt.workloads.replay import POLICIES, ReplanLimits, heuristic, replay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from eplb_opt.io.files import PathLike
    from eplb_opt.problem.machine import Machine
    from eplb_opt.workloads.replay import Policy, ReplayReport

#: Standard deviations of the logarithm of what every expert's load is multiplied by in a window.
DRIFTS = (0.05, 0.1, 0.2)
#: Windows of loads that drift, and of a recording with more steps.
WINDOWS = 16
#: An expert of DeepSeek-V3 in 8 bits, three matrices of 7168 x 2048, over a link of 50 GB/s, steps
#: of 50 ms of which half is the experts', and 3000 steps between two rebalances.
COST = MoveCost(3 * 7168 * 2048, 5e10, 0.05, 0.5, 3000)
#: Our drop-ins as they come, and where they are told what moving costs.
OURS = ("near", "worth")
#: What vLLM and SGLang ship, in our own code.
STAND_IN = "deepseek"


@dataclass(frozen=True, eq=False)
class Series:
    """Loads over time.

    Parameters
    ----------
    name
        For the table.
    trace
        The loads.
    every
        Steps of a window.
    """

    name: str
    trace: Trace
    every: int

    @classmethod
    def of(cls, name: str, trace: Trace, num_windows: int = WINDOWS) -> Series:
        """A recording in that many windows, or one for each of its steps where it has fewer."""
        return cls(name, trace, max(trace.num_steps // num_windows, 1))


def drifting(
    name: str, load: np.ndarray, sizes: Iterable[float], num_windows: int = WINDOWS, seed: int = 0
) -> Iterator[Series]:
    """Loads that drift: from window to window every expert's is multiplied by a lognormal factor.

    Parameters
    ----------
    name
        Of the loads.
    load
        int64 [num_layers, num_experts], the first window.
    sizes
        Standard deviations of the factors' logarithms; a series for each.
    num_windows
        Windows of a series.
    seed
        Of the factors.
    """
    total = load.sum(axis=1, keepdims=True)
    for size in sizes:
        rng, now, windows = np.random.default_rng(seed), load.astype(float), []
        for _ in range(num_windows):
            windows.append(np.rint(now).astype(np.int64))
            now = now * rng.lognormal(0, size, load.shape)
            now *= total / now.sum(axis=1, keepdims=True)  # every window has as many tokens
        yield Series(f"{name}, drift {size:.0%}", Trace.of(np.array(windows)), 1)


def joined(traces: Sequence[Trace]) -> Trace:
    """Several recordings of the same model, one after the other, as one.

    Parameters
    ----------
    traces
        Recordings with the same layers and experts.

    Raises
    ------
    ProblemError
        When they are of other shapes.
    """
    shapes = {trace.shape[1:] for trace in traces}
    if len(shapes) > 1:
        raise ProblemError(
            f"The recordings have {' and '.join(map(str, sorted(shapes)))} layers and experts; "
            "only those of one model can be joined."
        )
    return Trace.of(np.concatenate([chunk for trace in traces for chunk in trace.chunks(1)]))


def rivals(engine_files: PathLike | None) -> dict[str, Policy]:
    """What engines ship: their released code where there is any, else our own of the same."""
    if engine_files is None:
        return {STAND_IN: heuristic(STAND_IN)}
    return rival_policies(engine_files)


def replayed(
    series: Series, machine: Machine, cost: MoveCost = COST, engine_files: PathLike | None = None
) -> ReplayReport:
    """Ours and the engines' over one series.

    Parameters
    ----------
    series, machine
        The loads, and what they are planned for.
    cost
        What moving costs.
    engine_files
        Folder with the engines' released files, see `eplb_opt.bench.rivals`; None for our own code.
    """
    policies = {name: POLICIES[name] for name in OURS} | rivals(engine_files)
    limits = ReplanLimits(move_cost=cost)
    return replay(series.trace, machine, policies, every=series.every, limits=limits)
