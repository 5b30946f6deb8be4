"""What GPUs take under a problem's costs, in exact integers, and what a plan's seconds add up to.

This module shares no code with the bounds, models and searches, whose plans it judges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement.senders import AS_DEALT, senders

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.problem.step_cost import StepCost


def gpu_costs(
    problem: Problem, physical_to_logical: np.ndarray, reading: str = AS_DEALT
) -> np.ndarray:
    """The costs of each GPU's replicas added up, int64 [num_layers, num_gpus].

    Parameters
    ----------
    problem
        A problem with costs.
    physical_to_logical
        int64 [num_layers, num_slots], every expert at least once; -1 is an empty slot, which costs
        nothing.
    reading
        Under nearest copy, which of a replica's possible numbers of senders counts; see `senders`.
        "most" is the most of any draw where no GPU holds an expert twice: two replicas that share a
        GPU's senders in another way may cost more together, by less than one reading.

    Returns
    -------
    ndarray
        In units of 2**-cost_exponent of the caller's.
    """
    placed = physical_to_logical
    layers = np.arange(len(placed))[:, None]
    if problem.costs is not None and problem.costs.sent is not None:
        sent = senders(problem, placed, reading)
        each = problem.costs.sent[layers, placed, sent] * (placed >= 0)
        return np.asarray(each.reshape(len(placed), problem.num_gpus, -1).sum(axis=2))
    copies = np.zeros((len(placed), problem.num_experts + 1), dtype=np.int64)
    # An empty slot, -1, is counted as an expert beyond the last, and then costs nothing.
    np.add.at(copies, (layers, placed), 1)
    each = problem.replica_cost[layers, placed, copies[layers, placed] * (placed >= 0)]
    return np.asarray(each.reshape(len(placed), problem.num_gpus, -1).sum(axis=2))


def gpu_seconds(problem: Problem, physical_to_logical: np.ndarray) -> np.ndarray:
    """The same in the caller's unit, float64 [num_layers, num_gpus]: for looking at."""
    units = gpu_costs(problem, physical_to_logical).astype(np.float64)
    return np.asarray(np.ldexp(units, -problem.cost_exponent[:, None]))


def gpu_moments(
    cost: StepCost, mean_tokens: np.ndarray, physical_to_logical: np.ndarray, num_gpus: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the seconds of each GPU in a step, float64 [num_layers, num_gpus] each.

    The tokens of replicas follow independent Poisson laws, so both add up over a GPU.

    Parameters
    ----------
    cost
        Seconds of an expert for its tokens.
    mean_tokens
        float64 [num_layers, num_experts], the tokens that each expert gets in a step on average.
    physical_to_logical
        int64 [num_layers, num_slots], every expert with tokens at least once; -1 is an empty slot.
    num_gpus
        Slot p is on GPU p // (num_slots // num_gpus).
    """
    placed = physical_to_logical
    layers = np.arange(len(placed))[:, None]
    copies = np.zeros((len(placed), mean_tokens.shape[1] + 1), dtype=np.int64)
    np.add.at(copies, (layers, placed), 1)
    of_copy = mean_tokens / np.maximum(copies[:, :-1], 1)
    held = (placed >= 0).reshape(len(placed), num_gpus, -1)

    def on_gpus(each: np.ndarray) -> np.ndarray:
        slots = each[layers, placed].reshape(held.shape)
        return np.asarray((slots * held).sum(axis=2))

    return on_gpus(cost.expected(of_copy)), on_gpus(cost.variance(of_copy))


def balancedness(problem: Problem, physical_to_logical: np.ndarray) -> np.ndarray:
    """Mean over largest GPU seconds of a plan, float64 [num_layers]; 1 where nothing costs.

    The mean is of the GPUs that hold an expert. It depends on the plan: more replicas of an expert
    may cost more together.
    """
    spent = gpu_costs(problem, physical_to_logical)[:, problem.open_slots > 0]
    largest = spent.max(axis=1)
    return np.where(largest > 0, spent.mean(axis=1) / np.maximum(largest, 1), 1.0)
