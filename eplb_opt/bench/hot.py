"""The hot path beside its rivals: all in one process, one after the other, again and again."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bench import rivals
from eplb_opt.bench.families import family_loads
from eplb_opt.bench.generator import generate_loads
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.clock import core_wait
from eplb_opt.engines.serving.call import rebalance
from eplb_opt.errors import import_optional
from eplb_opt.planner.evaluate import evaluate
from eplb_opt.problem.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eplb_opt.io.files import PathLike
    from eplb_opt.problem.problem import Problem

    Policy = Callable[[Any, int, int, int, int], Any]

#: Seconds that the hot path is given.
LIMITS = (0.0003, 0.001, 0.002, 0.005, 0.02)
#: Whom gaps are compared with.
YARDSTICK = "swap_refine"
#: A rival that has taken this number of seconds sits out the further rounds of a configuration.
PATIENCE = 2.0
#: Seconds without a core that a wake-up costs at all times.
NO_WAIT = 5e-5


@dataclass(frozen=True)
class Model:
    """Loads to plan for: a family of `families` or a profile of `generator`."""

    loads: str
    num_layers: int = 58
    num_experts: int = 256

    def load(self) -> np.ndarray:
        """Int64 [num_layers, num_experts]."""
        make = generate_loads if self.loads in PROFILED else family_loads
        return make(self.loads, self.num_layers, self.num_experts, 0)


PROFILED = {"deepseek-v3", "deepseek-v2-lite", "gpt-oss", "kimi-k2"}

#: Four slots a GPU and more, flat and hierarchical: 31 configurations.
CONFIGURATIONS: tuple[tuple[Model, Machine], ...] = (
    *(
        (Model(loads), Machine.parse(machine))
        for loads in ("lognormal-0.5", "lognormal-1.0", "zipf-0.8", "deepseek-v3")
        for machine in ("272x16", "288x32", "320x32", "288x48", "320x64", "288x72")
    ),
    (Model("deepseek-v2-lite", 94, 128), Machine.parse("144x16")),
    (Model("deepseek-v2-lite", 94, 128), Machine.parse("160x32")),
    (Model("gpt-oss", 36, 128), Machine.parse("136x8")),
    (Model("kimi-k2", 60, 384), Machine.parse("416x32")),
    (Model("kimi-k2", 60, 384), Machine.parse("480x96")),
    (Model("lognormal-1.0"), Machine.parse("288x32/4/8")),
    (Model("deepseek-v3"), Machine.parse("288x32/4/8")),
)
#: Shown beside them, outside the mean: two slots a GPU.
PAIRS: tuple[tuple[Model, Machine], ...] = tuple(
    (Model(loads), Machine.parse("288x144")) for loads in ("lognormal-0.5", "deepseek-v3")
)
#: What the headlines of the field are about.
HEADLINE = (Model("deepseek-v3"), Machine.parse("288x32"))


@dataclass(frozen=True)
class PolicyRow:
    """One policy on one configuration.

    Parameters
    ----------
    loads, machine
        The configuration: whose loads, and slots and GPUs as `Machine.parse` reads them.
    slots_per_gpu
        Slots of each GPU.
    policy
        A key of `policies`.
    rounds, kept
        Calls made, and those of them that never waited for a core; the medians are over the
        kept ones where there are any.
    seconds
        Median duration of a call.
    gap
        Median over those calls of the model's gap: the layers' largest GPU loads, summed, over the
        sum of their bounds, less 1.
    """

    loads: str
    machine: str
    slots_per_gpu: int
    policy: str
    rounds: int
    kept: int
    seconds: float
    gap: float


def policies(
    limits: Sequence[float] = LIMITS, engine_files: PathLike | None = None
) -> dict[str, Policy]:
    """Every rival and ours, by name.

    Parameters
    ----------
    limits
        Seconds that our call is given, a policy each.
    engine_files
        As of `engine_policies`.
    """
    from heuristics import HEURISTICS

    ours = {f"ours {1000 * limit:g} ms": partial(rebalance, time_limit=limit) for limit in limits}
    return {**HEURISTICS, **engine_policies(engine_files), **ours}


def engine_policies(engine_files: PathLike | None = None) -> dict[str, Policy]:
    """The engines' own programs, where there are any.

    Parameters
    ----------
    engine_files
        The folder with their files; None for the one that `rivals.FOLDER_VARIABLE` names, if any.
    """
    if engine_files is None and not os.environ.get(rivals.FOLDER_VARIABLE):
        return {}
    programs = rivals.rival_programs(engine_files)
    return {name: _as_policy(program) for name, program in programs.items()}


def _as_policy(program: Callable[[Any, Any, Problem], Any]) -> Policy:
    """A program that wants the problem and the map in force, as one that wants the sizes.

    Both are made at the first call for some loads, which no measurement counts.
    """
    held: dict[Any, tuple[Any, Problem]] = {}

    def policy(weight: Any, *sizes: int) -> tuple[Any]:
        key = id(weight), sizes
        if key not in held:
            held.clear()
            problem = Machine(sizes[0], sizes[3], sizes[2], sizes[1]).problem(weight)
            held[key] = rebalance(weight, *sizes, effort=0)[0], problem
        return (program(weight, *held[key]),)

    return policy


def measure(
    model: Model, machine: Machine, chosen: dict[str, Policy], rounds: int
) -> Iterator[PolicyRow]:
    """Run the policies in turns on one core, tensors in, and score every plan exactly.

    Yields
    ------
    A row a policy. A policy whose package is missing is left out.
    """
    load = model.load()
    weight, set_threads = _as_tensor(load)
    problem = machine.problem(load)
    bounds = fast_bounds(problem)
    samples: dict[str, list[tuple[float, float, float]]] = {name: [] for name in chosen}
    last: dict[str, np.ndarray] = {}
    sizes = machine.num_slots, machine.num_groups, machine.num_nodes, machine.num_gpus
    set_threads(1)
    for turn in range(rounds + 1):
        for name, policy in chosen.items():
            if sum(sample[0] for sample in samples[name]) > PATIENCE:
                continue
            waited, began = core_wait(), time.perf_counter()
            try:
                placed = np.asarray(policy(weight, *sizes)[0])
            except ImportError:
                continue
            took, waited = time.perf_counter() - began, core_wait() - waited
            if turn == 0:  # the first call warms caches
                continue
            if name in last and (placed == last[name]).all():
                gap = samples[name][-1][2]
            else:
                gap = evaluate(problem, placed, bounds).model_gap
            last[name] = placed
            samples[name].append((took, waited, gap))
    for name, made in samples.items():
        if made:
            kept = [sample for sample in made if sample[1] <= NO_WAIT]
            seconds, _, gap = np.median(kept or made, axis=0).tolist()
            yield PolicyRow(
                model.loads,
                str(machine),
                problem.slots_per_gpu,
                name,
                len(made),
                len(kept),
                seconds,
                gap,
            )


def _as_tensor(load: np.ndarray) -> tuple[Any, Callable[[int], None]]:
    """The loads as engines hold them, float32 in torch, and torch's switch for threads."""
    torch = import_optional("torch", "heuristics")
    return torch.from_numpy(load.astype(np.float32)), torch.set_num_threads


def gap_ratios(rows: Sequence[PolicyRow], policy: str) -> dict[tuple[str, str], float]:
    """The yardstick's gap over a policy's, by configuration of four slots a GPU and more."""
    gaps = {(r.loads, r.machine, r.policy): r.gap for r in rows if r.slots_per_gpu >= 4}
    return {
        (loads, machine): gap / max(gaps[loads, machine, policy], np.finfo(float).tiny)
        for (loads, machine, name), gap in gaps.items()
        if name == YARDSTICK and (loads, machine, policy) in gaps
    }


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean of positive numbers; NaN of none."""
    return float(np.exp(np.mean(np.log(values)))) if len(values) else float("nan")
