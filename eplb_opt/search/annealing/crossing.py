"""The price on what crosses nodes for the annealing of copies to which GPUs send, and its bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.bounds import SENDER_BOUNDS, Bound
from eplb_opt.bounds.crossing import crossing_bound
from eplb_opt.certificates import Certificate
from eplb_opt.core import annealing
from eplb_opt.problem.topology import node_of_gpus
from eplb_opt.search.annealing.cooling import Cooling

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.problem.problem import Problem

#: How runs cool where what crosses nodes has a price, in mean GPU loads.
PRICED = Cooling(first_heat=0.003, last_heat=1e-6)
#: Swaps among 1024 that stay on a node, and transfers that bring an expert to a node without it.
NEAR, SETTLING = 400, 700
#: A hair below the limit on what crosses, for the core adds up in floating point.
BELOW = 1e-12


def crossing_of(problem: Problem) -> annealing.Crossing | None:
    """The price for the core; None where there is none.

    Parameters
    ----------
    problem
        A problem of one layer.
    """
    rules, total = problem.topology, int(problem.load.sum())
    if rules is None or not problem.splits_by_sender or not total:
        return None
    used = problem.open_slots > 0
    most = 2.0 if rules.max_off_home is None else max(rules.max_off_home - BELOW, 0.0)
    share = np.ascontiguousarray(problem.load[0] / total)
    node = np.ascontiguousarray(node_of_gpus(problem)[used])
    return annealing.Crossing(share, node, rules.price, most, NEAR, SETTLING)


def proven(problem: Problem, flat: Fraction | None = None) -> tuple[Bound, Certificate] | None:
    """The bound of load and crossing of one layer, and what proves it; None without any load.

    Parameters
    ----------
    problem
        A problem of one layer with a topology whose GPUs send.
    flat
        A lower bound of its largest GPU load, in integer units; by default the best that needs no
        solver.
    """
    if flat is None:
        flat = max(method(problem)[0] for method in SENDER_BOUNDS.values())
    found = crossing_bound(problem, flat)
    if not found.levels:
        return None
    return Bound(found.value, "crossing"), Certificate("crossing", found.value, found.data)
