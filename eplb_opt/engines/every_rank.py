"""The call behind every drop-in that each rank makes for itself: the same bytes on all of them.

No clock decides anything here. Effort counts the steps of the compiled refinement that a layer gets
(see `eplb_opt.engines.serving`). Without effort the answer is the greedy every engine ships. Where
a plan needs packages that a rank lacks, it raises instead of answering with less.
"""

from __future__ import annotations

import logging
import math
import os
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.engines.by_senders import COST_VARIABLE, UNIFORM, place_by_senders
from eplb_opt.engines.serving.at_price import PriceRules, rebalance_at_price
from eplb_opt.engines.serving.call import rebalance, rebalance_near
from eplb_opt.engines.serving.live_gpus import EMPTY, LiveGpus
from eplb_opt.engines.serving.near_rules import NearRules
from eplb_opt.engines.serving.senders import SenderRules
from eplb_opt.engines.survivors import fitted, keep_slots
from eplb_opt.errors import MissingDependency, ProblemError
from eplb_opt.placement.move_cost import MoveCost, read_move_cost
from eplb_opt.placement.plan import Plan
from eplb_opt.planner.planner import plan
from eplb_opt.problem.arrays import as_int, as_numpy
from eplb_opt.problem.gpu_rules import as_mask
from eplb_opt.search.starts import heuristic_arguments, no_colocation_plan

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

LOGGER = logging.getLogger("eplb_opt")

#: Counted work a layer, where a call does not name it; must be equal on all ranks.
EFFORT_VARIABLE = "EPLB_OPT_EFFORT"
#: For 58 layers of 256 experts 3 to 11 ms; with four slots a GPU or more it leaves a twentieth of
#: the greedy's gap or less.
DEFAULT_EFFORT = 100
#: How far above the bound a plan near the map in force may be, as a share of it; 0 plans freely.
#: Must be equal on all ranks, as must the next one.
TOLERANCE_VARIABLE = "EPLB_OPT_MOVE_TOLERANCE"
DEFAULT_TOLERANCE = 0.003
#: Where the largest GPU loads would fall by a smaller share, the map in force stays.
GAIN_VARIABLE = "EPLB_OPT_MIN_GAIN"
#: The price of what is served away from home, as of `Topology`. Where it is set groups do not bind.
PRICE_VARIABLE = "EPLB_OPT_TOPOLOGY_PRICE"
#: What a plan that keeps replicas apart needs. With one of them absent on some rank its plan would
#: differ.
PLANNER_ENGINES = ("scipy", "ortools")
#: Steps of the hot path that are worth a unit of the planner's effort.
STEPS_PER_PLANNER_EFFORT = 100
#: Steps of a descent near the map in force are not fewer, whatever the effort.
LEAST_NEAR_STEPS = 100
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


def chosen_tolerance(tolerance: float | None = None) -> float:
    """How far from the bound a plan may stay: as given, else EPLB_OPT_MOVE_TOLERANCE, else 0.003.

    Raises
    ------
    ProblemError
        When it is no finite number of at least 0.
    """
    return _chosen_share(TOLERANCE_VARIABLE, DEFAULT_TOLERANCE, tolerance)


def chosen_gain(default: float = 0.0) -> float:
    """The share by which loads have to fall: EPLB_OPT_MIN_GAIN, else the default.

    Raises
    ------
    ProblemError
        When it is no finite number of at least 0.
    """
    return _chosen_share(GAIN_VARIABLE, default)


def near_rules(gain: float, tolerance: float | None = None, *, apart: bool = False) -> NearRules:
    """How near plans stay to the map in force, from the variables.

    Parameters
    ----------
    gain
        Where the loads would fall by a smaller share, nothing moves.
    tolerance
        As a call gives it, before any variable; None asks EPLB_OPT_MOVE_COST, and then
        EPLB_OPT_MOVE_TOLERANCE.
    apart
        Whether no GPU may get an expert that it holds.

    Raises
    ------
    ProblemError
        When a variable cannot be understood.
    """
    cost = chosen_cost() if tolerance is None else None
    if cost is None:
        return NearRules(chosen_tolerance(tolerance), min_gain=gain, apart=apart)
    return NearRules(min_gain=gain, apart=apart, move_cost=cost)


def chosen_cost() -> MoveCost | None:
    """The move cost that EPLB_OPT_MOVE_COST gives, or None.

    Raises
    ------
    ProblemError
        When it is not five numbers that can be used.
    """
    text = os.environ.get(COST_VARIABLE, "").strip()
    return read_move_cost(text, COST_VARIABLE) if text else None


