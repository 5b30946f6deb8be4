"""The compiled core in C++: the loops that plans and proofs spend their time in.

Each chapter is a submodule with its C++ in the folder of the same name: `greedy` (the engines'
greedy), `serving` (its refinement in milliseconds), `near` (plans near the map in force), `local`
(local search), `annealing`, `rules` (first plans where GPUs differ), `dispatch` (splits of tokens),
`scoring` (the least level of loads that split freely, and who is dealt to whom), `moves` (names
that move least), `pairs`, `config_lp` and `bounds` (proofs). The rooms above say what a chapter is
for; they import it from here. The rules of unequal parts, which `annealing` and `serving` share,
are in the folder `shares`.

Every function takes and gives numpy arrays in row-major order, looks at their shapes once, and
releases the interpreter lock, so that `parts.in_parts` can hand layers to several cores. The head
of CMakeLists.txt says how the folder is laid out and built.
"""

from eplb_opt.core._core import (
    annealing,
    bounds,
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
    "bounds",
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
