"""
The compiled core of eplb_opt: loops over numbers, a chapter a submodule.
"""

from eplb_opt.core._core import (
    annealing as annealing,
    bounds as bounds,
    config_lp as config_lp,
    dispatch as dispatch,
    greedy as greedy,
    local as local,
    moves as moves,
    near as near,
    pairs as pairs,
    rules as rules,
    scoring as scoring,
    serving as serving
)
