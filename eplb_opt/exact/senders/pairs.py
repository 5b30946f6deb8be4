"""A bound for two slots a GPU where every GPU sends to one replica, as a solver of the schedule.

`eplb_opt.certificates.sender_pairs` has the argument: steps that weigh replicas by how far they are
from half a GPU refute a level. Which steps refute it best is a linear program in the heights and
the price of a slot. Its solution is rounded to integers, which the verifier then proves the bound
with; levels are tried by halving, from what is proven up to the best plan.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bounds.bounds import Bound
from eplb_opt.certificates.certificate import Certificate, CertificateError
from eplb_opt.certificates.sender_pairs import check_problem, least_senders, verify
from eplb_opt.errors import MissingDependency
from eplb_opt.exact.shared.backend_imports import load_module
from eplb_opt.exact.shared.model_calls import deadline_after_imports
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

#: Steps that the linear program chooses among.
NUM_STEPS = 40
#: Counts of an expert beyond the fewest that fit, all of which the program looks at.
COUNTS_MORE = 3
#: Heights and price are rounded to multiples of 1 over this.
UNIT = 2**30
#: Where the next level is tried, between what is proven and what is refuted or reached: most layers
#: get as far at the first try.
FIRST_PART = 0.7
#: A range of levels below this part of the plan's value is left alone.
LEAST_RANGE = 2e-5
#: The largest price of a slot; the steps of a replica add up to 1 at most.
MOST_PRICE = 1000.0
#: Effort that a linear program counts for; it takes about so many milliseconds.
EFFORT_OF_A_PROGRAM = 150
#: The largest linear program, in counts of all experts.
MAX_COUNTS = 100_000


class SenderPairsSolver:
    """Raises the bound of a layer with two slots a GPU; a later turn goes on from the last one.

    Parameters
    ----------
    problem
        A problem of one layer with senders.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.unit = Fraction(1, problem.num_senders)
        self.open: Fraction | None = None  # the least level that no steps were found for
        self.proof: Certificate | None = None

    def solve(self, task: Task) -> Answer:
        """Try levels until the turn ends."""
        try:
            check_problem(self.problem)
        except CertificateError:
            return Answer(verdict=Verdict.REFUSED)
        spare = self.problem.num_slots - self.problem.num_experts
        if self.problem.num_experts * (spare + 1) > MAX_COUNTS:
            return Answer(verdict=Verdict.REFUSED, reason="refused: too many counts")
        deadline = deadline_after_imports(task)
        if deadline is None:
            return Answer(verdict=Verdict.NOT_YET)
        programs = 10**9 if task.effort is None else task.effort // EFFORT_OF_A_PROGRAM
        proven = max(task.lower_bound, self.proof.bound if self.proof else Fraction(0))
        most = min(task.objective, self.open or task.objective)
        part = FIRST_PART if self.open is None else 0.5
        while programs > 0 and most - proven > LEAST_RANGE * task.objective:
            if deadline.expired:
                return self._answer(Verdict.AGAIN)
            level = proven + (most - proven) * Fraction(part)
            found = self._proof(int(level / self.unit))
            if found is None:
                most = self.open = level
            else:
                proven, self.proof = found.bound, found
            part, programs = 0.5, programs - 1
        return self._answer(Verdict.FINISHED)

    def _answer(self, verdict: Verdict) -> Answer:
        if self.proof is None:
            return Answer(verdict=verdict)
        return Answer(None, Bound(self.proof.bound, self.proof.kind), self.proof, verdict)

    def _proof(self, level: int) -> Certificate | None:
        """A certificate that no plan is within a level, in senders' parts; None for none found."""
        steps, heights, price = _best_steps(self.problem, level)
        data: dict[str, int | list[int]] = {"price": price, "steps": steps, "heights": heights}
        try:
            found = Certificate("sender_pairs", (level + 1) * self.unit, data)
            verify(self.problem, found)
        except CertificateError:
            return None
        return found


