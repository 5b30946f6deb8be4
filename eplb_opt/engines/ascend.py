"""vllm-ascend: our placement as a policy of its worker.

A policy there is an object with `rebalance_experts(current_expert_table, expert_workload)`; the
function here is such a method once it is static::

    class OurPolicy(EplbPolicy):
        rebalance_experts = staticmethod(eplb_opt.engines.ascend.rebalance_experts)

Plans stay near the current table: EPLB_OPT_MOVE_TOLERANCE (default 0.003) says how level they have
to be, or EPLB_OPT_MOVE_COST what moving costs; below EPLB_OPT_MIN_GAIN (here by default 0.05)
nothing moves. They are level under the dispatch of vllm-ascend, where the ranks take an expert's
copies in turn. EPLB_OPT_DISPATCH=uniform asks for plans for the uniform split, and so does
EPLB_OPT_MOVE_COST. With a tolerance of 0 plans are made freely, with about a second's work on 58
layers; the worker is a process in the background. Every rank's worker plans by itself, so these
variables and EPLB_OPT_EFFORT must be the same on all of them.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from eplb_opt.engines.by_senders import chosen_dispatch, place_by_senders
from eplb_opt.engines.every_rank import (
    LEAST_NEAR_STEPS,
    chosen_effort,
    chosen_gain,
    chosen_tolerance,
    effort_units,
    near_rules,
    place_apart,
)
from eplb_opt.engines.padded import PaddedRules, plan_padded
from eplb_opt.engines.serving.call import rebalance_near
from eplb_opt.engines.serving.senders import SenderRules
from eplb_opt.engines.survivors import keep_slots
from eplb_opt.errors import ProblemError
from eplb_opt.placement.padding import used_slots
from eplb_opt.placement.plan import MAX_ID, Plan
from eplb_opt.placement.scoring import largest_gpu_loads, objectives
from eplb_opt.problem.arrays import as_numpy
from eplb_opt.problem.problem import Problem

#: Counted work a layer, where neither the call nor EPLB_OPT_EFFORT names it.
DEFAULT_EFFORT = 2000
#: How vllm-ascend sends tokens to copies, unless EPLB_OPT_DISPATCH says otherwise: rank r to copy
#: r mod n of an expert's n.
RANK_MODULO = "rank_modulo"
#: The largest GPU loads, summed over layers, have to fall by this part, or nothing is moved. The
#: engine's own policies ask for as much.
LEAST_GAIN = 0.05


def rebalance_experts(
    current_expert_table: Any,
    expert_workload: Any,
    *,
    effort: int | None = None,
    least_gain: float | None = None,
) -> tuple[int, list[int], np.ndarray]:
    """Place all experts under the worker's rules; the same bytes on every rank.

    The rules: every expert is there, none stands twice on a device, and one that stays on its
    device keeps its slot. Where some devices hold fewer experts, their empty slots stay empty. A
    layer that would not get better keeps its table, and all of them do where the gain is too small
    to be worth the moves.

    Parameters
    ----------
    current_expert_table
        [num_layers, num_devices, slots a device], expert ids; -1 pads devices with fewer experts.
    expert_workload
        Loads of the same slots, like the table, or [num_stages, ...] which are added. Negative
        ones, of slots that recorded nothing, count as 0.
    effort
        Counted work a layer; None for EPLB_OPT_EFFORT, or `DEFAULT_EFFORT`.
    least_gain
        Part by which the summed largest device loads must fall; None for EPLB_OPT_MIN_GAIN, or
        `LEAST_GAIN`.

    Returns
    -------
    1 where the table changed, else 0; the layers, those that gain most first; and the table to be
    used, int64 like the current one.

    Raises
    ------
    ProblemError
        For tables or loads that cannot be planned.
    MissingDependency
        With effort, where SciPy or OR-Tools is missing.
    """
    least_gain = chosen_gain(LEAST_GAIN) if least_gain is None else least_gain
    table = _table(current_expert_table)
    num_layers, num_devices, _ = table.shape
    current = table.reshape(num_layers, -1)
    load = fold(current, _workload(expert_workload, table.shape).reshape(num_layers, -1))
    is_padded = bool((current < 0).any())
    most = used_slots(current, num_devices).max(axis=0) if is_padded else None
    dispatch = chosen_dispatch(RANK_MODULO)
    problem = Problem(
        load,
        current.shape[1],
        num_devices,
        colocation="forbid",
        gpu_slots=most,
        dispatch=dispatch,
    )
    # A table that breaks the rules has to go, better or not.
    is_broken = _breaks_rules(current, num_devices, problem.num_experts)
    make = _placed_padded if is_padded else _placed
    placed = make(problem, load, current, chosen_effort(effort, DEFAULT_EFFORT), is_broken)
    before, after = _largest(problem, current), _largest(problem, placed)
    takes = is_broken | np.array([new < old for new, old in zip(after, before, strict=True)])
    placed = np.where(takes[:, None], placed, current)
    gains = [old - new if t else 0 for old, new, t in zip(before, after, takes, strict=True)]
    shares = [float(gain / old) if old else 0.0 for gain, old in zip(gains, before, strict=True)]
    priority = sorted(range(num_layers), key=lambda layer_idx: (-shares[layer_idx], layer_idx))
    is_worth_it = bool(is_broken.any()) or sum(gains) >= Fraction(least_gain) * sum(before)
    if not is_worth_it or (placed == current).all():
        return 0, priority, table
    return 1, priority, placed.reshape(table.shape)


def _placed(
    problem: Problem, load: np.ndarray, current: np.ndarray, effort: int, is_broken: np.ndarray
) -> np.ndarray:
    """The new table, int64 like the current one: near it, unless it breaks the rules."""
    if problem.splits_by_sender:
        return _placed_by_senders(problem, load, current, effort, is_broken)
    rules = near_rules(0.0, apart=True)
    if rules.tolerance == 0 or is_broken.any():
        return keep_slots(place_apart(problem, effort), current, problem.num_gpus)
    sizes = problem.num_slots, 1, 1, problem.num_gpus
    steps = max(effort, LEAST_NEAR_STEPS)
    maps, _ = rebalance_near(load, *sizes, current=current, rules=rules, effort=steps)
    return np.asarray(maps[0])


def _placed_by_senders(
    problem: Problem, load: np.ndarray, current: np.ndarray, effort: int, is_broken: np.ndarray
) -> np.ndarray:
    """The same for a dispatch by senders; a descent from a table keeps experts apart."""
    tolerance = chosen_tolerance()
    if tolerance == 0 or is_broken.any():
        return keep_slots(place_apart(problem, effort), current, problem.num_gpus)
    sizes = problem.num_slots, 1, 1, problem.num_gpus
    rules = SenderRules(problem.dispatch, 1, tolerance)
    return place_by_senders(load, sizes, max(effort, LEAST_NEAR_STEPS), current, rules)[0]


def _placed_padded(
    problem: Problem, load: np.ndarray, current: np.ndarray, effort: int, is_broken: np.ndarray
) -> np.ndarray:
    """The same where devices have empty slots: by the planner, which knows of them."""
    tolerance = chosen_tolerance()
    is_near = tolerance > 0 and not is_broken.any()
    units = effort_units(effort)
    rules = PaddedRules(
        tolerance if is_near else None,
        effort=units,
        colocation="forbid",
        dispatch=problem.dispatch,
    )
    return plan_padded(load, current, problem.num_gpus, rules)


def fold(placed: np.ndarray, slot_load: np.ndarray) -> np.ndarray:
    """Loads of experts from loads of slots, [num_layers, num_experts], added up by the map.

    What an empty slot has counted is left out.
    """
    load = np.zeros((len(placed), int(placed.max()) + 2), dtype=slot_load.dtype)
    np.add.at(load, (np.arange(len(placed))[:, None], placed), slot_load)
    return load[:, :-1]  # -1 falls into the last column


def _largest(problem: Problem, placed: np.ndarray) -> list[Fraction]:
    """The largest device load of each layer, in the caller's unit."""
    if problem.splits_by_sender:
        loads = objectives(problem, placed)
    else:
        loads = largest_gpu_loads(problem.load, placed, problem.num_gpus)
    return [load * problem.unit(layer_idx) for layer_idx, load in enumerate(loads)]


