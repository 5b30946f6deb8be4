"""The exact model, of counts or of flows, solved through PuLP, by any solver that its user has."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import MissingDependency, PlanError, ProblemError
from eplb_opt.exact.counts.values import to_plan, with_peaks
from eplb_opt.exact.flows.formulation import FlowFormulation
from eplb_opt.exact.flows.values import flow_plan
from eplb_opt.exact.forms import FORMS, AnyFormulation
from eplb_opt.exact.milp_process import run_apart
from eplb_opt.exact.shared.answer import ModelAnswer
from eplb_opt.exact.shared.rows import UNLIMITED, Rows
from eplb_opt.exact.shared.scaling import ScaleLimits
from eplb_opt.exact.shared.solver_log import LogFacts, read_log
from eplb_opt.exact.shared.start import worth_of_any_start
from eplb_opt.placement.checker import check

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem

LIMITS = ScaleLimits(load=2**20, total=250_000)
#: PuLP's signs of a constraint.
AT_MOST, EQUAL, AT_LEAST = -1, 0, 1


@dataclass(frozen=True)
class MilpParams:
    """Settings of the model and its solver.

    Parameters
    ----------
    solver
        PuLP's name of a solver, as `pulp.listSolvers()` gives it; None for CBC, which comes with
        PuLP.
    limits
        Of a solver that computes in floats. With sizes that add up to 2.5e5, values that are 1e-6
        off their integers put a GPU's load off by a quarter of a unit at most.
    bound_margin
        Taken off the solver's bound before it is rounded up, in units of the model; at least the
        quarter that `limits` allows.
    max_columns
        A model with more is refused.
    seconds_per_column, seconds_at_least
        For starting Python, building, and writing the model; one that cannot be ready in the time
        left is refused.
    seconds_to_return
        Kept back for reading the solution; the solver is told to stop by then, and what still
        runs at the deadline is ended.
    effort_to_nodes
        Nodes of branch and bound for one unit of effort.
    """

    solver: str | None = None
    limits: ScaleLimits = LIMITS
    bound_margin: float = 0.25
    max_columns: int = 100_000
    seconds_per_column: float = 1e-4
    seconds_at_least: float = 0.5
    seconds_to_return: float = 0.15
    effort_to_nodes: int = 1


@dataclass(frozen=True)
class MilpModel:
    """A `LayerModel`: the exact model of one layer, solved through PuLP in a process of its own.

    An optimal plan is a solution of the model in small integers, with a T of at most the scale
    times its true load (see `scaling.Scale`). So a solver without rounding errors proves only
    true bounds. Those of a real one come from its tolerances: with values within 1e-6 of integers
    and the sizes that `MilpParams.limits` allows they stay below `bound_margin`, which is
    taken off before rounding up, as T is an integer (flows need not be, and the bound that
    `flow_formulation` argues for holds all the more). That is an argument about the solver's
    stated tolerances and not a certificate: unlike CP-SAT's, this bound trusts float arithmetic.

    Parameters
    ----------
    params
        Settings.
    """

    params: MilpParams = MilpParams()

    def __call__(
        self,
        problem: Problem,
        start: np.ndarray,
        lower_bound: Fraction,
        deadline: Deadline,
        *,
        effort: int | None = None,
        seed: int = 0,
    ) -> ModelAnswer:
        """Solve one layer; see `LayerModel`. With `effort` the deadline is not looked at."""
        if find_spec("pulp") is None:
            raise MissingDependency("pulp", "milp")
        upper = worth_of_any_start(problem, start)
        if upper <= lower_bound:
            return ModelAnswer(start.copy(), lower_bound, message="the start meets the bound")
        form = FORMS[problem.dispatch]
        choices = form.list_choices(problem, upper)
        if not choices.loads.each:
            return ModelAnswer(start.copy(), upper, message="there is no load", finished=True)
        left = deadline.remaining if effort is None else float("inf")
        refusal = self._refusal(choices.num_columns, left)
        if refusal:
            return ModelAnswer(None, Fraction(0), message=refusal, refused=True)
        f = form.formulate(choices, lower_bound, self.params.limits)
        rules = [rule(f) for rule in form.rules]
        task = self._task(f, rules, form.to_values(f, start), effort, seed)
        left = deadline.remaining if effort is None else float("inf")
        result, log = run_apart(task, left, self.params.seconds_to_return)
        return self._answer(f, rules, result, log)

    def _refusal(self, size: int, left: float) -> str:
        """Why the model is not built, or nothing."""
        if size > self.params.max_columns:
            return f"refused: {size} columns are more than max_columns={self.params.max_columns}"
        needed = self.params.seconds_at_least + size * self.params.seconds_per_column
        if left < needed:
            return f"refused: {size} columns take about {needed:.2f} s, more than is left"
        return ""

    def _task(
        self, f: AnyFormulation, rules: list[Rows], hint: np.ndarray, effort: int | None, seed: int
    ) -> dict[str, Any]:
        return {
            "solver": self.params.solver,
            "objective": f.objective,
            "lower": f.column_lower.tolist(),
            "upper": f.column_upper.tolist(),
            "continuous": f.flows.ravel().tolist() if isinstance(f, FlowFormulation) else [],
            "rows": [row for rows in rules for row in _signed(rows)],
            "hint": hint.tolist(),
            "max_nodes": None if effort is None else max(effort * self.params.effort_to_nodes, 1),
            "seed": seed % 2**31,
        }

    def _answer(
        self, f: AnyFormulation, rules: list[Rows], result: dict[str, Any] | None, log: str
    ) -> ModelAnswer:
        if result is None:
            return ModelAnswer(None, Fraction(0), message="the solver was ended at the deadline")
        if "refused" in result:
            raise ProblemError(result["refused"])
        facts = read_log(result["solver"], log)
        first = facts.first_objective
        return ModelAnswer(
            physical_to_logical=_checked_plan(f, rules, result["values"]),
            lower_bound=self._proven(f, facts),
            first_objective=None if first is None else f.to_load(round(first)),
            message=facts.message,
        )

    def _proven(self, f: AnyFormulation, facts: LogFacts) -> Fraction:
        """The bound of the log, less each T's margin, rounded up: T is an integer in every plan."""
        if facts.bound is None or not isfinite(facts.bound):
            return Fraction(0)
        units = ceil(facts.bound - self.params.bound_margin * sum(f.weight))
        return f.to_bound(max(units, f.lower_bound))


