"""Two slots a GPU: the exact optimum of one layer.

For given counts the heaviest replica meets the lightest, so the counts are the only decision. A
bisection over levels T (`pairs_search`) asks whether some counts reach T, a small integer program
(`pairs_options`). Its relaxation is made so strong that most levels out of reach fall within some
nodes of a branch and bound (`pairs_tree`), with a proof in integers. Compiled ascents solve it
(`pairs_dual`), or linear programs where numba is missing (`pairs_lp`). Moves of replicas
(`pairs_moves`) and CP-SAT (`pairs_cpsat`) find counts; CP-SAT decides where the tree does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.models.answer import ModelAnswer
from eplb_opt.models.door import worth_of_start
from eplb_opt.models.ortools_solver import import_cp_model
from eplb_opt.models.pairs_budget import Budget
from eplb_opt.models.pairs_counts import pair_up
from eplb_opt.models.pairs_lp import import_scipy
from eplb_opt.models.pairs_params import PairsParams
from eplb_opt.models.pairs_search import Search
from eplb_opt.solvers import load_solvers, solvers_are_loaded

if TYPE_CHECKING:
    from eplb_opt.deadline import Deadline
    from eplb_opt.problem import Problem

#: An ascent goes through the table so many times as fast as a linear program is set up.
COMPILED_SPEED = 50

__all__ = ["PairsLayer", "PairsModel", "PairsParams"]


@dataclass(frozen=True, eq=False)
class PairsModel:
    """A `LayerModel`: the exact optimum of a flat layer with two slots a GPU.

    Parameters
    ----------
    params
        Settings.
    """

    params: PairsParams = field(default_factory=PairsParams)

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
        layer = PairsLayer(problem, self.params, seed)
        return layer.run(start, lower_bound, deadline, effort)


class PairsLayer:
    """The engine on one layer; every call goes on where the last one stopped.

    Parameters
    ----------
    problem
        Of one layer.
    params
        Settings.
    seed
        Of CP-SAT's randomness.
    """

    def __init__(self, problem: Problem, params: PairsParams, seed: int = 0) -> None:
        self.problem = problem
        self.params = params
        self.seed = seed
        self.is_compiled = params.compiled and find_spec("numba") is not None
        self._search: Search | None = None

    def run(
        self, start: np.ndarray, lower_bound: Fraction, deadline: Deadline, effort: int | None
    ) -> ModelAnswer:
        """Another turn, from the best plan and bound that anyone knows.

        Parameters
        ----------
        start
            int64 [num_slots], a plan that fits.
        lower_bound
            Proven, in integer units.
        deadline
            Of the turn; not looked at with `effort`.
        effort
            Counted work of the turn: a unit is about a millisecond. An ascent counts 1, a linear
            program 10, CP-SAT its deterministic time.
        """
        upper = worth_of_start(self.problem, start)
        if upper <= lower_bound:
            return ModelAnswer(start.copy(), lower_bound, message="the start meets the bound")
        budget = Budget(deadline, effort)
        refusal = self._refusal(budget) or self._prepare(start, lower_bound, budget)
        search = self._search
        if refusal or search is None:
            return ModelAnswer(None, Fraction(0), message=f"refused: {refusal}", refused=True)
        message = search.run()
        improved = search.upper < upper
        load = self.problem.load[0]
        return ModelAnswer(
            pair_up(load, search.counts).ravel() if improved else start.copy(),
            search.lower_bound,
            first_objective=upper,
            message=message,
            certificate=search.certificate(),
        )

    def _prepare(self, start: np.ndarray, lower_bound: Fraction, budget: Budget) -> str:
        """Tell the search what is new; why the layer is too large, or nothing."""
        counts = np.bincount(start, minlength=self.problem.num_experts)
        search = self._search
        if search is None:
            load = self.problem.load[0]
            search = Search(load, counts, lower_bound, budget, self.params, self.seed)
            refusal = self._too_large(search.num_cells(), budget)
            if refusal:
                return refusal
            search.is_compiled = self.is_compiled
            self._search = search
        else:
            search.budget.renew(budget.deadline, budget.effort)
            search.offer(counts)
            search.raise_bound(lower_bound)
        search.with_solvers = self._with_solvers(budget)
        return ""

    def _with_solvers(self, budget: Budget) -> bool:
        """Whether CP-SAT may be asked: loaded, or time for that."""
        if not solvers_are_loaded():
            if budget.seconds < self.params.import_seconds:
                return False
            load_solvers()
        return not self.is_compiled or find_spec("ortools") is not None

    def _refusal(self, budget: Budget) -> str:
        """Why the engine does not apply, or nothing."""
        problem = self.problem
        if problem.slots_per_gpu != 2:
            return f"{problem.slots_per_gpu} slots a GPU; pairs takes 2"
        if problem.is_hierarchical or problem.colocation == "forbid":
            return "pairs takes flat problems in which replicas of an expert may share a GPU"
        if self.is_compiled:
            return ""
        if not solvers_are_loaded() and budget.seconds < self.params.import_seconds:
            return f"loading the solvers takes {self.params.import_seconds} s, more than is left"
        import_scipy()
        import_cp_model()
        return ""

    def _too_large(self, num_cells: int, budget: Budget) -> str:
        """Why the layer is too large for the memory or the time, or nothing."""
        if num_cells > self.params.max_cells:
            return f"{num_cells} cells, more than {self.params.max_cells}"
        seconds = num_cells * self.params.seconds_per_cell
        if self.is_compiled:
            seconds /= COMPILED_SPEED
        if budget.seconds < seconds:
            return f"{num_cells} cells take about {seconds:.2f} s, more than is left"
        return ""
