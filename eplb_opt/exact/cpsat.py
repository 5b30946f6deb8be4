"""The general model of one layer, of counts or of flows, solved by CP-SAT of OR-Tools.

References
----------
L. Perron and F. Didier, "CP-SAT", Google OR-Tools,
https://developers.google.com/optimization/cp/cp_solver, 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.exact.formulations import FORMULATIONS, AnyFormulation
from eplb_opt.exact.shared.answer import ModelAnswer
from eplb_opt.exact.shared.ortools_backend import import_cp_model, make_solver
from eplb_opt.exact.shared.scaling import ScaleLimits
from eplb_opt.exact.shared.start import start_value

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.exact.counts.formulation import Choices
    from eplb_opt.exact.flows.formulation import HostChoices
    from eplb_opt.exact.shared.change import Change
    from eplb_opt.exact.shared.constraints import LinearConstraints
    from eplb_opt.problem.problem import Problem

LIMITS = ScaleLimits(load=2**30 - 1)
#: CP-SAT gives its bound, an integer, as a float64: a difference below this is noise.
BOUND_NOISE = 1e-4


@dataclass(frozen=True)
class CpSatParams:
    """Settings of the model and of CP-SAT.

    Parameters
    ----------
    num_workers
        CP-SAT's threads; with `effort` always one, which makes the answer reproducible.
    symmetry_level, linearization_level
        CP-SAT's parameters of these names. Its symmetry detection tends to drop a complete
        feasible hint on this model, so it is off.
    limits
        The limits of CP-SAT's integers; it is fastest where twice a GPU load fits 31 bits.
    max_columns
        A model with more columns is refused: it would take gigabytes.
    large_columns
        From this number of columns on, presolve and linear relaxations are left out: they take the
        time in which the start would be read, and prove nothing there.
    seconds_per_column, seconds_at_least
        Seconds for building and presolving on a slow core; a model that cannot be ready in the time
        left is refused.
    seconds_to_return, seconds_to_return_per_column
        Seconds kept back from CP-SAT, which looks at its clock only now and then.
    effort_to_time
        CP-SAT's deterministic time, in units of about a second, for one unit of effort.
    """

    num_workers: int = 1
    symmetry_level: int = 0
    linearization_level: int = 2
    limits: ScaleLimits = LIMITS
    max_columns: int = 1_500_000
    large_columns: int = 100_000
    seconds_per_column: float = 2e-5
    seconds_at_least: float = 0.05
    seconds_to_return: float = 0.02
    seconds_to_return_per_column: float = 1e-6
    effort_to_time: float = 1e-3


@dataclass(frozen=True)
class CpSatModel:
    """A `LayerModel`: the exact model of one layer, solved by CP-SAT.

    Its bound is proven: an optimal plan is among the model's solutions, its load in the model is at
    most the scale times its true one (`scaling.Scale`), and CP-SAT computes in integers. Under
    optimal dispatch `flows.formulation` says why the bound holds.

    Parameters
    ----------
    params
        The settings of the model.
    """

    params: CpSatParams = CpSatParams()

    def __call__(
        self,
        problem: Problem,
        start: np.ndarray,
        lower_bound: Fraction,
        deadline: Deadline,
        *,
        effort: int | None = None,
        seed: int = 0,
        change: Change | None = None,
    ) -> ModelAnswer:
        """Solve one layer as `LayerModel` describes; `effort` takes the place of the deadline.

        With `change`, only plans within its limit of moves count, and the start must be one.
        """
        upper = start_value(problem, start)
        if upper <= lower_bound:
            return ModelAnswer(start.copy(), lower_bound, message="the start meets the bound")
        choices = FORMULATIONS[problem.dispatch].list_choices(problem, upper)
        if not choices.loads.each:
            return ModelAnswer(start.copy(), upper, message="there is no load", finished=True)
        return self.solve(
            choices, start, lower_bound, deadline, effort=effort, seed=seed, change=change
        )

    def solve(
        self,
        choices: Choices | HostChoices,
        start: np.ndarray | None,
        lower_bound: Fraction,
        deadline: Deadline,
        *,
        effort: int | None = None,
        seed: int = 0,
        change: Change | None = None,
    ) -> ModelAnswer:
        """Solve the model of given choices.

        Where `change` has a limit on the plan's value, the moves are minimised and the answer's
        bound is one of moves. An answer that is finished and has no plan says that none exists.

        Parameters
        ----------
        choices
            What plans can have.
        start
            int64 [num_slots], a plan among the choices to begin with, or None.
        lower_bound, deadline, effort, seed
            As in `LayerModel`.
        change
            How plans are compared with the plan in force; None where they are not.
        """
        cp_model = import_cp_model()
        if choices.is_empty:
            return ModelAnswer(None, Fraction(0), message="the slots are too few", finished=True)
        refusal = self._refusal(choices, None if effort is not None else deadline)
        if refusal:
            return ModelAnswer(None, Fraction(0), message=refusal, refused=True)
        functions = FORMULATIONS[choices.problem.dispatch]
        f = functions.formulate(choices, lower_bound, self.params.limits, change)
        model = build(cp_model, f, None if start is None else functions.to_values(f, start))
        solver = make_solver(cp_model)
        self._set_search(solver.parameters, choices.num_columns)
        self._set_limits(solver.parameters, choices.num_columns, deadline, effort, seed)
        return _solve(cp_model, solver, model, f)

    def _refusal(self, choices: Choices | HostChoices, deadline: Deadline | None) -> str:
        """Why the model is not built; empty where it is."""
        size = choices.num_columns
        if size > self.params.max_columns:
            return f"refused: {size} columns are more than max_columns={self.params.max_columns}"
        needed = self.params.seconds_at_least + size * self.params.seconds_per_column
        if deadline is not None and deadline.remaining < needed:
            return f"refused: {size} columns take about {needed:.2f} s, more than is left"
        return ""

    def _set_search(self, parameters: Any, size: int) -> None:
        is_large = size >= self.params.large_columns
        parameters.log_search_progress = False
        parameters.symmetry_level = self.params.symmetry_level
        parameters.linearization_level = 0 if is_large else self.params.linearization_level
        parameters.cp_model_presolve = not is_large

    def _set_limits(
        self, parameters: Any, size: int, deadline: Deadline, effort: int | None, seed: int
    ) -> None:
        parameters.random_seed = seed % 2**31
        parameters.num_workers = self.params.num_workers if effort is None else 1
        if effort is not None:
            parameters.max_deterministic_time = effort * self.params.effort_to_time
        elif isfinite(deadline.at):
            kept = self.params.seconds_to_return + size * self.params.seconds_to_return_per_column
            parameters.max_time_in_seconds = max(deadline.remaining - kept, 0.0)


def build(cp_model: Any, f: AnyFormulation, hint: np.ndarray | None) -> Any:
    """The formulation as a `CpModel` of OR-Tools.

    Parameters
    ----------
    cp_model
        The module `ortools.sat.python.cp_model`.
    f
        The formulation.
    hint
        int64 [num_columns], a value for every column, or None.
    """
    model = cp_model.CpModel()
    proto = model.proto
    _add_columns(proto, f)
    for rule in FORMULATIONS[f.problem.dispatch].rules:
        _add_constraints(proto, rule(f))
    columns, coefficients = f.minimised
    proto.objective.vars.extend(columns)
    proto.objective.coeffs.extend(coefficients)
    if hint is not None:
        proto.solution_hint.vars.extend(range(len(hint)))
        proto.solution_hint.values.extend(hint.tolist())
    return model


def _add_columns(proto: Any, f: AnyFormulation) -> None:
    # Equal neighbours are added at once: column by column takes five times as long.
    domains = zip(f.column_lower.tolist(), f.column_upper.tolist(), strict=True)
    for domain, run in groupby(domains):
        first = proto.variables.add()
        first.domain.extend(domain)
        proto.variables.extend([first] * (sum(1 for _ in run) - 1))


def _add_constraints(proto: Any, rows: LinearConstraints) -> None:
    for columns, coefficients, lower, upper in rows.each():
        linear = proto.constraints.add().linear
        linear.vars.extend(columns)
        linear.coeffs.extend(coefficients)
        linear.domain.extend((lower, upper))


def _solve(cp_model: Any, solver: Any, model: Any, f: AnyFormulation) -> ModelAnswer:
    class FirstObjective(cp_model.CpSolverSolutionCallback):  # type: ignore[misc]
        units: int | None = None

        def on_solution_callback(self) -> None:
            if self.units is None:
                self.units = round(self.objective_value)

    first = FirstObjective()
    status = solver.solve(model, first)
    message = f"CP-SAT: {solver.status_name(status)}"
    if status in (cp_model.INFEASIBLE, cp_model.MODEL_INVALID):
        # A start is a solution, unless it breaks a rule or the given bound is above it.
        return ModelAnswer(
            None, Fraction(0), message=f"{message}; no plan fits, nor the start", finished=True
        )
    units = max(ceil(solver.best_objective_bound - BOUND_NOISE), f.lower_bound)
    found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    return ModelAnswer(
        physical_to_logical=FORMULATIONS[f.problem.dispatch].to_plan(f, _values(solver))
        if found
        else None,
        lower_bound=Fraction(units) if f.minimises_moves else f.to_bound(units),
        first_objective=None if first.units is None else _first(f, first.units),
        message=message,
        finished=status == cp_model.OPTIMAL,
    )


def _first(f: AnyFormulation, units: int) -> Fraction:
    return Fraction(units) if f.minimises_moves else f.to_value(units)


def _values(solver: Any) -> np.ndarray:
    return np.fromiter(solver.response_proto.solution, dtype=np.int64)
