"""The call behind every drop-in that each rank makes for itself: the same bytes on all of them.

No clock decides anything here. Effort counts the steps of the compiled refinement that a layer gets
(see `eplb_opt.engines.serving`). Without effort the answer is the greedy every engine ships. Where
a plan needs packages that a rank lacks, it raises instead of answering with less.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.engines.serving.call import rebalance
from eplb_opt.errors import MissingDependency, ProblemError
from eplb_opt.planner.planner import plan
from eplb_opt.problem.arrays import as_int, as_numpy
from eplb_opt.search.starts import heuristic_arguments, no_colocation_plan

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: Counted work a layer, where a call does not name it; must be equal on all ranks.
EFFORT_VARIABLE = "EPLB_OPT_EFFORT"
#: For 58 layers of 256 experts 3 to 11 ms; with four slots a GPU or more it leaves a twentieth of
#: the greedy's gap or less.
DEFAULT_EFFORT = 100
#: What a plan that keeps replicas apart needs. With one of them absent on some rank its plan would
#: differ.
PLANNER_ENGINES = ("scipy", "ortools")
#: Steps of the hot path that are worth a unit of the planner's effort.
STEPS_PER_PLANNER_EFFORT = 100
SWITCH = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(
    ("", "0", "false", "no", "off"), False
)

Maps = tuple[np.ndarray, np.ndarray, np.ndarray]


def is_asked_for(variable: str) -> bool:
    """Whether the user switched a drop-in on.

    Parameters
    ----------
    variable
        Name of the environment variable.

    Raises
    ------
    ProblemError
        When it is set to something that is neither yes nor no.
    """
    value = os.environ.get(variable, "").strip().lower()
    if value not in SWITCH:
        raise ProblemError(f"{variable}={value!r} is unknown; known: 1 and 0.")
    return SWITCH[value]


def chosen_effort(effort: int | None, default: int = DEFAULT_EFFORT) -> int:
    """The effort of a call: as given, else from EPLB_OPT_EFFORT, else the default.

    Raises
    ------
    ProblemError
        When it is no whole number of at least 0.
    """
    if effort is not None:
        return as_int(effort, "effort", least=0)
    value = os.environ.get(EFFORT_VARIABLE, "").strip() or str(default)
    if not (value.isascii() and value.isdigit()):
        raise ProblemError(f"{EFFORT_VARIABLE}={value!r} is no whole number of at least 0.")
    return int(value)


def topology(num_groups: Any, num_nodes: Any) -> tuple[int, int]:
    """Groups and nodes by the rule of the common call: both 1 where they do not divide.

    Parameters
    ----------
    num_groups
        Some models have none: None and 0 count as 1.
    num_nodes
        At least 1.
    """
    groups = as_int(num_groups or 1, "num_groups")
    nodes = as_int(num_nodes, "num_nodes")
    return (groups, nodes) if groups % nodes == 0 else (1, 1)


def place(
    weight: Any,
    num_slots: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    effort: int | None = None,
) -> Maps:
    """Place all experts; a function of the arguments and nothing else.

    Parameters
    ----------
    weight
        [num_layers, num_experts], an array or a tensor on any device.
    num_slots, num_groups, num_nodes, num_gpus
        As of `Problem`; hierarchical where there are several groups and nodes.
    effort
        Steps of the refinement a layer; None for EPLB_OPT_EFFORT, or 100. 0 is the greedy, half a
        millisecond for a model; 300 takes three times as long as 100 and leaves a third to three
        quarters of its gap.

    Returns
    -------
    physical_to_logical int64 [num_layers, num_slots], logical_to_physical int64 [num_layers,
    num_experts, largest count] padded with -1, logical_count int64 [num_layers, num_experts].

    Raises
    ------
    ProblemError
        For loads or sizes that cannot be planned.
    """
    load = as_numpy(weight, "weight")
    effort = chosen_effort(effort)
    if effort == 0:
        return greedy(load, num_slots, num_groups, num_nodes, num_gpus)
    return rebalance(load, num_slots, num_groups, num_nodes, num_gpus, effort=effort)


def _require(packages: tuple[str, ...]) -> None:
    """Raise MissingDependency where something is missing that other ranks may have."""
    for package in packages:
        if find_spec(package) is None:
            raise MissingDependency(package, "all")


def greedy(load: np.ndarray, *numbers: int) -> Maps:
    """The greedy's maps; the five arguments and the errors are those of `place`."""
    from heuristics.greedy import rebalance_experts

    try:
        return rebalance_experts(load, *numbers)
    except ValueError as error:
        raise ProblemError(str(error)) from error


def place_apart(problem: Problem, effort: int | None = None) -> np.ndarray:
    """Like `place`, for a problem that keeps an expert's replicas apart.

    Without effort a layer keeps the greedy's plan where that has no expert twice on a GPU already,
    and gets the slower one that keeps them apart elsewhere.

    Parameters
    ----------
    problem
        Flat, with colocation="forbid".
    effort
        As of `place`.

    Returns
    -------
    int64 [num_layers, num_slots].
    """
    effort = chosen_effort(effort)
    if effort:
        _require(PLANNER_ENGINES)
        units = max(effort // STEPS_PER_PLANNER_EFFORT, 1)
        # One worker: the other ranks of this machine plan at the same time.
        answer = plan(problem, time_limit=None, effort=units, workers=1)
        return answer.plan.physical_to_logical.copy()
    placed = greedy(*heuristic_arguments(problem))[0]
    by_gpu = np.sort(placed.reshape(problem.num_layers, problem.num_gpus, -1), axis=2)
    for layer_idx in np.nonzero((by_gpu[..., 1:] == by_gpu[..., :-1]).any(axis=(1, 2)))[0]:
        placed[layer_idx] = no_colocation_plan(problem.layer(int(layer_idx)))[0]
    return placed