def _best_steps(problem: Problem, level: int) -> tuple[list[int], list[int], int]:
    """Steps, heights and price that refute a level best, as the linear program has it.

    It maximises sum_e v_e + p slots under v_e <= g of the least replicas - p n, for every expert
    and count; the heights add up to 1.
    """
    counts = range(1, problem.num_slots - problem.num_experts + 2)
    least = [least_senders(problem, n) for n in counts]
    load = problem.load[0].astype(np.float64)
    # Of each count: how often, and how many senders, for the larger and the smaller replicas.
    times = np.array([[parts[0][0], parts[-1][0] * (len(parts) > 1)] for parts in least])
    sent = np.array([[parts[0][1], parts[-1][1]] for parts in least])
    away = 2 * load[:, None, None] * sent - level  # [experts, counts, 2]
    fits = load[:, None] * sent[:, 0] <= level
    if not fits.any(axis=1).all():  # an expert has no count at all, which needs no steps
        return [], [], 0
    # Few counts matter: the fewest that fit, some more, and every half as many again after those.
    fewest = fits.argmax(axis=1)[:, None]
    number = np.arange(fits.shape[1])
    fits &= (number <= fewest + COUNTS_MORE) | np.isin(number, _sparse(fits.shape[1]))
    seen = np.unique(np.abs(away[fits]))
    steps = np.unique(np.quantile(seen, np.linspace(0, 1, NUM_STEPS), method="lower"))
    steps = np.maximum(np.floor(steps * (1 - 1e-12)) - 1, 0)
    over = (away[..., None] > steps).astype(float) - (away[..., None] < -steps)
    worth = (over * times[None, :, :, None]).sum(axis=2)[fits]
    expert, number = np.nonzero(fits)
    solution = _solve(worth, expert, number + 1, problem)
    heights = np.floor(np.maximum(solution[len(load) : -1], 0) * UNIT).astype(np.int64)
    order = np.argsort(steps, kind="stable")
    return (
        [int(step) for step in steps[order]],
        heights[order].tolist(),
        round(float(solution[-1]) * UNIT),
    )


def _sparse(end: int) -> list[int]:
    """Places from 0 to `end - 1`, each half as far again as the one before; the last one too."""
    found, place = [end - 1], 1
    while place < end:
        found.append(place)
        place += place // 2 + 1
    return found


def _solve(worth: np.ndarray, expert: np.ndarray, count: np.ndarray, problem: Problem) -> Any:
    """The linear program's solution: v of the experts, heights, price."""
    linprog, sparse = _import_scipy()
    rows, (num, num_steps) = np.arange(len(worth)), worth.shape
    own = sparse.coo_matrix((np.ones(num), (rows, expert)), shape=(num, problem.num_experts))
    left = sparse.hstack([own, sparse.csr_matrix(-worth), count[:, None].astype(float)], "csr")
    gain = np.concatenate([np.ones(problem.num_experts), np.zeros(num_steps), [problem.num_slots]])
    whole = np.concatenate([np.zeros(problem.num_experts), np.ones(num_steps), [0]])
    # Below the water level any price would do, the lower the better; the program needs an end.
    ends = (-MOST_PRICE, MOST_PRICE)
    bounds = [(None, None)] * problem.num_experts + [(0, None)] * num_steps + [ends]
    found = linprog(-gain, left, np.zeros(num), whole[None], [1.0], bounds, method="highs")
    return np.zeros(len(gain)) if found.x is None else found.x


def _import_scipy() -> tuple[Any, Any]:
    """The function `linprog` and the module of sparse matrices.

    Raises
    ------
    MissingDependency
        When SciPy is not installed; the message names the extra.
    """
    try:
        return load_module("scipy.optimize").linprog, load_module("scipy.sparse")
    except ImportError as error:
        raise MissingDependency("scipy", "pairs") from error
