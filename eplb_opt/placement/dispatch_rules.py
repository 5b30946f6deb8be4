"""How an expert's tokens reach its copies, and what a plan is worth under each way.

Most plans are made for the uniform split, where every copy gets the same share. Engines with an
all-to-all backend may send each GPU's tokens to the nearest copy instead, which saves traffic and
fills copies unevenly, or let the GPUs take the copies in turn. Optimal dispatch splits every batch
so that the largest GPU load is least. All four are scored exactly, whatever the problem's own
dispatch is; `senders` has the two in which every GPU sends all of an expert's tokens to one copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb_opt.placement import scoring
from eplb_opt.placement.caller_units import balancedness, objective_in_caller_units
from eplb_opt.placement.plan import as_plan
from eplb_opt.placement.senders import SGLANG_SEED, senders

if TYPE_CHECKING:
    from fractions import Fraction
    from typing import Any

    import numpy as np

    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class DispatchScore:
    """One plan under four ways of reaching its copies.

    Parameters
    ----------
    uniform, nearest, optimal, rank_modulo
        float64 [num_layers], the objective when every copy gets the same share, when every
        GPU sends to its nearest copy, when the split makes the largest GPU load least, and when
        the GPUs take the copies in turn; caller's unit, rounded up.
    uniform_balancedness, nearest_balancedness, optimal_balancedness, rank_modulo_balancedness
        float64 [num_layers], see `Result.balancedness`.
    """

    uniform: np.ndarray
    nearest: np.ndarray
    optimal: np.ndarray
    rank_modulo: np.ndarray
    uniform_balancedness: np.ndarray
    nearest_balancedness: np.ndarray
    optimal_balancedness: np.ndarray
    rank_modulo_balancedness: np.ndarray

    def of(self, dispatch: str) -> tuple[np.ndarray, np.ndarray]:
        """Objective and balancedness under one dispatch, float64 [num_layers] each.

        Parameters
        ----------
        dispatch
            A name of `Problem`'s dispatch.
        """
        return getattr(self, dispatch), getattr(self, f"{dispatch}_balancedness")

    @property
    def nearest_excess(self) -> float:
        """What nearest copy adds to the largest GPU loads, summed layers: 0.1 is 10 %."""
        return float(self.nearest.sum() / self.uniform.sum() - 1) if self.uniform.any() else 0.0

    @property
    def needs_dispatch(self) -> float:
        """What the uniform split adds to the largest GPU loads of optimal dispatch."""
        return float(self.uniform.sum() / self.optimal.sum() - 1) if self.optimal.any() else 0.0


def dispatch_score(problem: Problem, plan: Any, *, seed: int = SGLANG_SEED) -> DispatchScore:
    """Score a plan under the four ways of reaching its copies.

    Parameters
    ----------
    problem, plan, seed
        The problem, the plan to score, and the seed of the dealing; see `nearest_copy_objectives`.

    Raises
    ------
    PlanError
        When the plan breaks a rule of the problem.
    """
    plan = as_plan(plan, problem)
    exact = {
        "uniform": plan.objectives(problem.with_dispatch("uniform")),
        "nearest": nearest_copy_objectives(problem, plan, seed=seed),
        "optimal": plan.objectives(problem.with_dispatch("optimal")),
        "rank_modulo": plan.objectives(problem.with_dispatch("rank_modulo")),
    }
    figures = {name: objective_in_caller_units(problem, each) for name, each in exact.items()}
    for name, each in exact.items():
        figures[f"{name}_balancedness"] = balancedness(problem, each)
    return DispatchScore(**figures)


def without_topology(problem: Problem) -> Problem:
    """The same loads on the same nodes with nothing to keep at home, and no price on it.

    What nearest copy sends where it needs the nodes for.
    """
    return problem.with_topology(None, problem.num_nodes, 1) if problem.has_topology else problem


def nearest_copy_objectives(
    problem: Problem, plan: Any, *, seed: int = SGLANG_SEED
) -> list[Fraction]:
    """What a plan is worth when every GPU sends to its nearest copy, exactly, one a layer.

    Parameters
    ----------
    problem
        Loads and topology; its nodes count even where they constrain nothing.
    plan
        A Plan or [num_layers, num_slots] ids.
    seed
        Seed of the dealing; see `senders`.

    Returns
    -------
    The largest GPU load in units of the loads, or what the scenarios make together.

    Raises
    ------
    PlanError
        When the plan breaks a rule of the problem.
    """
    placed = as_plan(plan, problem).physical_to_logical
    sent = senders(problem, placed, dispatch="nearest", seed=seed)
    return scoring.sent_objectives(problem, placed, sent)
