"""What re-planning costs and brings: near plans beside those made anew, by turns in one run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bench.hot import NO_WAIT
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.clock import core_wait
from eplb_opt.engines.rebalance import rebalance_experts
from eplb_opt.placement.moves import moved_slots
from eplb_opt.placement.plan import Plan
from eplb_opt.planner.evaluate import evaluate
from eplb_opt.planner.planner import plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from eplb_opt.problem.machine import Machine
    from eplb_opt.problem.problem import Problem

    Policy = Callable[[], Any]

MACHINES = ("288x32", "288x72", "320x64", "288x144")
#: Standard deviations of the logarithm of what every expert's load is multiplied by.
DRIFTS = (0.05, 0.1, 0.2)
#: How far above the bound near plans may be.
TOLERANCES = (0.003, 0.01, 0.03)
#: Steps a layer of the plan in force and of those that start anew.
EFFORT_IN_FORCE, EFFORT = 1000, 100
#: The policy of vLLM and others, in our own code.
YARDSTICK = "deepseek"


@dataclass(frozen=True)
class Change:
    """Loads that a map in force was planned for, and those that came then.

    Parameters
    ----------
    name
        For the table.
    earlier, later
        int64 [num_layers, num_experts].
    """

    name: str
    earlier: np.ndarray
    later: np.ndarray


@dataclass(frozen=True)
class MovesRow:
    """One policy after one change of the loads.

    Parameters
    ----------
    change, machine, policy
        What was measured.
    stay, reached
        Largest GPU loads over the bounds that hold without search, summed over the layers: of the
        map in force, None where it cannot stay, and of the new one.
    worst
        The same of the layer that is farthest above its bound.
    missed
        Layers that are farther above than the policy's tolerance; 0 where it has none.
    moves
        Slots a layer whose expert is new on its GPU.
    seconds
        The median of calls that never waited for a core, where there are any.
    """

    change: str
    machine: str
    policy: str
    stay: float | None
    reached: float
    worst: float
    missed: int
    moves: float
    seconds: float


def drifts(name: str, load: np.ndarray, sizes: Sequence[float], seed: int = 0) -> list[Change]:
    """The loads, and what they are after each expert's was multiplied by a lognormal factor."""
    rng = np.random.default_rng(seed)
    changes = []
    for size in sizes:
        later = np.rint(load * rng.lognormal(0, size, load.shape)).astype(np.int64)
        changes.append(Change(f"{name}, drift {size:.0%}", load, later))
    return changes


def recorded(loads: Mapping[str, np.ndarray]) -> list[Change]:
    """Changes from the first of several loads to each of the others with the same layers."""
    (first, earlier), *others = loads.items()
    return [
        Change(f"{first} -> {name}", earlier, later)
        for name, later in others
        if later.shape == earlier.shape
    ]


def moves_rows(
    changes: Sequence[Change],
    machine: Machine,
    tolerances: Sequence[float] = TOLERANCES,
    rounds: int = 5,
    offline: float = 0.0,
) -> Iterator[MovesRow]:
    """Measure all policies after each change, by turns.

    Parameters
    ----------
    changes, machine
        What is planned.
    tolerances
        Of the near plans, one policy each.
    rounds
        Calls of each policy that are timed.
    offline
        Seconds that the planner with its migration gets, as a reference; 0 leaves it out.

    Yields
    ------
    Rows, change by change.
    """
    held: dict[bytes, np.ndarray] = {}
    for change in changes:
        key = change.earlier.tobytes()
        if key not in held:
            sizes = _sizes(machine)
            held[key] = rebalance_experts(change.earlier, *sizes, effort=EFFORT_IN_FORCE)[0]
        yield from _measured(change, machine, held[key], (tolerances, rounds, offline))


def _sizes(machine: Machine) -> tuple[int, int, int, int]:
    return machine.num_slots, machine.num_groups, machine.num_nodes, machine.num_gpus


