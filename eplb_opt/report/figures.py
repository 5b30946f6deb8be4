"""What the figures of a report show, as arrays: for looking at, never for claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement import scoring
from eplb_opt.placement.level_flow import least_level
from eplb_opt.placement.senders import senders
from eplb_opt.problem.scenarios import blended

if TYPE_CHECKING:
    from typing import Any

    from eplb_opt.problem.problem import Problem


def gpu_ratios(problem: Problem, physical_to_logical: Any) -> np.ndarray:
    """GPU load over the layer's mean GPU load, float64 [num_layers, num_gpus].

    Loads count divided by the GPU's speed. With scenarios they are the weighted mean of the
    scenarios' loads, each as a part of its total. A layer without load is all 0.

    Parameters
    ----------
    problem
        Loads and topology.
    physical_to_logical
        [num_layers, num_slots], every expert at least once; -1 is an empty slot.
    """
    load = blended(problem).load
    loads = _gpu_loads(problem, load, np.asarray(physical_to_logical))
    mean = load.sum(axis=1, keepdims=True) / float(problem.capacity)
    speed = np.array([float(value) for value in problem.speed])
    return np.asarray(loads / speed / np.maximum(mean, np.finfo(float).tiny))


def heaviest_ratios(problem: Problem, physical_to_logical: Any) -> np.ndarray:
    """As `gpu_ratios`, with scenarios of each GPU in the scenario that is heaviest for it.

    Parameters
    ----------
    problem
        Loads and topology.
    physical_to_logical
        [num_layers, num_slots], every expert at least once; -1 is an empty slot.
    """
    scenarios = [problem.scenario(i) for i in range(problem.num_scenarios)]
    ratios = [gpu_ratios(part, physical_to_logical) for part in scenarios]
    return np.asarray(np.max(ratios, axis=0))


def _gpu_loads(problem: Problem, load: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """GPU loads under the problem's dispatch, float64 [num_layers, num_gpus]."""
    if problem.splits_by_sender:
        sent = senders(problem, placed) / problem.num_senders
        slots = np.take_along_axis(load, np.maximum(placed, 0), axis=1) * sent
        return np.asarray(slots.reshape(len(load), problem.num_gpus, -1).sum(axis=2))
    if not problem.is_split_freely:
        return scoring.gpu_loads(load, placed, problem.num_gpus)
    speed = None if problem.gpu_speed is None else problem.speed
    loads = np.zeros((len(load), problem.num_gpus))
    for row, weights, filled in zip(placed, load.tolist(), loads, strict=True):
        hosts = scoring.expert_hosts(row, len(weights), problem.num_gpus)
        # A plan that leaves experts out can be looked at too.
        known = [weight if on else 0 for weight, on in zip(weights, hosts, strict=True)]
        split = least_level(known, hosts, problem.num_gpus, speed).flow
        for on, parts in zip(hosts, split, strict=True):
            for gpu_idx, part in zip(on, parts, strict=True):
                filled[gpu_idx] += float(part)
    return loads


def hottest_experts(problem: Problem, num_experts: int) -> np.ndarray:
    """Each layer's experts of largest load, the hottest first, int64 [num_layers, num_experts]."""
    order = np.argsort(-blended(problem).load, axis=1, kind="stable")
    return np.asarray(order[:, :num_experts])


def load_shares(problem: Problem, experts: np.ndarray) -> np.ndarray:
    """Part of the layer's load that these experts carry, float64, shaped as they are."""
    load = blended(problem).load
    total = np.maximum(load.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.take_along_axis(load, experts, axis=1) / total)