def chosen_price() -> float | None:
    """The price that EPLB_OPT_TOPOLOGY_PRICE gives, or None.

    Raises
    ------
    ProblemError
        When it is no finite number of at least 0.
    """
    is_set = os.environ.get(PRICE_VARIABLE, "").strip()
    return _chosen_share(PRICE_VARIABLE, 0.0) if is_set else None


def _chosen_share(variable: str, default: float, given: float | None = None) -> float:
    text = os.environ.get(variable, "").strip() if given is None else str(given)
    try:
        value = float(text or default)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise ProblemError(f"{variable}={text!r} is no finite number of at least 0.")
    return value


def topology(num_groups: Any, num_nodes: Any) -> tuple[int, int]:
    """Groups and nodes by the rule of the common call: both 1 where they do not divide.

    With EPLB_OPT_TOPOLOGY_PRICE they need not.

    Parameters
    ----------
    num_groups
        Some models have none: None and 0 count as 1.
    num_nodes
        At least 1.
    """
    groups = as_int(num_groups or 1, "num_groups")
    nodes = as_int(num_nodes, "num_nodes")
    return (groups, nodes) if groups % nodes == 0 or chosen_price() is not None else (1, 1)


def place(
    weight: Any,
    num_slots: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    effort: int | None = None,
    current: Any = None,
    active: Any = None,
    lost: int = EMPTY,
    dispatch: tuple[str, int] = (UNIFORM, 1),
) -> Maps:
    """Place all experts; a function of the arguments and nothing else.

    With a map in force the plan stays near it: the fewest moves with which every layer's largest
    GPU load is within EPLB_OPT_MOVE_TOLERANCE (0.003) of the bound, or, where no plan is, of the
    best one found. What stays on its GPU keeps its slot. Where the loads would fall by less than
    EPLB_OPT_MIN_GAIN in all, the map in force comes back, byte for byte. Where EPLB_OPT_MOVE_COST
    is set, each layer gets instead the plan that loses least time to moving and to imbalance until
    the next rebalance, which may be to stay.

    Where EPLB_OPT_TOPOLOGY_PRICE is set, groups do not bind. What is to be low is then the largest
    over the mean GPU load plus the price of what is served away from the groups' nodes, also in
    the tolerance and the gain. While a GPU is lost there is no price.

    Parameters
    ----------
    weight
        [num_layers, num_experts], an array or a tensor on any device.
    num_slots, num_groups, num_nodes, num_gpus
        As of `Problem`; hierarchical where there are several groups and nodes.
    effort
        Steps of the refinement a layer; None for EPLB_OPT_EFFORT, or 100. 0 is the greedy, half a
        millisecond for a model; 300 takes three times as long as 100 and leaves a third to three
        quarters of its gap. Near a map in force it is at least `LEAST_NEAR_STEPS`.
    current
        The map in force, [num_layers, any number of slots] with as many slots a GPU; -1 is an empty
        slot. Of a map of more GPUs the first are those that are left, and GPUs that it lacks are
        new. None plans freely, as does a tolerance of 0, with survivors in their slots.
    active
        bool [num_gpus], which GPUs are there; None for all. While one is lost, groups do not bind:
        all that are left take their part of its load.
    lost
        What slots of lost GPUs hold in physical_to_logical; the other maps leave them out.
    dispatch
        How the engine sends tokens to copies, "uniform", "nearest" or "rank_modulo", and the nodes
        of the machine. While a GPU is lost the plan is for the uniform split.

    Returns
    -------
    physical_to_logical int64 [num_layers, num_slots], logical_to_physical int64 [num_layers,
    num_experts, largest count] padded with -1, logical_count int64 [num_layers, num_experts].

    Raises
    ------
    ProblemError
        For loads or sizes that cannot be planned, or fewer slots than experts on the GPUs that are
        there.
    """
    load = as_numpy(weight, "weight")
    effort = chosen_effort(effort)
    sizes = num_slots, num_groups, num_nodes, num_gpus
    if active is not None:
        live = _live(active, *sizes[::3])
        if not live.is_all:
            live.require_room(load.shape[-1] if load.ndim else 0)
            slots = as_int(num_slots, "num_slots")
            held = None if current is None else live.cut(fitted(current, len(load), slots))
            flat = live.slots.size, 1, 1, live.num_gpus
            return live.spread(place(load, *flat, effort, held), lost)
    price = chosen_price()
    if price is not None and as_int(num_groups, "num_groups") > 1 < as_int(num_nodes, "num_nodes"):
        if dispatch[0] != UNIFORM:
            _tell_of_the_split(dispatch[0])
        return _place_at_price(load, sizes, effort, current, price)
    if dispatch[0] != UNIFORM:
        num_layers = len(load) if load.ndim else 0
        slots = as_int(num_slots, "num_slots")
        held = None if current is None else fitted(current, num_layers, slots)
        sent = SenderRules(*dispatch, chosen_tolerance(), chosen_gain())
        return place_by_senders(load, sizes, effort, held, sent)
    if current is None:
        return _place_freely(load, sizes, effort)
    num_gpus = as_int(num_gpus, "num_gpus")
    held = fitted(current, len(load), as_int(num_slots, "num_slots"))
    if not (held >= 0).any():  # a map of empty slots is none
        return _place_freely(load, sizes, effort)
    rules = near_rules(chosen_gain())
    if rules.tolerance == 0:
        return _with_survivors(_place_freely(load, sizes, effort)[0], held, load, num_gpus)
    steps = max(effort, LEAST_NEAR_STEPS)
    return rebalance_near(load, *sizes, current=held, rules=rules, effort=steps)[0]


