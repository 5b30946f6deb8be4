"""Splits of loads over routes: fast in float64, or exact with its proof."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.level_flow import LevelFlow, least_level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.engines.dispatch.routes import Routes

#: Sweeps of least squares before the augmenting paths; by measurement.
NUM_SWEEPS = 1


def split(
    routes: Routes, load: np.ndarray, speed: np.ndarray, num_sweeps: int = NUM_SWEEPS
) -> tuple[np.ndarray, np.ndarray]:
    """Split loads over the hosts, in float64.

    Parameters
    ----------
    routes
        Where the experts of the placement are.
    load
        Tokens, float64 [num_scenarios, num_layers, num_experts].
    speed
        float64 [num_gpus], relative to each other.
    num_sweeps
        Sweeps of least squares, at least 1.

    Returns
    -------
    weights
        Each slot's part of its expert's tokens, float64 [num_scenarios, num_layers, num_slots].
    levels
        The largest GPU load over its speed that no split is below, up to rounding, float64
        [num_scenarios, num_layers].
    """
    weights, proven = routes.compiled.split(
        np.ascontiguousarray(load, dtype=np.float64),
        np.ascontiguousarray(speed, dtype=np.float64),
        num_sweeps,
    )
    return weights, proven


def exact_levels(routes: Routes, load: np.ndarray, speed: np.ndarray) -> list[list[LevelFlow]]:
    """The exact optimum of every scenario and layer; arguments as for `split`.

    Levels are in the loads' unit, flows in one of the layer's own (`in_integers`).
    """
    rates = [Fraction(float(s)) for s in speed]
    hosts = [routes.hosts(layer_idx) for layer_idx in range(routes.plan.num_layers)]
    return [[_level(row, hosts[i], rates) for i, row in enumerate(rows)] for rows in load]


def exact_weights(routes: Routes, load: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """The exact optimum's weights, rounded to float64; as `split`."""
    weights = np.empty((len(load), *routes.even.shape))
    weights[:] = routes.even
    copies = routes.pairs.copies.tolist()
    layer_idx, slot = np.nonzero(routes.pairs.of_slot >= 0)
    pair = routes.pairs.of_slot[layer_idx, slot]
    for scenario, levels in enumerate(exact_levels(routes, load, speed)):
        parts = chain.from_iterable(_shares(found) for found in levels)
        share = np.array([float(p / num) for p, num in zip(parts, copies, strict=True)])
        kept = share[pair] >= 0
        weights[scenario, layer_idx[kept], slot[kept]] = share[pair[kept]]
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


def _shares(level: LevelFlow) -> Iterator[Fraction]:
    """What each pair of a layer gets of its expert's tokens; -1 where there are none."""
    for parts in level.flow:
        tokens = sum(parts)
        yield from (part / tokens if tokens else Fraction(-1) for part in parts)
