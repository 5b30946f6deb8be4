"""Strict, anchored, priced and flat plans of the same loads, and the front of many prices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bounds.bounds import Bound, load_bounds
from eplb_opt.errors import ProblemError
from eplb_opt.placement import homes, scoring
from eplb_opt.planner.near_home import NearHome, near_home
from eplb_opt.planner.planner import plan
from eplb_opt.problem.rounding import round_down, round_up
from eplb_opt.problem.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from threading import Event

    from eplb_opt.problem.problem import Problem
    from eplb_opt.result import Result

#: The prices of a front where the caller names none.
FRONT_PRICES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)


class Unplanned(Exception):
    """There is to be no plan for a row of the comparison; the text says why."""


@dataclass(frozen=True, eq=False)
class TopologyRow:
    """One plan of the comparison, as means over the layers.

    Parameters
    ----------
    kind
        "strict" (all of a group on one node), "anchored" (a replica of each expert at home),
        "priced", or "flat" (anywhere). There is no anchored one where GPUs send.
    price
        The price of the off-home share that it was planned for; None where there is none.
    load
        The largest over the mean GPU load; with scenarios what theirs make together.
    off_home
        The share of assignments that replicas off home serve, or cross nodes where GPUs send; or
        the mean cost of links. Scenarios together.
    objective, lower_bound
        What was minimised and its proven bound: load plus price times off home, or the load.
    result
        The plan with all that is known of it.
    """

    kind: str
    price: float | None
    load: float
    off_home: float
    objective: float
    lower_bound: float
    result: Result

    @property
    def gap(self) -> float:
        """Objective over bound, less 1."""
        return self.objective / self.lower_bound - 1

    @property
    def name(self) -> str:
        """The kind, with its price."""
        return self.kind if self.price is None else f"{self.kind} at {self.price:g}"


@dataclass(frozen=True, eq=False)
class TopologyReport:
    """Plans of the same loads with more and less kept at home.

    Parameters
    ----------
    rows
        The plans.
    messages
        What could not be planned, and why.
    """

    rows: tuple[TopologyRow, ...]
    messages: tuple[str, ...] = ()

    @property
    def counts_links(self) -> bool:
        """Whether an assignment costs something else than 0 at home and 1 elsewhere."""
        rules = [row.result.problem.topology for row in self.rows]
        return any(rule is not None and not rule.counts_off_home for rule in rules)

    @property
    def front(self) -> list[TopologyRow]:
        """The rows that no other beats in load and off home both, the least off home first."""
        best: list[TopologyRow] = []
        for row in sorted(self.rows, key=lambda row: (row.off_home, row.load)):
            if not best or row.load < best[-1].load:
                best.append(row)
        return best

    def near_home(self, tolerance: float) -> NearHome:
        """The plan with the least off home whose loads are within a tolerance of the best.

        Parameters
        ----------
        tolerance
            How far each layer's load may be above the least one among the rows; 0.01 for 1 %.

        Returns
        -------
        NearHome
            The plan, its loads and shares, and what share no such plan is below.

        Raises
        ------
        ProblemError
            When it cannot be used, or no row has a price.
        """
        return near_home(self.rows, tolerance)

    def load_bound(self, off_home: np.ndarray) -> np.ndarray:
        """The least load that any plan with that much off home can have, as far as is proven.

        Every priced row proves load + price x off home >= its bound, for the same homes or for any
        that groups can have.

        Parameters
        ----------
        off_home
            float64 [num], shares from 0 to 1, or mean costs of links.

        Returns
        -------
        ndarray
            float64 [num], largest over mean load.
        """
        lines = [
            row.lower_bound - (row.price or 0.0) * np.asarray(off_home, dtype=np.float64)
            for row in self.rows
            if row.kind in ("priced", "flat")
        ]
        return np.asarray(np.max([np.ones(len(off_home)), *lines], axis=0))


def topologies(
    problem: Problem,
    *,
    prices: Sequence[float] = (0.05, 0.3),
    anchored: bool = True,
    time_limit: float | None = 10.0,
    effort: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[str], Any] | None = None,
    stop: Event | None = None,
) -> TopologyReport:
    """Plan loads with all of a group on one node, with prices on what is off home, and without.

    Parameters
    ----------
    problem
        Loads, slots, GPUs, nodes and groups. Homes and limits are those of its topology, if it has
        one; its price is not read.
    prices
        Prices to plan for; `FRONT_PRICES` for a whole front.
    anchored
        Whether each price is also planned with a replica of every expert at home.
    time_limit
        Seconds for each plan.
    effort
        Counted work for each plan instead of time.
    seed, workers
        As in `plan`.
    progress
        Called with the name of each plan before it is made.
    stop
        A `threading.Event`. Once it is set, the plan at hand is the best so far, and no other is
        made; the messages say so.

    Returns
    -------
    TopologyReport
        A row for each plan: strict, anchored, priced, flat.

    Raises
    ------
    ProblemError
        When the problem takes no topology, or a price cannot be used.
    """
    limit = None if effort is not None else time_limit
    made: list[str] = []

    def planned(asked: Problem, name: str) -> Result:
        if stop is not None and stop.is_set() and made:
            raise Unplanned("the comparison was stopped before it.")
        made.append(name)
        if progress is not None:
            progress(name)
        return plan(asked, time_limit=limit, effort=effort, seed=seed, workers=workers, stop=stop)

    kinds = [(kind, price) for kind in ("anchored", "priced") for price in prices]
    return compared(problem, planned, kinds if anchored else kinds[len(prices) :])


def compared(
    problem: Problem,
    planned: Callable[[Problem, str], Result],
    between: Sequence[tuple[str, float]],
    known: Mapping[str, Result] | None = None,
) -> TopologyReport:
    """Compare plans of the same loads that somebody makes, from strict to flat.

    Parameters
    ----------
    problem
        As in `topologies`.
    planned
        Plans a problem; it gets the name of the row too, and raises `Unplanned` where there is to
        be no such row.
    between
        ("anchored" or "priced", price) for each row between strict and flat.
    known
        Results for "strict" and "flat" that need not be planned again.

    Returns
    -------
    TopologyReport
        A row for each plan; what the problem does not allow is in its messages.

    Raises
    ------
    ProblemError
        When the problem takes no topology, or a price cannot be used.
    """
    known = known or {}
    if problem.splits_by_sender:  # where no node is a home
        between = [(kind, price) for kind, price in between if kind != "anchored"]
    rules = problem.topology or Topology()
    judge = problem.with_topology(replace(rules, anchored=False, max_off_home=None))
    wanted: list[tuple[str, float | None]] = [("strict", None), *between, ("flat", None)]
    for _, asked_price in between:
        replace(rules, price=asked_price)  # what cannot be used is said before any work
    rows, messages = [], []
    for kind, price in wanted:
        result = known.get(kind)
        if result is None:
            name = kind if price is None else f"{kind} at {price:g}"
            try:
                asked = _asked(problem, rules, kind, price)
            except ProblemError as error:
                messages.append(f"{kind}: {error}")
                continue
            try:
                result = planned(asked, name)
            except Unplanned as error:
                messages.append(f"{name}: {error}")
                continue
        rows.append(_row(kind, price, judge, result))
    return TopologyReport(tuple(rows), tuple(messages))


def _asked(problem: Problem, rules: Topology, kind: str, price: float | None) -> Problem:
    """The problem of one row; an error where it cannot be stated."""
    if kind == "flat":
        return problem.with_topology(_free(rules)) if _has_odd_nodes(problem) else problem.flat()
    if price is not None:
        return problem.with_topology(replace(rules, price=price, anchored=kind == "anchored"))
    strict = problem.with_topology(None)
    if not strict.is_hierarchical:
        raise ProblemError("there is one group or one node, which binds nobody.")
    return strict


def _has_odd_nodes(problem: Problem) -> bool:
    """Whether GPUs send, for which nodes count without a price too, and nodes are not alike."""
    rules = problem.topology
    differ = rules is not None and rules.nodes is not None
    return problem.splits_by_sender and (differ or problem.num_gpus % problem.num_nodes > 0)


def _free(rules: Topology) -> Topology:
    """The nodes of a topology alone, without a price or a limit."""
    return replace(rules, price=0.0, max_off_home=None)


def _row(kind: str, price: float | None, judge: Problem, result: Result) -> TopologyRow:
    placed = result.plan.physical_to_logical
    num = judge.num_layers
    rules = judge.topology
    # Whole groups are at home on their node, unless homes are given, links have costs or GPUs send.
    has_homes = rules is not None and (rules.homes is not None or not rules.counts_off_home)
    is_home = kind == "strict" and not (has_homes or judge.splits_by_sender)
    away = Fraction(0) if is_home else sum(homes.off_home(judge, placed), Fraction(0))
    load = sum(scoring.load_ratios(judge, placed), Fraction(0))
    if result.problem.has_topology:
        objective = sum((pair.objective for pair in result.bounds), Fraction(0))
        lower = sum((pair.lower for pair in result.bounds), Fraction(0))
    else:
        objective = load
        lower = _proven_load(judge, result)
    return TopologyRow(
        kind,
        price,
        round_up(load / num),
        round_up(away / num),
        round_up(objective / num),
        round_down(lower / num),
        result,
    )


def _proven_load(judge: Problem, result: Result) -> Fraction:
    """What is proven of the ratios of largest to mean loads, added up over the layers."""
    if judge.has_scenarios:  # whose bounds are such ratios
        return sum((pair.lower for pair in result.bounds), Fraction(0))
    flat = [Bound(pair.lower, "") for pair in result.bounds]
    return sum((bound.value for bound in load_bounds(judge, flat)), Fraction(0))
