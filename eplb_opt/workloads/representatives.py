"""A long recording as the few loads that one plan is to serve.

Every function takes steps in time order, [num_steps, num_layers, num_experts], and knows nothing
of what comes after them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_int, as_numpy
from eplb_opt.workloads.k_means import k_means

#: Longer recordings are summed into this number of windows before they are clustered.
MAX_CLUSTERED = 256
#: Later steps are as noisy as the windows, and a plan should withstand that: of three recordings
#: in windows of 512 tokens, drawing all the way cost up to 0.5 % of held-out balancedness, and up
#: to a quarter changed 16 windows by less than 0.2 %, a search's own noise. Four clusters gained.
MOST_SHRINKAGE = 0.25


@dataclass(frozen=True, eq=False)
class Scenarios:
    """Loads that one plan is to serve.

    Parameters
    ----------
    load
        [num_scenarios, num_layers, num_experts], tokens.
    weights
        float64 [num_scenarios], see `Problem.scenario_weights`.
    """

    load: np.ndarray
    weights: np.ndarray

    @property
    def num_scenarios(self) -> int:
        """Loads that one plan is to serve."""
        return len(self.load)


def windows(trace: Any, num: int) -> Scenarios:
    """Consecutive windows of (almost) the same length, each summed, all of the same weight.

    Parameters
    ----------
    trace
        [num_steps, num_layers, num_experts].
    num
        The number of windows; fewer where there are fewer steps.
    """
    steps = _steps(trace)
    return _evenly(_summed(steps, _boundaries(len(steps), as_int(num, "num"))))


def last(trace: Any) -> Scenarios:
    """The last step alone."""
    return recent(trace, 1)


def recent(trace: Any, num: int, half_life: float | None = None) -> Scenarios:
    """The last steps, one scenario each.

    Parameters
    ----------
    trace
        [num_steps, num_layers, num_experts].
    num
        The number of steps; fewer where there are fewer.
    half_life
        The age, in steps, at which a step's weight is half; by default all weigh the same.
    """
    steps = _steps(trace)[-as_int(num, "num") :]
    even = _evenly(steps)
    return even if half_life is None else Scenarios(steps, _ageing(len(steps), half_life))


def total(trace: Any) -> Scenarios:
    """The sum of all steps."""
    return windows(trace, 1)


def exponential(trace: Any, half_life: float) -> Scenarios:
    """One load: the sum of the steps, a step of age `half_life` counting half of the last one.

    Parameters
    ----------
    trace
        [num_steps, num_layers, num_experts].
    half_life
        The age, in steps, at which a step counts half; above 0.

    Raises
    ------
    ProblemError
        For another half-life.
    """
    steps = _steps(trace)
    return _evenly(np.tensordot(_ageing(len(steps), half_life), steps, axes=1)[None])


def clusters(trace: Any, num: int) -> Scenarios:
    """The workloads that alternate in a recording: steps that look alike are summed.

    k-means on the square roots of each layer's shares, where the noise of counting has the same
    size for hot and cold experts. It starts from the step closest to the mean and then, each
    time, the one farthest from all chosen, so the same recording gives the same answer.

    Parameters
    ----------
    trace
        [num_steps, num_layers, num_experts].
    num
        The number of clusters; fewer where fewer differ.

    Returns
    -------
    One scenario a cluster, in the order of their first steps, weighted by their steps.
    """
    steps = _steps(trace)
    bounds = _boundaries(len(steps), MAX_CLUSTERED)
    frames, sizes = _summed(steps, bounds), np.diff(bounds)
    label = k_means(np.sqrt(_shares(frames)).reshape(len(frames), -1), as_int(num, "num"))
    kept = list(dict.fromkeys(label.tolist()))
    load = np.array([frames[label == k].sum(axis=0) for k in kept])
    return Scenarios(load, np.array([float(sizes[label == k].sum()) for k in kept]))


def shrunk(scenarios: Scenarios, factor: float | None = None, *, most: float = 1.0) -> Scenarios:
    """Scenarios drawn to their mean, as far as they differ by the noise of counting alone.

    A window of N assignments shows shares p with a sampling variance of (1 - sum p^2) / N, summed
    over the experts; what the windows differ by beyond that is real. Each layer of each scenario
    keeps the share real / (real + sampling) of its distance from the mean: the empirical Bayes
    estimate of James and Stein [1]_. Long windows stay what they are. `most` limits it, for a
    plan has to withstand the noise of the steps to come as well.

    Parameters
    ----------
    scenarios
        Counts of assignments: in another unit the noise is not known, so give a factor.
    factor
        The same for all instead: 0 changes nothing, 1 leaves the mean alone.
    most
        No layer is drawn further than this part of the way.

    Raises
    ------
    ProblemError
        For a factor or a limit outside of 0 to 1.

    References
    ----------
    .. [1] B. Efron and C. Morris, "Stein's estimation rule and its competitors - an empirical
       Bayes approach", JASA 68, 1973.
    """
    for name, value in (("factor", factor), ("most", most)):
        if value is not None and not 0 <= value <= 1:
            raise ProblemError(f"{name}={value} must be from 0 to 1.")
    tokens = scenarios.load.sum(axis=-1, keepdims=True).astype(np.float64)
    shares = _shares(scenarios.load)
    weights = scenarios.weights[:, None, None] * (tokens > 0)
    mean = (weights * shares).sum(axis=0) / np.maximum(weights.sum(axis=0), np.finfo(float).tiny)
    pull = np.minimum(shrinkage(scenarios), most)[..., None] if factor is None else factor
    return Scenarios(((1 - pull) * shares + pull * mean) * tokens, scenarios.weights)


def shrinkage(scenarios: Scenarios) -> np.ndarray:
    """How far `shrunk` draws each layer of each scenario to the mean, [num_scenarios, num_layers].

    0 keeps it, 1 replaces it; one scenario alone is kept.
    """
    shares, tokens = _shares(scenarios.load), scenarios.load.sum(axis=-1).astype(np.float64)
    there = tokens > 0
    num = there.sum(axis=0)
    mean = shares.sum(axis=0) / np.maximum(num, 1)[:, None]
    spread = (((shares - mean) ** 2).sum(axis=-1) * there).sum(axis=0) / np.maximum(num - 1, 1)
    # The pooled shares say what the noise is: a window of few counts would call itself certain.
    sampling = (1 - (mean**2).sum(axis=-1)) / np.maximum(tokens, 1)
    real = np.maximum(spread - (sampling * there).sum(axis=0) / np.maximum(num, 1), 0)
    pull = sampling / np.maximum(sampling + real, np.finfo(float).tiny)
    return np.asarray(np.where(there & (num > 1), pull, 0.0))


def mildly(scenarios: Scenarios) -> Scenarios:
    """`shrunk`, a quarter of the way at most."""
    return shrunk(scenarios, most=MOST_SHRINKAGE)


Method = Callable[[Any], Scenarios]


def _steps(trace: Any) -> np.ndarray:
    steps = as_numpy(trace, "trace")
    if steps.ndim != 3 or 0 in steps.shape:
        raise ProblemError(
            f"trace has shape {list(steps.shape)}; it must be "
            "[num_steps, num_layers, num_experts], at least one of each."
        )
    return steps


def _evenly(load: np.ndarray) -> Scenarios:
    return Scenarios(load, np.ones(len(load)))


def _ageing(num: int, half_life: float) -> np.ndarray:
    """Weights of steps, the last of weight 1, float64 [num]."""
    if not 0 < half_life < np.inf:
        raise ProblemError(f"half_life={half_life} must be above 0 and finite.")
    return np.asarray(np.exp2(-np.arange(num)[::-1] / half_life))


def _boundaries(num_steps: int, num: int) -> np.ndarray:
    """First steps of the windows and the end, int64 [num + 1]."""
    return np.linspace(0, num_steps, min(num, num_steps) + 1).astype(np.int64)


def _summed(steps: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    return np.asarray(np.add.reduceat(steps, bounds[:-1], axis=0))


def _shares(load: np.ndarray) -> np.ndarray:
    """Each layer's loads over their sum; zeros where there is no load."""
    sums = load.sum(axis=-1, keepdims=True).astype(np.float64)
    return np.asarray(load / np.where(sums > 0, sums, 1))


#: Name -> scenarios of a recording; which one serves is for `choose` to find out on later steps.
METHODS: dict[str, Method] = {
    "last": last,
    "total": total,
    "exponential-1": lambda trace: exponential(trace, 1),
    "exponential-4": lambda trace: exponential(trace, 4),
    "recent-8": lambda trace: recent(trace, 8),
    "recent-16": lambda trace: recent(trace, 16),
    "recent-16-shrunk": lambda trace: mildly(recent(trace, 16)),
    "ageing-16": lambda trace: recent(trace, 16, 4),
    "ageing-16-shrunk": lambda trace: mildly(recent(trace, 16, 4)),
    "windows-8": lambda trace: windows(trace, 8),
    "windows-8-shrunk": lambda trace: mildly(windows(trace, 8)),
    "clusters-4": lambda trace: clusters(trace, 4),
    "clusters-4-shrunk": lambda trace: mildly(clusters(trace, 4)),
}
