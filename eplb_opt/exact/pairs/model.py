"""The exact model for two slots a GPU.

For given counts the best plan pairs the heaviest replica with the lightest, so the counts are the
only decision. A bisection over levels T (`bisection`) asks whether some counts reach T, which is a
small integer program. Its relaxation is so strong that most levels that no counts reach are refuted
within some nodes of a branch and bound (`tree`, in the core), with a proof in integers. Moves of
replicas (in the core) find better counts. Levels that stay open are decided by dynamic programming
(in the core) or, in the last place and under a clock only, by CP-SAT (`cpsat`).

References
----------
M. L. Fisher, "The Lagrangian relaxation method for solving integer programming problems",
Management Science 27, 1981.
D. Erlenkotter, "A dual-based procedure for uncapacitated facility location", Operations Research
26, 1978 (dual ascent).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.exact.pairs.bisection import LevelBisection
from eplb_opt.exact.pairs.counts import pair_up
from eplb_opt.exact.pairs.params import PairsParams
from eplb_opt.exact.pairs.work_limit import WorkLimit
from eplb_opt.exact.shared.answer import ModelAnswer
from eplb_opt.exact.shared.start import plain_start_value

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
        The settings of the model.
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
        """Solve one layer as `LayerModel` describes. `effort` takes the place of the deadline.

        Nothing is random: `seed` has no effect.
        """
        layer = PairsLayer(problem, self.params)
        return layer.run(start, lower_bound, deadline, effort)


class PairsLayer:
    """The search on one layer; every call of `run` goes on where the last one stopped.

    Parameters
    ----------
    problem
        A problem of one layer.
    params
        The settings of the model.
    """

    def __init__(self, problem: Problem, params: PairsParams) -> None:
        self.problem = problem
        self.params = params
        self._search: LevelBisection | None = None

    def run(
        self, start: np.ndarray, lower_bound: Fraction, deadline: Deadline, effort: int | None
    ) -> ModelAnswer:
        """Work for one turn, from the best known plan and bound.

        Parameters
        ----------
        start
            int64 [num_slots], a valid plan.
        lower_bound
            A proven lower bound, in integer units.
        deadline
            The end of the turn; not looked at where `effort` is given.
        effort
            Counted work of the turn: a unit is about a millisecond, four dual ascents or six moves
            of replicas.
        """
        upper = plain_start_value(self.problem, start)
        if upper <= lower_bound:
            return ModelAnswer(start.copy(), lower_bound, message="the start meets the bound")
        work_limit = WorkLimit(deadline, effort)
        refusal = self._refusal() or self._prepare(start, lower_bound, work_limit)
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

    def _prepare(self, start: np.ndarray, lower_bound: Fraction, work_limit: WorkLimit) -> str:
        """Give the bisection the new plan and bound; why the layer is too large, else empty."""
        counts = np.bincount(start, minlength=self.problem.num_experts)
        search = self._search
        if search is None:
            load = self.problem.load[0]
            search = LevelBisection(load, counts, lower_bound, work_limit, self.params)
            num_options = search.num_options()
            if num_options > self.params.max_options:
                return f"{num_options} options, more than {self.params.max_options}"
        else:
            search.work_limit.restart(work_limit.deadline, work_limit.effort)
            search.offer(counts)
            search.raise_bound(lower_bound)
        # With counted work the answer must not depend on the version of OR-Tools.
        search.asks_cpsat = work_limit.effort is None and find_spec("ortools") is not None
        self._search = search
        return ""

    @property
    def waits_for_backend(self) -> bool:
        """Whether the next question is one to CP-SAT."""
        return self._search is not None and self._search.waits_for_cpsat

    def _refusal(self) -> str:
        """Why the model does not apply; empty where it does."""
        problem = self.problem
        if problem.slots_per_gpu != 2:
            return f"{problem.slots_per_gpu} slots a GPU; pairs takes 2"
        if problem.is_hierarchical or problem.colocation == "forbid":
            return "pairs takes flat problems in which replicas of an expert may share a GPU"
        return ""