def _breaks_rules(placed: np.ndarray, num_devices: int, num_experts: int) -> np.ndarray:
    """Layers in which an expert stands twice on a device or nowhere, bool [num_layers]."""
    by_device = np.sort(placed.reshape(len(placed), num_devices, -1), axis=2)
    twice = (by_device[..., 1:] == by_device[..., :-1]) & (by_device[..., 1:] >= 0)
    absent = (Plan(placed, num_devices, num_experts).logical_count == 0).any(axis=1)
    return np.asarray(twice.any(axis=(1, 2)) | absent)


def _table(values: Any) -> np.ndarray:
    table = as_numpy(values, "current_expert_table")
    if table.ndim != 3 or 0 in table.shape:
        raise ProblemError(
            f"current_expert_table has shape {list(table.shape)}; it must be "
            "[num_layers, num_devices, slots a device]."
        )
    if table.dtype.kind == "f" or table.min() < -1 or not 0 <= table.max() <= MAX_ID:
        raise ProblemError(
            f"current_expert_table holds {table.dtype} from {table.min()} to {table.max()}; every "
            "slot must hold the id of an expert, or -1 where it is empty."
        )
    return table.astype(np.int64)


def _workload(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    load = as_numpy(values, "expert_workload")
    load = np.asarray(np.maximum(load, 0))
    if load.ndim == 4:
        load = load.sum(axis=0)
    if load.shape != shape:
        raise ProblemError(
            f"expert_workload has shape {list(load.shape)}; current_expert_table has {list(shape)}."
        )
    return load if load.dtype.kind == "f" else load.astype(np.int64)
