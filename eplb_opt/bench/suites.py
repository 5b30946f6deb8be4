"""Suites of stored instances: every method on each, side by side in one process."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench import best_known
from eplb_opt.bench.instance_rows import KINDS
from eplb_opt.bench.ledger import LedgerRow, Setting
from eplb_opt.bench.methods import (
    OURS,
    by_engine,
    by_heuristic,
    by_model,
    by_planner,
    check_names,
)
from eplb_opt.bench.rivals import rival_programs
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.errors import PlanError
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.rounding import round_down, round_up
from eplb_opt.result import ObjectiveBounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eplb_opt.bench.instance import Instance
    from eplb_opt.bench.methods import Found
    from eplb_opt.io.files import PathLike
    from eplb_opt.problem.problem import Problem

#: Kinds of instances of each suite.
SUITE_KINDS = {
    "quality": ("slots", "skews", "optimal"),
    "robust": ("workloads",),
    "topology": ("priced",),
}


@dataclass(frozen=True)
class Asked:
    """Who takes part, and how.

    Parameters
    ----------
    limits
        Seconds; our planner and the models have a row for each.
    models
        Names in `exact.MODELS`; they take no part where off-home load has a price, which they do
        not know.
    heuristics
        Names in `heuristics.HEURISTICS`.
    seeds
        Of our planner and the models, a row for each.
    engine_files
        Folder with the engines' released files, see `rivals`; None leaves them out.
    """

    limits: Sequence[float] = (1.0,)
    models: Sequence[str] = ()
    heuristics: Sequence[str] = ()
    seeds: Sequence[int] = (0,)
    engine_files: PathLike | None = None


def suite_names(suite: str) -> list[str]:
    """Names of a suite's instances.

    Parameters
    ----------
    suite
        A key of `SUITE_KINDS`.
    """
    return [instance.name for kind in SUITE_KINDS[suite] for instance in KINDS[kind]]


def suite_rows(suite: str, instances: Sequence[Instance], asked: Asked) -> Iterator[LedgerRow]:
    """Every method on every instance, one after the other.

    Parameters
    ----------
    suite
        A key of `SUITE_KINDS`, for the rows.
    instances
        Stored instances without a limit on moves.
    asked
        Who takes part.

    Yields
    ------
    Rows, instance by instance; the gap is to the best bound that the library knows.

    Raises
    ------
    ProblemError, MissingDependency, FormatError
        Before anything is planned: for an unknown name, a package or files that are not there.
    """
    check_names(asked.models, asked.heuristics)
    if asked.engine_files is not None:
        rival_programs(asked.engine_files)
    setting = Setting.now()
    for instance in instances:
        problem = instance.problem()
        bound = best_bound(instance, problem)
        for method, limit, seed, call in _calls(problem, asked):
            row = LedgerRow(setting, suite, instance.name, method, seed, limit)
            yield scored(row, problem, call(), bound)


def best_bound(instance: Instance, problem: Problem) -> Fraction:
    """The best bound known, summed over the layers; what needs no solver where none is stored."""
    known = best_known.load_best_known(instance.folder)[instance.name]
    values = [layer.lower_bound.value for layer in known]
    return sum(values or [bound.value for bound in fast_bounds(problem)], Fraction(0))


def scored(row: LedgerRow, problem: Problem, found: Found, bound: Fraction) -> LedgerRow:
    """The row of what a method made, checked and scored exactly.

    Parameters
    ----------
    row
        Who made it, of which case.
    problem
        What was planned.
    found
        What was made.
    bound
        Sum of the layers' bounds.

    Returns
    -------
    The row; without objective and gap where the plan breaks a rule.
    """
    measured = {
        "seconds": round(found.seconds, 6),
        "cpu_seconds": round(found.cpu_seconds, 6),
        "peak_bytes": found.peak_bytes,
        "proven": found.proven,
        "layers": problem.num_layers,
        "bound": round_down(bound),
        "note": found.note,
    }
    plan = Plan(found.placed, problem.num_gpus, problem.num_experts)
    told = row.__dict__ | measured
    try:
        plan.check(problem)
    except PlanError as error:
        return LedgerRow(**told | {"note": f"breaks a rule: {error}"})
    total = sum(plan.objectives(problem), Fraction(0))
    gap = ObjectiveBounds(total, bound).gap
    reached = {"objective": round_up(total), "gap": gap if np.isfinite(gap) else None}
    return LedgerRow(**told | reached)


def released_name(program: str, folder: Path) -> str:
    """What an engine's released program is called, with its version where the wheel's files say it.

    Parameters
    ----------
    program
        A key of `rivals.rival_programs`; its first word is the engine.
    folder
        The folder with the engines' files.
    """
    engine = program.split()[0]
    found = sorted(folder.glob(f"{engine}-*.dist-info"))
    version = f" {found[-1].name.removesuffix('.dist-info').split('-')[1]}" if found else ""
    return f"{program}{version}, released"


def _calls(
    problem: Problem, asked: Asked
) -> Iterator[tuple[str, float | None, int | None, Callable[[], Found]]]:
    for name in asked.heuristics:
        yield name, None, None, partial(by_heuristic, problem, name)
    if asked.engine_files is not None and not problem.has_scenarios:
        for name, program in rival_programs(asked.engine_files).items():
            released = released_name(name, Path(asked.engine_files))
            yield released, None, None, partial(by_engine, problem, program)
    for limit in asked.limits:
        for seed in asked.seeds:
            yield OURS, limit, seed, partial(by_planner, problem, limit, seed)
            for name in () if problem.has_topology else asked.models:
                yield f"{name} alone", limit, seed, partial(by_model, problem, name, limit, seed)
