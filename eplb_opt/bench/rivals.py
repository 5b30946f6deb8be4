"""The engines' own heuristics beside our drop-ins: time and gap, in one process.

The engines' released files are not part of this project. A folder holds them as their wheels do
(`vllm/distributed/eplb/...`, `sglang/srt/eplb/...`), for instance from ``pip download --no-deps``
and ``unzip``; only the modules that decide are imported, and nothing else of the engines.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.engines import sglang
from eplb_opt.engines.tensors import cpu_tensor
from eplb_opt.engines.vllm import EplbOptPolicy
from eplb_opt.errors import FormatError, ProblemError
from eplb_opt.planner.evaluate import evaluate, lower_bound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eplb_opt.io.files import PathLike
    from eplb_opt.problem.problem import Problem

    #: (weight [L, E], map in force [L, P], the problem) -> new map [L, P], all of them tensors.
    Program = Callable[[Any, Any, Problem], Any]

#: Where the engines' files are, for the tests and for calls that name no folder.
FOLDER_VARIABLE = "EPLB_OPT_ENGINE_FILES"
#: The modules that decide, and the packages that they stand in by name.
VLLM_POLICY = "vllm/distributed/eplb/policy"
SGLANG_ALGORITHMS = "sglang/srt/eplb/eplb_algorithms"


@dataclass(frozen=True)
class RivalRow:
    """One program on one problem.

    Parameters
    ----------
    name
        The program's name.
    seconds
        Median of a call.
    ratio
        Median over the rounds of the program's time divided by our drop-in's for the same engine
        (`beside`), both of the same round; 1 for the drop-in itself.
    gap
        Summed largest GPU loads over the summed lower bounds, minus 1.
    beside
        Name of that drop-in.
    """

    name: str
    seconds: float
    ratio: float
    gap: float
    beside: str


def find_engine_files(folder: PathLike | None = None) -> Path:
    """The folder with the engines' files: as given, else EPLB_OPT_ENGINE_FILES.

    Raises
    ------
    ProblemError
        When neither names a folder.
    """
    named = folder or os.environ.get(FOLDER_VARIABLE, "")
    if not named or not Path(named).is_dir():
        raise ProblemError(
            f"The engines' own files are needed: unzip the wheels of vLLM and SGLang into one "
            f"folder and name it, or set {FOLDER_VARIABLE} (now {os.fspath(named)!r})."
        )
    return Path(named)


def load_alone(folder: Path, package: str, module: str) -> ModuleType:
    """One module of an engine, imported without its package's __init__ and under another name.

    Parameters
    ----------
    folder
        The folder with the engines' files.
    package
        Path of its package in there; neighbours that it imports relatively are found.
    module
        Name of the module.

    Raises
    ------
    FormatError
        When there is no such file.
    """
    path = folder / package / f"{module}.py"
    if not path.is_file():
        raise FormatError(f"There is no {path}.")
    parent = "eplb_opt_rival_" + package.replace("/", "_")
    for name in [m for m in sys.modules if m.startswith(f"{parent}.")]:
        del sys.modules[name]  # of another folder, perhaps
    stand_in = ModuleType(parent)
    stand_in.__path__ = [str(path.parent)]
    sys.modules[parent] = stand_in
    name = f"{parent}.{module}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FormatError(f"{path} cannot be imported.")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def rival_programs(folder: PathLike | None = None) -> dict[str, Program]:
    """The engines' own heuristics, as far as the folder has them, by name."""
    files = find_engine_files(folder)
    makers = {"vllm": _vllm, "sglang": _sglang, "sglang vec": _sglang_vec}
    programs = {}
    for name, make in makers.items():
        try:
            programs[name] = make(files)
        except FormatError:
            continue  # only one engine may be there
    if not programs:
        raise FormatError(f"{files} holds neither vLLM's nor SGLang's files.")
    return programs


