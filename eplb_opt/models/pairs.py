"""Two slots a GPU: the exact optimum of one layer.

For given counts the heaviest replica meets the lightest, so the counts are the only decision. A
bisection over levels T (`pairs_search`) asks whether some counts reach T, a small integer program
(`pairs_options`). Its relaxation is made so strong (`pairs_lp`) that most levels out of reach fall
at the first node of a branch and bound (`pairs_tree`), with a proof in integers. CP-SAT finds
counts (`pairs_cpsat`), and decides where the tree does not.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.models.answer import ModelAnswer
from eplb_opt.models.door import worth_of_start
from eplb_opt.models.pairs_budget import Budget
from eplb_opt.models.pairs_counts import pair_up
from eplb_opt.models.pairs_cpsat import import_cp_model
from eplb_opt.models.pairs_lp import import_scipy
from eplb_opt.models.pairs_search import PairsParams, Search

if TYPE_CHECKING:
    from eplb_opt.deadline import Deadline
    from eplb_opt.problem import Problem

__all__ = ["PairsModel", "PairsParams"]


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
        """Solve one layer; see `LayerModel`. With `effort` the deadline is not looked at.

        A unit of effort is about a millisecond: a linear program counts 10, CP-SAT its
        deterministic time.
        """
        upper = worth_of_start(problem, start)
        if upper <= lower_bound:
            return ModelAnswer(start.copy(), lower_bound, message="the start meets the bound")
        budget = Budget(deadline, effort)
        refusal = self._refusal(problem, budget)
        if refusal:
            return ModelAnswer(None, Fraction(0), message=f"refused: {refusal}", refused=True)
        counts = np.bincount(start, minlength=problem.num_experts)
        search = Search(problem.load[0], counts, lower_bound, budget, self.params, seed)
        refusal = self._too_large(search.num_cells(), budget)
        if refusal:
            return ModelAnswer(None, Fraction(0), message=f"refused: {refusal}", refused=True)
        message = search.run()
        improved = search.upper < upper
        return ModelAnswer(
            pair_up(problem.load[0], search.counts).ravel() if improved else start.copy(),
            search.lower_bound,
            first_objective=upper,
            message=message,
            certificate=search.certificate(),
        )

    def _refusal(self, problem: Problem, budget: Budget) -> str:
        """Why the engine does not apply, or nothing."""
        if problem.slots_per_gpu != 2:
            return f"{problem.slots_per_gpu} slots a GPU; pairs takes 2"
        if problem.is_hierarchical or problem.colocation == "forbid":
            return "pairs takes flat problems in which replicas of an expert may share a GPU"
        loaded = {"scipy.optimize", "ortools"} <= set(sys.modules)
        if not loaded and budget.seconds < self.params.import_seconds:
            return f"loading the solvers takes {self.params.import_seconds} s, more than is left"
        import_scipy()
        import_cp_model()
        return ""

    def _too_large(self, num_cells: int, budget: Budget) -> str:
        """Why the layer is too large for the memory or the time, or nothing."""
        if num_cells > self.params.max_cells:
            return f"{num_cells} cells, more than {self.params.max_cells}"
        seconds = num_cells * self.params.seconds_per_cell
        if budget.seconds < seconds:
            return f"{num_cells} cells take about {seconds:.2f} s, more than is left"
        return ""
