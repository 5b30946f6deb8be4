"""Compile the kernels before they are needed."""

import time
from fractions import Fraction

import numpy as np


def warmup() -> float:
    """Load the kernels of the greedy and of the search, or compile them and keep them on disk.

    The first call on a machine takes seconds, later ones in other processes some tenths.

    Returns
    -------
    Seconds it took.

    Raises
    ------
    MissingDependency
        Without numba.
    """
    began = time.monotonic()
    from eplb_opt.problem import Problem
    from eplb_opt.search.layer import LayerSearch
    from eplb_opt.search.starts import first_plan
    from heuristics import greedy

    greedy.warmup()
    # Four slots a GPU and one hot expert make the search go through all of its moves.
    load = np.array([[5000, *range(1, 16)]])
    problem = Problem(load, 20, 5)
    search = LayerSearch(problem, first_plan(problem)[0], Fraction(1), seed=0)
    search.run_steps(100)
    return time.monotonic() - began
