"""A long recording as the few loads that one plan is to serve.

Every function takes steps in time order, [num_steps, num_layers, num_experts], and knows nothing
of what comes after them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eplb_opt.arrays import as_int, as_numpy
from eplb_opt.errors import ProblemError

#: Longer recordings are summed into so many windows before they are clustered.
MAX_CLUSTERED = 256
#: Rounds of k-means; it settles in some ten.
MAX_ROUNDS = 50


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
        return len(self.load)


def windows(trace: Any, num: int) -> Scenarios:
    """Consecutive windows of (almost) the same length, each summed, all of the same weight.

    Parameters
    ----------
    trace
        [num_steps, num_layers, num_experts].
    num
        Windows; fewer where there are fewer steps.
    """
    steps = _steps(trace)
    return _evenly(_summed(steps, _boundaries(len(steps), as_int(num, "num"))))


def last(trace: Any, num: int = 1) -> Scenarios:
    """The last steps, one scenario each, all of the same weight."""
    return _evenly(_steps(trace)[-as_int(num, "num") :])


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
        In steps, above 0.

    Raises
    ------
    ProblemError
        For another half-life.
    """
    steps = _steps(trace)
    if not 0 < half_life < np.inf:
        raise ProblemError(f"half_life={half_life} must be above 0 and finite.")
    weights = np.exp2(-np.arange(len(steps))[::-1] / half_life)
    return _evenly(np.tensordot(weights, steps, axes=1)[None])


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
        Clusters; fewer where fewer differ.

    Returns
    -------
    One scenario a cluster, in the order of their first steps, weighted by their steps.
    """
    steps = _steps(trace)
    bounds = _boundaries(len(steps), MAX_CLUSTERED)
    frames, sizes = _summed(steps, bounds), np.diff(bounds)
    label = _k_means(np.sqrt(_shares(frames)).reshape(len(frames), -1), as_int(num, "num"))
    kept = list(dict.fromkeys(label.tolist()))
    load = np.array([frames[label == k].sum(axis=0) for k in kept])
    return Scenarios(load, np.array([float(sizes[label == k].sum()) for k in kept]))


def shrunk(scenarios: Scenarios, factor: float | None = None) -> Scenarios:
    """Scenarios drawn to their mean, as far as they differ by the noise of counting alone.

    A window of N assignments shows shares p with a sampling variance of (1 - sum p^2) / N, summed
    over the experts; what the windows differ by beyond that is real. Each layer of each scenario
    keeps the share real / (real + sampling) of its distance from the mean: the empirical Bayes
    estimate of James and Stein [1]_. Long windows stay what they are.

    Parameters
    ----------
    scenarios
        Counts of assignments: in another unit the noise is not known, so give a factor.
    factor
        The same for all instead: 0 changes nothing, 1 leaves the mean alone.

    Raises
    ------
    ProblemError
        For a factor outside of 0 to 1.

    References
    ----------
    .. [1] B. Efron and C. Morris, "Stein's estimation rule and its competitors - an empirical
       Bayes approach", JASA 68, 1973.
    """
    if factor is not None and not 0 <= factor <= 1:
        raise ProblemError(f"factor={factor} must be from 0 to 1.")
    tokens = scenarios.load.sum(axis=-1, keepdims=True).astype(np.float64)
    shares = _shares(scenarios.load)
    weights = scenarios.weights[:, None, None] * (tokens > 0)
    mean = (weights * shares).sum(axis=0) / np.maximum(weights.sum(axis=0), np.finfo(float).tiny)
    pull = shrinkage(scenarios)[..., None] if factor is None else factor
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


def shrunk_windows(trace: Any, num: int) -> Scenarios:
    """`windows`, `shrunk`."""
    return shrunk(windows(trace, num))


def shrunk_clusters(trace: Any, num: int) -> Scenarios:
    """`clusters`, `shrunk`."""
    return shrunk(clusters(trace, num))


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


def _boundaries(num_steps: int, num: int) -> np.ndarray:
    """First steps of the windows and the end, int64 [num + 1]."""
    return np.linspace(0, num_steps, min(num, num_steps) + 1).astype(np.int64)


def _summed(steps: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    return np.asarray(np.add.reduceat(steps, bounds[:-1], axis=0))


def _shares(load: np.ndarray) -> np.ndarray:
    """Each layer's loads over their sum; zeros where there is no load."""
    sums = load.sum(axis=-1, keepdims=True).astype(np.float64)
    return np.asarray(load / np.where(sums > 0, sums, 1))


def _k_means(points: np.ndarray, num: int) -> np.ndarray:
    """Labels of the points [num_points, size], int64 [num_points]."""
    centers = _far_apart(points, num)
    label = np.full(len(points), -1)
    for _ in range(MAX_ROUNDS):
        nearest = _distances(points, centers).argmin(axis=1)
        if (nearest == label).all():
            break
        label = nearest
        held = [k for k in range(len(centers)) if (label == k).any()]
        centers = np.array([points[label == k].mean(axis=0) for k in held])
        label = np.searchsorted(held, label)
    return label


def _far_apart(points: np.ndarray, num: int) -> np.ndarray:
    """Up to `num` of the points: the most central one, then ever the farthest from the chosen."""
    chosen = [int(_distances(points, points.mean(axis=0)[None])[:, 0].argmin())]
    while len(chosen) < num:
        farthest = _distances(points, points[chosen]).min(axis=1)
        if farthest.max() <= np.finfo(float).eps * points.shape[1]:
            break
        chosen.append(int(farthest.argmax()))
    return points[chosen]


def _distances(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Squared, [num_points, num_centers]."""
    squares = (points**2).sum(axis=1)[:, None] + (centers**2).sum(axis=1)
    return np.asarray(np.maximum(squares - 2 * points @ centers.T, 0))


#: Name -> scenarios of a recording; which one serves is for `choose` to find out on later steps.
METHODS: dict[str, Method] = {
    "last": last,
    "total": total,
    "exponential-1": lambda trace: exponential(trace, 1),
    "exponential-4": lambda trace: exponential(trace, 4),
    "last-4": lambda trace: last(trace, 4),
    "last-8": lambda trace: last(trace, 8),
    "windows-4": lambda trace: windows(trace, 4),
    "windows-8": lambda trace: windows(trace, 8),
    "clusters-4": lambda trace: clusters(trace, 4),
    "windows-4-shrunk": lambda trace: shrunk_windows(trace, 4),
    "windows-8-shrunk": lambda trace: shrunk_windows(trace, 8),
    "clusters-4-shrunk": lambda trace: shrunk_clusters(trace, 4),
}
