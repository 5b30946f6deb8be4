"""The configuration LP as a solver of the schedule, where it has something to prove."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import waterfill_bound
from eplb_opt.exact.config_lp.model import FlatConfigLp, answer_of
from eplb_opt.exact.shared.model_calls import as_answer
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

#: Where the water level is above this share of the mean load, by slots a GPU, the configuration LP
#: has something to prove; below LIGHT_REGIME it never has.
HEAVY_REGIME = {2: 0.0, 3: 0.7}
HEAVY_REGIME_ELSE = 0.95
LIGHT_REGIME = 0.4
#: In between, it has a turn where the value of the plan is above the bound times these, by turn.
LIGHT_GAPS = (1 + Fraction(1, 100), 1 + Fraction(1, 1000))
#: Seconds that a first turn takes on a layer of 256 experts.
LP_SECONDS = 0.5


class ConfigLpSolver:
    """The configuration LP, for layers whose heavy experts leave mean and water level too low.

    Parameters
    ----------
    problem
        A problem of one layer, flat.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        mean = problem.load.sum() / problem.num_gpus
        self.share = waterfill_bound(problem)[0] / max(mean, 1)
        self.work: FlatConfigLp | None = None

    def solve(self, task: Task) -> Answer:
        """Work for one turn, from where the last turn stopped."""
        if self.problem.slots_per_gpu != 2 and self.share <= LIGHT_REGIME:
            return Answer(verdict=Verdict.REFUSED)
        if task.effort is None and not self._is_worth_a_turn(task):
            return Answer(verdict=Verdict.NOT_YET)
        if self.work is None:
            self.work = FlatConfigLp.of(self.problem, task.start)
        self.work.start = task.start
        found = self.work.run(task.lower_bound, task.objective, task.deadline, task.effort)
        answer = as_answer("config_lp", answer_of(self.problem, found))
        # It stops within a share of the gap, so a better plan may let it prove more.
        is_over = answer.verdict is Verdict.FINISHED
        return replace(answer, verdict=Verdict.AGAIN) if is_over else answer

    def _is_worth_a_turn(self, task: Task) -> bool:
        is_heavy = self.share > HEAVY_REGIME.get(self.problem.slots_per_gpu, HEAVY_REGIME_ELSE)
        least = LIGHT_GAPS[min(task.attempt, len(LIGHT_GAPS) - 1)]
        if not is_heavy and task.objective <= task.lower_bound * least:
            return False
        return (
            task.call_deadline.remaining >= 2 * LP_SECONDS
        )  # a shorter turn gains more in the search
