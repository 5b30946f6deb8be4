"""The price on what crosses nodes for the annealing of copies to which GPUs send, and its bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from eplb_opt.bounds.bounds import SENDER_BOUNDS, Bound
from eplb_opt.bounds.crossing import crossing_bound
from eplb_opt.certificates import Certificate
from eplb_opt.core import annealing
from eplb_opt.problem.topology import node_of_gpus
from eplb_opt.search.annealing.cooling import Cooling

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem

#: How runs cool where what crosses nodes has a price, in mean GPU loads: the counts of the plans
#: that they begin with are good, and more heat loses them for ever.
PRICED = Cooling(first_heat=3e-5, last_heat=1e-8)
#: The proposals among 1024 that transfer a copy.
PRICED_TRANSFERS = 20
#: Turns in which several plans are tried first, the part of a turn that they have together, and the
#: most slices of each.
TURNS_OF_STARTS, SHARE_OF_STARTS, SLICES_OF_START = 2, 0.5, 400
#: Swaps among 1024 that stay on a node, and transfers that bring an expert to a node without it.
NEAR, SETTLING = 400, 700
#: A hair below the limit on what crosses, for the core adds up in floating point.
BELOW = 1e-12


class Starting(Protocol):
    """What trying several plans needs of a search."""

    def restart(self, start: np.ndarray) -> None:
        """Go on from another plan; the best one is kept."""
        ...

    def go_on(self) -> None:
        """Go on from the best plan."""
        ...

    def run_until(self, deadline: Deadline) -> None:
        """Anneal until the deadline."""
        ...

    def run_slices(self, slices: int) -> None:
        """Anneal for a number of slices."""
        ...


def has_price(problem: Problem) -> bool:
    """Whether what crosses nodes counts: it has a price or a limit."""
    rules = problem.topology
    return rules is not None and (rules.price > 0 or rules.max_off_home is not None)


def try_starts(
    search: Starting, starts: Sequence[np.ndarray], deadline: Deadline, slices: int | None
) -> int | None:
    """Anneal a little from each of some plans, and go on from the best plan of all.

    Parameters
    ----------
    search
        The search on one layer.
    starts
        int64 [num_slots] each.
    deadline
        The end of the turn.
    slices
        The counted work of the turn; None where the clock ends it.

    Returns
    -------
    The work that is left of the turn, or None.
    """
    if not starts:
        return slices
    each = SHARE_OF_STARTS / len(starts)
    counted = None if slices is None else min(int(slices * each), SLICES_OF_START)
    for done, start in enumerate(starts):
        search.restart(start)
        if counted is None:
            search.run_until(deadline.part(each / (1 - done * each)))
        else:
            search.run_slices(counted)
    search.go_on()
    return None if slices is None or counted is None else slices - counted * len(starts)


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
