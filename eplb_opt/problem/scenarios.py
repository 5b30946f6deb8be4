"""Several loads that one plan is to serve, and what they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: A blended layer's total: fine enough for any heuristic, and exact in float64.
BLENDED_TOTAL = 2**44


def blended(problem: Problem) -> Problem:
    """One load for heuristics that know of no scenarios: each scenario's share of its own total.

    A scenario recorded for longer counts no more than another of the same weight.

    Parameters
    ----------
    problem
        A problem with scenarios; one without comes back as it is.
    """
    if not problem.has_scenarios:
        return problem
    totals = np.maximum(problem.load.sum(axis=-1, keepdims=True), 1)
    parts = problem.load / totals
    weights = np.array([float(share) for share in problem.shares])
    load = np.rint(np.tensordot(weights, parts, axes=1) * BLENDED_TOTAL).astype(np.int64)
    return problem.with_load(load)