def _measured(
    change: Change,
    machine: Machine,
    held: np.ndarray,
    asked: tuple[Sequence[float], int, float],
) -> Iterator[MovesRow]:
    tolerances, rounds, offline = asked
    problem = machine.problem(change.later)
    chosen = _policies(change.later, machine, held, tolerances)
    if offline:
        for tolerance in tolerances:
            chosen[f"planner {offline:g} s, {tolerance:.1%}"] = partial(
                _offline, problem, held, tolerance, offline
            )
    stay = evaluate(problem, held).objective
    yield from timed_rows(Scene(change.name, str(machine), problem, held, stay), chosen, rounds)


@dataclass(frozen=True, eq=False)
class Scene:
    """What policies are measured on.

    Parameters
    ----------
    change, machine
        For the table.
    problem
        What is planned; new plans are for its GPUs.
    held
        int64 [num_layers, num_slots], the map in force; -1 is an empty slot.
    stay
        Its largest GPU loads, float64 [num_layers]; None where it cannot stay.
    """

    change: str
    machine: str
    problem: Problem
    held: np.ndarray
    stay: np.ndarray | None


def timed_rows(scene: Scene, chosen: Mapping[str, Policy], rounds: int) -> Iterator[MovesRow]:
    """Call policies by turns; one row each.

    Parameters
    ----------
    scene
        What they are measured on.
    chosen
        Functions without arguments that return a map of the scene's GPUs, by name. A name that ends
        in a share is that of a policy that has to come so near to the bound.
    rounds
        Calls of each that are timed.
    """
    problem = scene.problem
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    placed: dict[str, np.ndarray] = {}
    for turn in range(rounds + 1):
        for name, policy in chosen.items():
            # The first call warms caches; one of the planner's is enough.
            if turn > 0 and name.startswith("planner"):
                continue
            waited, began = core_wait(), time.perf_counter()
            answer = policy()
            took, waited = time.perf_counter() - began, core_wait() - waited
            placed[name] = np.asarray(answer)
            if turn > 0 or name.startswith("planner"):
                times[name].append((took, waited))
    bound = np.array([float(b.value) for b in fast_bounds(problem)])
    bound *= [float(problem.unit(layer_idx)) for layer_idx in range(problem.num_layers)]
    for name, row in placed.items():
        gap = evaluate(problem, row).objective / bound
        _, _, share = name.rpartition(", ")
        limit = float(share[:-1]) / 100 if share.endswith("%") else np.inf
        plans = (Plan(p, problem.num_gpus, problem.num_experts) for p in (scene.held, row))
        kept = [took for took, waited in times[name] if waited <= NO_WAIT]
        yield MovesRow(
            scene.change,
            scene.machine,
            name,
            None if scene.stay is None else float(scene.stay.sum() / bound.sum()),
            float((gap * bound).sum() / bound.sum()),
            float(gap.max()),
            int((gap > 1 + limit + 1e-9).sum()),
            float(moved_slots(*plans).mean()),
            float(np.median(kept or [took for took, _ in times[name]])),
        )


def _policies(
    load: np.ndarray, machine: Machine, held: np.ndarray, tolerances: Sequence[float]
) -> dict[str, Policy]:
    from heuristics import HEURISTICS

    sizes = _sizes(machine)
    near = {
        f"near, {tolerance:.1%}": partial(
            _map_of, rebalance_experts, load, *sizes,
            current=held, move_tolerance=tolerance, effort=EFFORT,
        )
        for tolerance in tolerances
    }  # fmt: skip
    anew = partial(_map_of, rebalance_experts, load, *sizes, effort=EFFORT)
    return {
        YARDSTICK: partial(_map_of, HEURISTICS[YARDSTICK], load, *sizes),
        "ours, anew": anew,
        **near,
    }


def _map_of(policy: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    return policy(*arguments, **options)[0]


def _offline(problem: Problem, held: np.ndarray, tolerance: float, seconds: float) -> np.ndarray:
    result = plan(problem, time_limit=seconds, current=held, move_tolerance=tolerance)
    return result.plan.physical_to_logical
