"""Two slots a GPU: the exact optimum of one layer.

For given counts the heaviest replica meets the lightest, so the counts are the only decision. A
bisection over levels T (`pairs_search`) asks whether some counts reach T, a small integer program.
Its relaxation is made so strong that levels out of reach fall within some nodes of a branch and
bound (`pairs_tree`, in the core), with a proof in integers. Moves of replicas (in the core, too)
find counts. Levels that branches leave open are decided by dynamic programming (in the core) or, in
the last place and under a clock only, by CP-SAT (`pairs_cpsat`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.exact.pairs.bisection import Search
from eplb_opt.exact.pairs.budget import Budget
from eplb_opt.exact.pairs.counts import pair_up
from eplb_opt.exact.pairs.params import PairsParams
from eplb_opt.exact.shared.answer import ModelAnswer
from eplb_opt.exact.shared.start import worth_of_start

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem

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
        """Solve one layer; see `LayerModel`. Nothing is random, and `seed` changes nothing.

        With `effort` the deadline is not looked at.
        """
        layer = PairsLayer(problem, self.params)
        return layer.run(start, lower_bound, deadline, effort)


class PairsLayer:
    """The engine on one layer; every call goes on where the last one stopped.

    Parameters
    ----------
    problem
        Of one layer.
    params
        Settings.
    """

    def __init__(self, problem: Problem, params: PairsParams) -> None:
        self.problem = problem
        self.params = params
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
            Counted work of the turn: a unit is about a millisecond, four ascents of prices or six
            moves of replicas.
        """
        upper = worth_of_start(self.problem, start)
        if upper <= lower_bound:
            return ModelAnswer(start.copy(), lower_bound, message="the start meets the bound")
        budget = Budget(deadline, effort)
        refusal = self._refusal() or self._prepare(start, lower_bound, budget)
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
            search = Search(load, counts, lower_bound, budget, self.params)
            num_options = search.num_options()
            if num_options > self.params.max_options:
                return f"{num_options} options, more than {self.params.max_options}"
        else:
            search.budget.renew(budget.deadline, budget.effort)
            search.offer(counts)
            search.raise_bound(lower_bound)
        # With counted work the answer must not depend on the version of OR-Tools.
        search.asks_cpsat = budget.effort is None and find_spec("ortools") is not None
        self._search = search
        return ""

    @property
    def waits_for_solvers(self) -> bool:
        """Whether the next turn needs OR-Tools."""
        return self._search is not None and self._search.waits_for_cpsat

    def _refusal(self) -> str:
        """Why the engine does not apply, or nothing."""
        problem = self.problem
        if problem.slots_per_gpu != 2:
            return f"{problem.slots_per_gpu} slots a GPU; pairs takes 2"
        if problem.is_hierarchical or problem.colocation == "forbid":
            return "pairs takes flat problems in which replicas of an expert may share a GPU"
        return ""