def _signed(rows: Rows) -> list[tuple[list[int], list[int], list[tuple[int, int]]]]:
    """Rows with their limits as (sign, right-hand side)."""
    signed = []
    for columns, coefficients, lower, upper in rows.each():
        senses = [(EQUAL, lower)] if lower == upper else []
        if lower != upper and lower > -UNLIMITED:
            senses.append((AT_LEAST, lower))
        if lower != upper and upper < UNLIMITED:
            senses.append((AT_MOST, upper))
        signed.append((columns, coefficients, senses))
    return signed


def _checked_plan(
    f: AnyFormulation, rules: list[Rows], found: list[float] | None
) -> np.ndarray | None:
    """The solver's plan, if its values, rounded, obey every rule with the T that they need."""
    if found is None:
        return None
    if isinstance(f, FlowFormulation):
        return _plan_of_hosts(f, np.array(found, dtype=np.float64))
    values = with_peaks(f, np.round(np.array(found, dtype=np.float64)).astype(np.int64))
    return to_plan(f, values) if all(rows.hold(values) for rows in rules) else None


def _plan_of_hosts(f: FlowFormulation, found: np.ndarray) -> np.ndarray | None:
    """The same of the flow model: its hosts alone are read, and the checker asked."""
    placed = flow_plan(f, found)
    try:
        check(f.problem, placed[None, :])
    except PlanError:
        return None
    return placed
