"""Plans as values of the columns of the flow model, and back."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.exact.flows.order import hosts_in_order
from eplb_opt.placement.level_flow import least_level, whole_split

if TYPE_CHECKING:
    from eplb_opt.exact.flows.formulation import FlowFormulation


def flow_values(f: FlowFormulation, physical_to_logical: np.ndarray) -> np.ndarray:
    """Every column's value for a plan, its GPUs and nodes put in the model's order.

    Parameters
    ----------
    f
        The model; its start must be no better than the plan.
    physical_to_logical
        int64 [num_slots], a plan that obeys the problem's rules.

    Returns
    -------
    int64 [num_columns], each T as small as the plan's hosts allow.
    """
    problem = f.problem
    held = None if f.change is None else f.change.held
    hosts = hosts_in_order(problem, hosts_of(f, physical_to_logical), held)
    values = np.zeros(f.choices.num_columns, dtype=np.int64)
    values[f.hosts] = hosts
    if f.group_on_node.size:
        expert, gpu = np.nonzero(hosts)
        values[
            f.group_on_node[expert // problem.experts_per_group, gpu // problem.gpus_per_node]
        ] = 1
    if held is not None:
        keeps = (hosts & held).any(axis=0)
        values[f.filling] = np.where(keeps, 0, problem.open_slots - hosts.sum(axis=0))
    levels = [_send(f, values, load_idx, hosts) for load_idx in range(len(f.size))]
    values[: f.choices.num_peaks] = f.least
    np.maximum.at(values, f.peaks, levels)
    return values


def flow_plan(f: FlowFormulation, values: np.ndarray) -> np.ndarray:
    """The plan of a solution, int64 [num_slots]; -1 in closed slots.

    The remaining slots of a GPU repeat one of its experts: where moves count, one
    that it holds now.

    Parameters
    ----------
    f
        The model.
    values
        [num_columns], integers or floats; the float noise of a backend is rounded off.
    """
    problem = f.problem
    hosts = np.round(values[f.hosts]).astype(np.int64) > 0
    placed = np.full((problem.num_gpus, problem.slots_per_gpu), -1, dtype=np.int64)
    for gpu, slots in enumerate(problem.open_slots.tolist()):
        experts = np.flatnonzero(hosts[:, gpu])
        if not slots or not len(experts):  # a backend's noise; the checker refuses it
            continue
        kept = experts if f.change is None else experts[f.change.held[experts, gpu]]
        repeated = kept[0] if len(kept) else experts[0]
        row = np.append(experts, np.full(max(slots - len(experts), 0), repeated))
        placed[gpu, :slots] = row[:slots]
    return placed.ravel()


def hosts_of(f: FlowFormulation, placed: np.ndarray) -> np.ndarray:
    """Which GPU holds which expert, bool [num_experts, num_gpus]."""
    hosts = np.zeros(f.hosts.shape, dtype=bool)
    slot = np.flatnonzero(placed >= 0)
    hosts[placed[slot], slot // f.problem.slots_per_gpu] = True
    return hosts


def _send(f: FlowFormulation, values: np.ndarray, load_idx: int, hosts: np.ndarray) -> int:
    """Write the flows of one load into the values; returns the least whole T at which they fit."""
    size = f.size[load_idx].tolist()
    on = [np.flatnonzero(row).tolist() for row in hosts]
    speed = [Fraction(*rate) for rate in f.rate]
    level = ceil(least_level(size, on, len(speed), speed).level)
    split = whole_split(size, on, [rate.most(level) for rate in f.rate])
    if split is None:
        raise ArithmeticError(f"{sum(size)} units do not flow at their own level {level}.")
    for expert, tokens in enumerate(split):
        values[f.flows[load_idx, expert, on[expert]]] = tokens
    return level
