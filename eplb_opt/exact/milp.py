"""The general model of one layer, of counts or of flows, solved through PuLP by a MILP backend.

References
----------
J. Forrest et al., "CBC (COIN-OR branch and cut)", https://github.com/coin-or/Cbc, 2024.
"""

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
from eplb_opt.exact.formulations import FORMULATIONS, AnyFormulation
from eplb_opt.exact.milp_process import run_in_process
from eplb_opt.exact.shared.answer import ModelAnswer
from eplb_opt.exact.shared.backend_log import LogFacts, read_log
from eplb_opt.exact.shared.constraints import UNLIMITED, LinearConstraints
from eplb_opt.exact.shared.scaling import ScaleLimits
from eplb_opt.exact.shared.start import start_value
from eplb_opt.placement.checker import check

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem

LIMITS = ScaleLimits(load=2**20, total=250_000)
#: PuLP's codes for the sense of a constraint.
AT_MOST, EQUAL, AT_LEAST = -1, 0, 1


@dataclass(frozen=True)
class MilpParams:
    """Settings of the model and its backend.

    Parameters
    ----------
    solver
        PuLP's name of the backend, as `pulp.listSolvers()` gives it; None for CBC, which comes with
        PuLP.
    limits
        The limits of a backend that computes in floats. With sizes that add up to 2.5e5, values
        that are 1e-6 off their integers change a GPU's load by a quarter of a unit at most.
    bound_margin
        What is subtracted from the backend's bound before it is rounded up, in units of the model;
        at least the quarter that `limits` allows.
    max_columns
        A model with more columns is refused.
    seconds_per_column, seconds_at_least
        Seconds for starting Python, building and writing the model; one that cannot be ready in the
        time left is refused.
    seconds_to_return
        Seconds kept back for reading the solution; the backend is told to stop by then, and ended
        at the deadline where it still runs.
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
    """A `LayerModel`: the general model of one layer, solved through PuLP in a process of its own.

    An optimal plan is a solution of the model in small integers, with a T of at most the scale
    times its true load (`scaling.Scale`). So a backend without rounding errors proves only true
    bounds. The errors of a real one come from its tolerances: with values within 1e-6 of integers
    and sizes within `MilpParams.limits` they stay below `bound_margin`, which is subtracted before
    the bound is rounded up. Rounding up is right because T is an integer; flows need not be
    integers here, which only relaxes the model of `flows.formulation`. This is an argument about
    the backend's stated tolerances and no certificate: unlike CP-SAT's, this bound trusts floats.

    Parameters
    ----------
    params
        The settings of the model.
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
        """Solve one layer as `LayerModel` describes; `effort` takes the place of the deadline."""
        if find_spec("pulp") is None:
            raise MissingDependency("pulp", "milp")
        upper = start_value(problem, start)
        if upper <= lower_bound:
            return ModelAnswer(start.copy(), lower_bound, message="the start meets the bound")
        functions = FORMULATIONS[problem.dispatch]
        choices = functions.list_choices(problem, upper)
        if not choices.loads.each:
            return ModelAnswer(start.copy(), upper, message="there is no load", finished=True)
        left = deadline.remaining if effort is None else float("inf")
        refusal = self._refusal(choices.num_columns, left)
        if refusal:
            return ModelAnswer(None, Fraction(0), message=refusal, refused=True)
        f = functions.formulate(choices, lower_bound, self.params.limits)
        rules = [rule(f) for rule in functions.rules]
        request = self._request(f, rules, functions.to_values(f, start), effort, seed)
        left = deadline.remaining if effort is None else float("inf")
        result, log = run_in_process(request, left, self.params.seconds_to_return)
        return self._answer(f, rules, result, log)

    def _refusal(self, size: int, left: float) -> str:
        """Why the model is not built; empty where it is."""
        if size > self.params.max_columns:
            return f"refused: {size} columns are more than max_columns={self.params.max_columns}"
        needed = self.params.seconds_at_least + size * self.params.seconds_per_column
        if left < needed:
            return f"refused: {size} columns take about {needed:.2f} s, more than is left"
        return ""

    def _request(
        self,
        f: AnyFormulation,
        rules: list[LinearConstraints],
        hint: np.ndarray,
        effort: int | None,
        seed: int,
    ) -> dict[str, Any]:
        return {
            "solver": self.params.solver,
            "objective": f.minimised,
            "lower": f.column_lower.tolist(),
            "upper": f.column_upper.tolist(),
            "continuous": f.flows.ravel().tolist() if isinstance(f, FlowFormulation) else [],
            "rows": [row for rows in rules for row in _signed(rows)],
            "hint": hint.tolist(),
            "max_nodes": None if effort is None else max(effort * self.params.effort_to_nodes, 1),
            "seed": seed % 2**31,
        }

    def _answer(
        self,
        f: AnyFormulation,
        rules: list[LinearConstraints],
        result: dict[str, Any] | None,
        log: str,
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
            first_objective=None if first is None else f.to_value(round(first)),
            message=facts.message,
        )

    def _proven(self, f: AnyFormulation, facts: LogFacts) -> Fraction:
        """The backend's bound less the margin of each T, rounded up, because T is an integer."""
        if facts.bound is None or not isfinite(facts.bound):
            return Fraction(0)
        units = ceil(facts.bound - self.params.bound_margin * sum(f.weight))
        return f.to_bound(max(units, f.lower_bound))


def _signed(rows: LinearConstraints) -> list[tuple[list[int], list[int], list[tuple[int, int]]]]:
    """LinearConstraints with their limits as (sign, right-hand side)."""
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
    f: AnyFormulation, rules: list[LinearConstraints], found: list[float] | None
) -> np.ndarray | None:
    """The plan of the backend's values, if these, rounded, obey every rule with the T they need."""
    if found is None:
        return None
    if isinstance(f, FlowFormulation):
        return _plan_of_hosts(f, np.array(found, dtype=np.float64))
    values = with_peaks(f, np.round(np.array(found, dtype=np.float64)).astype(np.int64))
    return to_plan(f, values) if all(rows.hold(values) for rows in rules) else None


def _plan_of_hosts(f: FlowFormulation, found: np.ndarray) -> np.ndarray | None:
    """The plan of the hosts in a solution of the flow model, if the checker accepts it."""
    placed = flow_plan(f, found)
    try:
        check(f.problem, placed[None, :])
    except PlanError:
        return None
    return placed