@cache
def _tell_of_the_split(dispatch: str) -> None:
    """Once a process: a price is planned for the uniform split, whatever the engine does."""
    LOGGER.warning("%s takes the uniform split; the dispatch is %r", PRICE_VARIABLE, dispatch)


def _place_at_price(
    load: np.ndarray, sizes: tuple[int, int, int, int], effort: int, current: Any, price: float
) -> Maps:
    if chosen_cost() is not None:
        raise ProblemError(
            f"{COST_VARIABLE} and {PRICE_VARIABLE} do not combine: with a price, use "
            f"{TOLERANCE_VARIABLE}."
        )
    tolerance, held = chosen_tolerance(), None
    if current is not None:
        held = fitted(current, len(load), as_int(sizes[0], "num_slots"))
    is_near = held is not None and tolerance > 0
    rules = PriceRules(price, tolerance if is_near else None, chosen_gain())
    maps = rebalance_at_price(
        load, *sizes, rules=rules, effort=effort, current=held if is_near else None
    )
    if held is None or is_near:
        return maps
    return _with_survivors(maps[0], held, load, as_int(sizes[3], "num_gpus"))


def _live(active: Any, num_slots: int, num_gpus: int) -> LiveGpus:
    """The GPUs that are there, of sizes that fit together."""
    gpus, slots = as_int(num_gpus, "num_gpus"), as_int(num_slots, "num_slots")
    if slots % gpus:
        raise ProblemError(f"num_slots={slots} is no multiple of num_gpus={gpus}.")
    return LiveGpus(as_mask(active, "active", (gpus,)), slots // gpus)


def _place_freely(load: np.ndarray, sizes: tuple[int, int, int, int], effort: int) -> Maps:
    if effort == 0:
        return greedy(load, *sizes)
    return rebalance(load, *sizes, effort=effort)


def _with_survivors(placed: np.ndarray, held: np.ndarray, load: np.ndarray, num_gpus: int) -> Maps:
    """The maps of a plan whose survivors have kept their slots."""
    maps = Plan(keep_slots(placed, held, num_gpus), num_gpus, load.shape[1])
    return maps.physical_to_logical, maps.logical_to_physical, maps.logical_count


def _require(packages: tuple[str, ...]) -> None:
    """Raise MissingDependency where something is missing that other ranks may have."""
    for package in packages:
        if find_spec(package) is None:
            raise MissingDependency(package, "all")


def effort_units(effort: int) -> int:
    """What the planner takes for steps of the hot path; 0 stays 0.

    Raises
    ------
    MissingDependency
        With effort, where a solver is missing that other ranks may have.
    """
    if not effort:
        return 0
    _require(PLANNER_ENGINES)
    return max(effort // STEPS_PER_PLANNER_EFFORT, 1)


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
        # One worker: the other ranks of this machine plan at the same time.
        units = effort_units(effort)
        answer = plan(problem, time_limit=None, effort=units, workers=1, starts=())
        return answer.plan.physical_to_logical.copy()
    placed = greedy(*heuristic_arguments(problem))[0]
    by_gpu = np.sort(placed.reshape(problem.num_layers, problem.num_gpus, -1), axis=2)
    for layer_idx in np.nonzero((by_gpu[..., 1:] == by_gpu[..., :-1]).any(axis=(1, 2)))[0]:
        placed[layer_idx] = no_colocation_plan(problem.layer(int(layer_idx)))[0]
    return placed
