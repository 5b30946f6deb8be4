"""The general model where a plan is in force: the best plan within some moves, or the fewest moves.

Small layers are solved to a proof, with scenarios and GPU rules or without.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.exact.cpsat import CpSatModel
from eplb_opt.exact.formulations import FORMULATIONS
from eplb_opt.exact.shared.change import Change
from eplb_opt.exact.shared.start import refuse_senders
from eplb_opt.placement import checker, scoring

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.exact.shared.answer import ModelAnswer
    from eplb_opt.problem.problem import Problem

#: The share of the time left for the proof of the fewest moves; a second solve has the rest.
PROOF_SHARE = 0.7
#: The share of itself by which a limit is tightened when rounded sizes let a plan past it.
TIGHTENED = Fraction(1, 10**6)


def exact_layer(
    problem: Problem,
    start: np.ndarray,
    lower_bound: Fraction,
    deadline: Deadline,
    *,
    current: np.ndarray | None = None,
    max_moves: int | None = None,
    effort: int | None = None,
    seed: int = 0,
) -> ModelAnswer:
    """The best plan of one layer under all its rules, and a proven lower bound.

    Parameters
    ----------
    problem
        A problem of one layer, with scenarios or GPU rules or without.
    start
        int64 [num_slots], a plan that fits the problem and moves no more than is allowed.
    lower_bound
        A proven lower bound of the layer.
    deadline
        The end of building, solving and reading together.
    current
        int64 [num_slots], the plan in force; -1 is an empty slot.
    max_moves
        The largest number of slots that get an expert new on their GPU; None for any number.
    effort, seed
        As in `LayerModel`.

    Returns
    -------
    An answer whose bound, where moves are limited, holds for the plans within that limit alone.

    Raises
    ------
    PlanError
        When the start breaks a rule or moves too much: the counts that it leaves would be too few.
    """
    model = CpSatModel()
    if current is None or max_moves is None:
        return model(problem, start, lower_bound, deadline, effort=effort, seed=seed)
    held = held_experts(problem, current)
    moved = num_moves(problem, held, start)
    if moved > max_moves:
        raise PlanError(f"The start moves {moved} slots; at most {max_moves} are allowed.")
    change = Change(held, max_moves)
    return model(problem, start, lower_bound, deadline, effort=effort, seed=seed, change=change)


def fewest_moves(
    problem: Problem,
    current: np.ndarray,
    limit: Fraction,
    deadline: Deadline,
    *,
    start: np.ndarray | None = None,
    effort: int | None = None,
    seed: int = 0,
) -> tuple[np.ndarray | None, int]:
    """The plan that moves the fewest slots among those of at most a given value.

    Parameters
    ----------
    problem
        A problem of one layer.
    current
        int64 [num_slots], the plan in force; -1 is an empty slot.
    limit
        The largest value of the plan, in the unit of `scoring.objectives`.
    deadline
        The end of both solves together.
    start
        int64 [num_slots], a plan within the limit to begin with, where one is known.
    effort, seed
        As in `LayerModel`.

    Returns
    -------
    A plan within the limit, int64 [num_slots], or None when none was found; and a lower bound on
    the moves of every plan within the limit. Where its moves equal the bound the plan is optimal.

    Raises
    ------
    ProblemError
        When it is proven that no plan is within the limit.
    """
    refuse_senders(problem)
    if fast_bounds(problem)[0].value > limit:
        raise ProblemError(f"No plan has an objective of at most {float(limit)}.")
    held = held_experts(problem, current)

    def moves(placed: np.ndarray) -> int:
        return num_moves(problem, held, placed)

    plans = [p for p in (start, current) if p is not None and _is_within(problem, p, limit)]
    if any(moves(placed) == 0 for placed in plans):
        return min(plans, key=moves).copy(), 0
    solve = _MovesModel(problem, held, effort, seed)
    answer = solve(min(plans, key=moves, default=None), limit, deadline.part(PROOF_SHARE))
    if answer.finished and answer.physical_to_logical is None:
        raise ProblemError(f"No plan has an objective of at most {float(limit)}.")
    found = answer.physical_to_logical
    if found is not None and not _is_within(problem, found, limit):
        # Rounded sizes let plans past the limit by a millionth of a millionth or so.
        found = solve(None, limit * (1 - TIGHTENED), deadline).physical_to_logical
    if found is not None and _is_within(problem, found, limit):
        plans.append(found)
    return min(plans, key=moves, default=None), int(answer.lower_bound)


def held_experts(problem: Problem, current: np.ndarray) -> np.ndarray:
    """Which expert stands on which GPU, bool [num_experts, num_gpus].

    Parameters
    ----------
    problem
        A problem of one layer.
    current
        int64 [num_slots]; -1 is an empty slot.
    """
    held = np.zeros((problem.num_experts, problem.num_gpus), dtype=bool)
    slot = np.flatnonzero(current >= 0)
    held[current[slot], slot // problem.slots_per_gpu] = True
    return held


def num_moves(problem: Problem, held: np.ndarray, placed: np.ndarray) -> int:
    """Slots of a plan ([num_slots]) whose expert is new on its GPU."""
    slot = np.flatnonzero(placed >= 0)
    return int((~held[placed[slot], slot // problem.slots_per_gpu]).sum())


def _is_within(problem: Problem, placed: np.ndarray, limit: Fraction) -> bool:
    """Whether the slots are a valid plan of at most that value."""
    try:
        checker.check(problem, placed[None, :])
    except PlanError:
        return False
    return scoring.objectives(problem, placed[None, :])[0] <= limit


@dataclass(frozen=True, eq=False)
class _MovesModel:
    """The model that minimises moves, as a function of the limit."""

    problem: Problem
    held: np.ndarray
    effort: int | None
    seed: int

    def __call__(
        self, start: np.ndarray | None, limit: Fraction, deadline: Deadline
    ) -> ModelAnswer:
        choices = FORMULATIONS[self.problem.dispatch].list_choices(self.problem, limit)
        change = Change(self.held, limit=limit)
        return CpSatModel().solve(
            choices,
            start,
            Fraction(0),
            deadline,
            effort=self.effort,
            seed=self.seed,
            change=change,
        )
