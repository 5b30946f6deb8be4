"""The configuration LP as a solver of the schedule: where it has something to prove."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import waterfill_bound
from eplb_opt.exact.config_lp.model import NodeLp, answer_of
from eplb_opt.exact.shared.turns import turn_of
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

#: Above this share of the mean, by slots a GPU, the water level says that the configuration LP
#: has something to prove; below the last one it never has.
HEAVY_REGIME = {2: 0.0, 3: 0.7}
HEAVY_REGIME_ELSE = 0.95
LIGHT_REGIME = 0.4
#: In between it is asked where the plan is further from the bound; turn by turn.
LIGHT_GAPS = (1 + Fraction(1, 100), 1 + Fraction(1, 1000))
#: A first turn takes about so many seconds on a layer of 256 experts.
LP_SECONDS = 0.5


class ConfigLpSolver:
    """The configuration LP, where heavy experts keep mean and water level from the truth.

    Parameters
    ----------
    problem
        Of one layer, flat.
    options
        Nothing of it matters here.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        mean = problem.load.sum() / problem.num_gpus
        self.share = waterfill_bound(problem)[0] / max(mean, 1)
        self.work: NodeLp | None = None

    def solve(self, task: Task) -> Answer:
        """Goes on where the last turn stopped; see `Solver`."""
        if self.problem.slots_per_gpu != 2 and self.share <= LIGHT_REGIME:
            return Answer(verdict=Verdict.REFUSED)
        if task.effort is None and not self._is_worth_a_turn(task):
            return Answer(verdict=Verdict.NOT_YET)
        if self.work is None:
            self.work = NodeLp.of(self.problem, task.start)
        self.work.start = task.start
        found = self.work.run(task.lower_bound, task.objective, task.deadline, task.effort)
        answer = turn_of("config_lp", answer_of(self.problem, found))
        # What it leaves open is a share of the gap: a better plan asks for more.
        is_over = answer.verdict is Verdict.FINISHED
        return replace(answer, verdict=Verdict.AGAIN) if is_over else answer

    def _is_worth_a_turn(self, task: Task) -> bool:
        is_heavy = self.share > HEAVY_REGIME.get(self.problem.slots_per_gpu, HEAVY_REGIME_ELSE)
        least = LIGHT_GAPS[min(task.attempt, len(LIGHT_GAPS) - 1)]
        if not is_heavy and task.objective <= task.lower_bound * least:
            return False
        return task.call_deadline.remaining >= 2 * LP_SECONDS  # the search makes more of less
