"""Compile the kernels before they are needed."""

import time
from fractions import Fraction

import numpy as np


def warmup(everything: bool = False) -> float:
    """Load the compiled kernels, or compile them and keep them on disk.

    Parameters
    ----------
    everything
        Also the kernels and solvers of `plan`; without it those that a serving process calls, in
        `rebalance_experts` with a short limit or counted effort, and in `dispatch`. The former take
        some ten seconds more on a machine's first call, and about two in later processes.

    Returns
    -------
    Seconds it took.

    Raises
    ------
    MissingDependency
        Without numba.
    """
    began = time.monotonic()
    if everything:
        _warm_planner()
    return time.monotonic() - began


def _warm_planner() -> None:
    from eplb_opt.deadline import Deadline
    from eplb_opt.models import get_specialist
    from eplb_opt.problem import Problem
    from eplb_opt.search.anneal_layer import AnnealSearch
    from eplb_opt.search.design_layer import DesignSearch
    from eplb_opt.search.layer import LayerSearch
    from eplb_opt.search.loss_layer import least_load_after_loss
    from eplb_opt.search.starts import first_plan
    from eplb_opt.solvers import load_solvers

    # Four slots a GPU and one hot expert make the search go through all of its moves.
    load = np.array([[5000, *range(1, 16)]])
    problem = Problem(load, 20, 5)
    search = LayerSearch(problem, first_plan(problem)[0], Fraction(1), seed=0)
    search.run_steps(100)
    AnnealSearch(problem, first_plan(problem)[0], seed=0).run_slices(1)
    free = problem.with_dispatch("optimal")
    DesignSearch(free, first_plan(problem)[0], seed=0).run_slices(1)
    # Counts that are to blame: transfers with their mends.
    wide = Problem(np.array([[[9, 1, 1]], [[1, 9, 1]]]), 4, 2)
    AnnealSearch(wide, first_plan(wide)[0], seed=0).run_slices(1)
    guarded = np.zeros(16, dtype=bool)
    least_load_after_loss(problem, first_plan(problem)[0], guarded, 1, Deadline(), calls=1)
    # A heavy head makes the configuration LP climb.
    heavy = Problem((10**6 / np.arange(1, 65) ** 1.2).astype(np.int64)[None, :], 72, 18)
    start = first_plan(heavy)[0]
    get_specialist("config_lp")(heavy, start, Fraction(1), Deadline(), effort=20)
    # Two slots a GPU: the kernels of the exact engine.
    pairs = Problem(load, 20, 10)
    get_specialist("pairs")(pairs, first_plan(pairs)[0], Fraction(1), Deadline(), effort=100)
    load_solvers()