def our_programs(effort: int = 0) -> dict[str, Program]:
    """Our drop-ins by the engine they are for."""
    chosen = effort

    class Policy(EplbOptPolicy):
        effort = chosen

    def vllm(weight: Any, current: Any, problem: Problem) -> Any:
        return Policy.rebalance_experts(weight, *_numbers(problem), current)

    def for_sglang(weight: Any, current: Any, problem: Problem) -> Any:
        name = "deepseek_hierarchical" if problem.is_hierarchical else "deepseek"
        return sglang.rebalance_experts(weight[None], *_local(problem), name, effort=effort)[0]

    return {"vllm": vllm, "sglang": for_sglang}


def _vllm(files: Path) -> Program:
    policy = load_alone(files, VLLM_POLICY, "default").DefaultEplbPolicy

    def call(weight: Any, current: Any, problem: Problem) -> Any:
        return policy.rebalance_experts(weight, *_numbers(problem), current)

    return call


def _sglang(files: Path) -> Program:
    own = load_alone(files, SGLANG_ALGORITHMS, "deepseek").rebalance_experts

    def call(weight: Any, current: Any, problem: Problem) -> Any:
        # As SGLang's dispatcher does: it adds the steps first.
        return own(weight[None].sum(dim=0), *_numbers(problem), problem.is_hierarchical)[0]

    return call


def _sglang_vec(files: Path) -> Program:
    own = load_alone(files, SGLANG_ALGORITHMS, "deepseek_vec").rebalance_experts

    def call(weight: Any, current: Any, problem: Problem) -> Any:
        return own(weight[None], *_local(problem), problem.is_hierarchical)[0]

    return call


def _numbers(problem: Problem) -> tuple[int, int, int, int]:
    """Slots, groups, nodes, GPUs."""
    groups, nodes = (problem.num_groups, problem.num_nodes) if problem.is_hierarchical else (1, 1)
    return problem.num_slots, groups, nodes, problem.num_gpus


def _local(problem: Problem) -> tuple[int, int, int, int]:
    """Slots, slots a GPU, groups, nodes."""
    slots, groups, nodes, _ = _numbers(problem)
    return slots, problem.slots_per_gpu, groups, nodes


def compare(
    problem: Problem,
    *,
    folder: PathLike | None = None,
    rounds: int = 7,
    effort: int = 0,
    bound: np.ndarray | None = None,
) -> list[RivalRow]:
    """Run the engines' own heuristics and our drop-ins in turns, and compare.

    Each round calls every program once, in an order that turns by one a round, on the same tensors:
    the loads, and for vLLM the trivial map in force. A first round is not counted.

    Parameters
    ----------
    problem
        A problem with integer loads.
    folder
        The folder with the engines' files; None for EPLB_OPT_ENGINE_FILES.
    rounds
        How many are counted.
    effort
        Counted work of our drop-ins.
    bound
        [num_layers] lower bounds; by default those that cost nothing.

    Returns
    -------
    A row a program; ours first.

    Raises
    ------
    ProblemError, FormatError
        When the engines' files are not there.
    """
    rivals = rival_programs(folder)
    ours = {f"eplb-opt for {name}": call for name, call in our_programs(effort).items()}
    beside = {name: f"eplb-opt for {name.split()[0]}" for name in rivals} | {n: n for n in ours}
    times, maps = _run(ours | rivals, problem, rounds)
    lower = lower_bound(problem, time_limit=0.0) if bound is None else bound
    return [
        RivalRow(
            name,
            statistics.median(seconds),
            statistics.median(a / b for a, b in zip(seconds, times[beside[name]], strict=True)),
            float(evaluate(problem, maps[name]).objective.sum() / lower.sum() - 1),
            beside[name],
        )
        for name, seconds in times.items()
    ]


def _run(
    programs: Mapping[str, Program], problem: Problem, rounds: int
) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """Seconds of each program in each counted round, and its map."""
    weight = cpu_tensor(problem.load)
    trivial = np.arange(problem.num_slots) % problem.num_experts
    current = cpu_tensor(np.tile(trivial, (problem.num_layers, 1)))
    times: dict[str, list[float]] = {name: [] for name in programs}
    maps = {}
    names = list(programs)
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            began = time.perf_counter()
            placed = programs[name](weight, current, problem)
            took = time.perf_counter() - began
            if turn:
                times[name].append(took)
            maps[name] = np.asarray(placed)
    return times, maps
