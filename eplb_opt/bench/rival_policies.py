"""The engines' released code as policies of a replay, beside ours in the same run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench.rivals import rival_programs
from eplb_opt.engines.tensors import cpu_tensor
from eplb_opt.workloads.replay import Policy

if TYPE_CHECKING:
    from eplb_opt.bench.rivals import Program
    from eplb_opt.io.files import PathLike
    from eplb_opt.problem.problem import Problem
    from eplb_opt.workloads.replay import ReplanLimits


def rival_policies(folder: PathLike) -> dict[str, Policy]:
    """Policies that run what an engine has released, by the engine's name.

    They plan from the last window, as the engines do, and get the plan in force where their engine
    passes it.

    Parameters
    ----------
    folder
        The engines' files, see `eplb_opt.bench.rivals`. They are Python files, and are run.

    Raises
    ------
    ProblemError, FormatError
        When there is no such folder, or neither engine's files are in it.
    """
    return {name: _policy(program) for name, program in rival_programs(folder).items()}


def _policy(program: Program) -> Policy:
    def make(problem: Problem, current: np.ndarray | None, limits: ReplanLimits) -> np.ndarray:
        if current is None:  # an engine starts with its experts in order
            order = np.arange(problem.num_slots) % problem.num_experts
            current = np.tile(order, (problem.num_layers, 1))
        placed = program(cpu_tensor(problem.load), cpu_tensor(current), problem)
        return np.asarray(placed)

    return Policy(planner=make, is_heuristic=True)
