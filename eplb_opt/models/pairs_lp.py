"""Two slots a GPU: tightened balance rows, their linear program, and what it proves in integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import MissingDependency
from eplb_opt.solvers import load_module

if TYPE_CHECKING:
    from eplb_opt.models.pairs_budget import Budget
    from eplb_opt.models.pairs_options import Options

#: Dual multipliers are rounded to integers of 1 / DIGITS.
DIGITS = 2**24
#: Rounding the prices changes a cost by up to half the rows times a gain; less is no gain.
PRICE_NOISE = DIGITS // 1000
#: With needs below 2**20, sums of prices times needs stay in int64.
MAX_PRICE = 2.0**15


@dataclass(frozen=True, eq=False)
class Rows:
    """Balance rows sum gain z >= need over the options that are possible, tightened.

    Let m_e be the least that expert e adds to a row, by any option that is left. The row says
    sum_e (change - m_e) >= need with need = -sum_e m_e, and every term is at least 0. A term above
    the need satisfies the row alone, so it may be cut to the need; a row without need says
    nothing and is left out. The cut makes the linear program far stronger: no fraction of a large
    count can stand in for several small ones.

    Parameters
    ----------
    gain
        int64 [num_options, num_rows].
    need
        int64 [num_rows], positive.
    threshold_idx
        int64 [num_rows], rows of `Options.threshold`.
    """

    gain: np.ndarray
    need: np.ndarray
    threshold_idx: np.ndarray


def tightened(options: Options, threshold_idx: np.ndarray) -> Rows:
    """The tightened rows at the given thresholds; see `Rows`."""
    inside = options.rank[:, None] > threshold_idx
    change = np.where(inside, options.change[:, None], 0)
    least = np.minimum.reduceat(change, options.first, axis=0)
    need = -least.sum(axis=0)
    counts = np.flatnonzero(need > 0)
    gain = change[:, counts] - least[np.ix_(options.expert, counts)]
    return Rows(np.minimum(gain, need[counts]), need[counts], threshold_idx[counts])


@dataclass(frozen=True, eq=False)
class Proof:
    """What integer multipliers of rows prove.

    Parameters
    ----------
    value
        A lower bound of the replicas any plan takes, times DIGITS.
    excess
        int64 [num_options]: taking the option raises the bound by this much.
    """

    value: int
    excess: np.ndarray


def prove(options: Options, rows: Rows, multiplier: np.ndarray) -> Proof:
    """The Lagrangian bound sum_i y_i need_i + sum_e min_c (c D - sum_i y_i gain_i), in integers.

    Parameters
    ----------
    multiplier
        int64 [num_rows], not negative: the row prices y.
    """
    cost = options.count * DIGITS - rows.gain @ multiplier
    least = np.minimum.reduceat(cost, options.first)
    value = int(multiplier @ rows.need) + int(least.sum())
    return Proof(value, cost - least[options.expert])


@dataclass(frozen=True, eq=False)
class LpSolution:
    """A solved linear program.

    Parameters
    ----------
    weight
        float64 [num_options], the share of each option.
    multiplier
        int64 [num_rows], row prices in 1 / DIGITS, never negative.
    proof
        What they prove over all options.
    """

    weight: np.ndarray
    multiplier: np.ndarray
    proof: Proof


def solve_lp(
    options: Options, rows: Rows, active: np.ndarray, limit: int, budget: Budget
) -> LpSolution | None:
    """Least replicas over fractional choices, by column generation.

    Parameters
    ----------
    active
        bool [num_options], the options to begin with, at least one an expert; those that
        the prices call for are added to it in place.
    limit
        Slots: what proves more replicas than these needs no further rounds.
    budget
        Of time and work.

    Returns
    -------
    The last solution, or None when the budget is spent or the solver fails.
    """
    while True:
        solved = _solve_active(options, rows, np.flatnonzero(active), budget)
        if solved is None:
            return None
        weight, multiplier = solved
        proof = prove(options, rows, multiplier)
        cost = options.count * DIGITS - rows.gain @ multiplier
        of_active = np.where(active, cost, np.iinfo(np.int64).max)
        known = np.minimum.reduceat(of_active, options.first)
        cheaper = cost < known[options.expert] - PRICE_NOISE
        wanted = cheaper & (proof.excess == 0)
        if proof.value > limit * DIGITS or not wanted.any():
            return LpSolution(weight, multiplier, proof)
        active |= wanted


def _solve_active(
    options: Options, rows: Rows, at: np.ndarray, budget: Budget
) -> tuple[np.ndarray, np.ndarray] | None:
    """Weights of all options, integer prices of the program over some columns.

    Every expert's options add up to 1; a shortage of a row costs more than all slots, so the
    program has a solution and useful prices even where the rows contradict each other.
    """
    num_experts = len(options.first)
    if not rows.need.size:
        weight = np.zeros(len(options))
        weight[options.first] = 1.0
        return weight, np.zeros(0, dtype=np.int64)
    linprog, sparse = import_scipy()
    one_each = sparse.csr_array(
        (np.ones(len(at)), (options.expert[at], np.arange(len(at)))),
        shape=(num_experts, len(at) + 1),
    )
    gain = np.vstack([rows.gain[at], rows.need]).T.astype(float)
    count = options.count[at]
    answer = linprog(
        np.append(count, 2.0 * options.count.max() * num_experts),
        A_ub=-sparse.csr_array(gain),
        b_ub=-rows.need.astype(float),
        A_eq=one_each,
        b_eq=np.ones(num_experts),
        method="highs-ds",
        options=budget.linprog_options(),
    )
    budget.spend_lp()
    if answer.status != 0:
        return None
    weight = np.zeros(len(options))
    weight[at] = answer.x[:-1]
    price = np.clip(-answer.ineqlin.marginals, 0.0, MAX_PRICE)
    return weight, np.round(price * DIGITS).astype(np.int64)


def import_scipy() -> tuple[Any, Any]:
    """SciPy's `linprog` and its sparse matrices, or a message that names the extra."""
    try:
        return load_module("scipy.optimize").linprog, load_module("scipy.sparse")
    except ImportError as error:
        raise MissingDependency("scipy", "pairs") from error
