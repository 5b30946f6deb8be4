"""Splits of loads over routes: fast in float64, or exact with its proof."""

from __future__ import annotations

import functools
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.min_max_flow import LevelFlow, least_level

if TYPE_CHECKING:
    from eplb_opt.flows.routes import Routes

#: Sweeps before the paths; by measurement.
NUM_SWEEPS = 2


@functools.cache
def load_kernels() -> Any:
    """The kernels, compiled where numba is installed; loads it."""
    from eplb_opt.flows import kernels

    return kernels


def warm_split() -> None:
    """Compile the kernels, or load them from the cache on disk."""
    from eplb_opt.flows.routes import Routes
    from eplb_opt.plan import Plan

    split(Routes.trace(Plan(np.array([[0, 1, 1, 2]]), 2)), np.ones((1, 1, 3)), np.ones(2))


def split(
    routes: Routes, load: np.ndarray, speed: np.ndarray, num_sweeps: int = NUM_SWEEPS
) -> tuple[np.ndarray, np.ndarray]:
    """Split loads over the hosts, in float64.

    Parameters
    ----------
    load
        float64 [num_scenarios, num_layers, num_experts], contiguous.
    speed
        float64 [num_gpus].
    num_sweeps
        At least 1, of least squares before the augmenting paths.

    Returns
    -------
    Weights, float64 [num_scenarios, num_layers, num_slots], and the level that no split is below,
    up to rounding, float64 [num_scenarios, num_layers].
    """
    weights = np.empty((len(load), *routes.even.shape))
    weights[:] = routes.even
    proven = np.empty(load.shape[:2])
    num_gpus = len(speed)
    # Numba compiles once more for arrays that may not be written.
    load, speed = (np.require(array, np.float64, ["C", "W"]) for array in (load, speed))
    load_kernels().split_layers(
        load, speed, num_sweeps, routes.alone, routes.alone_gpu, routes.alone_begin, routes.many,
        routes.first, routes.many_begin, routes.gpu, routes.copies, routes.owner,
        routes.gpu_begin, routes.gpu_pair, routes.slot, routes.slot_pair, routes.slot_begin,
        np.empty(num_gpus), np.empty(len(routes.gpu)), np.empty((4, num_gpus), dtype=np.int32),
        weights, proven,
    )  # fmt: skip
    return weights, proven


def exact_levels(routes: Routes, load: np.ndarray, speed: np.ndarray) -> list[list[LevelFlow]]:
    """The exact optimum of every scenario and layer; arguments as for `split`.

    Levels are in the loads' unit, flows in one of the layer's own (`in_integers`).
    """
    rates = [Fraction(float(s)) for s in speed]
    hosts = [routes.hosts(layer_idx) for layer_idx in range(routes.shape[0])]
    return [[_level(row, hosts[i], rates) for i, row in enumerate(rows)] for rows in load]


def exact_weights(routes: Routes, load: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """The exact optimum's weights, rounded to float64; as `split`."""
    weights = np.empty((len(load), *routes.even.shape))
    weights[:] = routes.even
    for scenario, levels in enumerate(exact_levels(routes, load, speed)):
        for layer_idx, level in enumerate(levels):
            share = _pair_shares(routes, layer_idx, level)
            slots = slice(*routes.slot_begin[layer_idx : layer_idx + 2])
            weights[scenario, layer_idx, routes.slot[slots]] = [
                share[pair] for pair in routes.slot_pair[slots].tolist()
            ]
    return weights


def in_integers(row: np.ndarray) -> tuple[list[int], int]:
    """Floats as integers of one unit, 1 / the returned number, exactly."""
    ratios = [float(w).as_integer_ratio() for w in row]
    unit = max(denominator for _, denominator in ratios)  # all are powers of two
    return [numerator * (unit // denominator) for numerator, denominator in ratios], unit


def _level(row: np.ndarray, hosts: list[list[int]], rates: list[Fraction]) -> LevelFlow:
    tokens, unit = in_integers(row)
    found = least_level(tokens, hosts, len(rates), rates)
    return replace(found, level=found.level / unit)


def _pair_shares(routes: Routes, layer_idx: int, level: LevelFlow) -> dict[int, float]:
    """What each copy of a pair gets of its expert's tokens."""
    share = {}
    for i in range(*routes.many_begin[layer_idx : layer_idx + 2].tolist()):
        parts = level.flow[routes.many[i]]
        pairs = range(routes.first[i], routes.first[i + 1])
        copies = routes.copies[pairs.start : pairs.stop].tolist()
        tokens = sum(parts)
        for pair, part, num in zip(pairs, parts, copies, strict=True):
            share[pair] = float(part / tokens / num) if tokens else 1 / sum(copies)
    return share
