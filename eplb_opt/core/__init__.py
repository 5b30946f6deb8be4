"""The compiled core: loops over numbers, a chapter a submodule; what a person reads is in Python.

Everything here takes and gives numpy arrays in row-major order, looks at their shapes once, and
releases the interpreter lock. CMakeLists.txt tells how the folder is laid out and built.
"""

from eplb_opt.core._core import (
    annealing,
    config_lp,
    dispatch,
    greedy,
    local,
    moves,
    near,
    pairs,
    rules,
    scoring,
    serving,
)

__all__ = [
    "annealing",
    "config_lp",
    "dispatch",
    "greedy",
    "local",
    "moves",
    "near",
    "pairs",
    "rules",
    "scoring",
    "serving",
]
