"""The plans of each layer that trade moved slots for balance."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import MissingDependency
from eplb_opt.migration.descents import plans_at_price, plans_by_descent, plans_on_nodes
from eplb_opt.migration.naming import in_kept_slots, keeps_names, named, naming_seconds
from eplb_opt.migration.sender_descents import plans_by_exchanges
from eplb_opt.placement import checker, scoring
from eplb_opt.placement.moves import counted_moves
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.topology import slots_of_nodes
from eplb_opt.search.by_senders import descends

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eplb_opt.clock import Budget, Deadline
    from eplb_opt.placement.moves import MovePrice
    from eplb_opt.problem.problem import Problem

#: Slices of annealing for one unit of effort: four for each price.
SLICES_PER_EFFORT = 48
#: The part of a layer's turn that searches; the rest scores what was found.
SEARCH_SHARE = 0.9
#: GPUs are renamed where that takes less than a quarter of a layer's turn: renaming is what makes
#: the last point of the frontier cheap to reach.
NAMING_PARTS = 4
#: The search keeps a plan for every number of moves. Layers with more slots than this would take
#: hundreds of megabytes each, and have the ends of their frontiers alone.
MOST_SLOTS = 5000
#: A shorter search of a layer finds nothing.
LEAST_SEARCH_SECONDS = 0.002


@dataclass(frozen=True, eq=False)
class FrontPoint:
    """A plan of one layer and what it costs to get there.

    Parameters
    ----------
    moves
        The number of slots whose expert is new on its GPU; those from another node count as often
        as the call says.
    objective
        The layer's exact objective, in the problem's integer units.
    placed
        int64 [num_slots], the expert in each slot.
    """

    moves: int
    objective: Fraction
    placed: np.ndarray


@dataclass(eq=False)
class Faults:
    """What failed on the way to an answer that is given all the same."""

    by_layer: dict[int, str] = field(default_factory=dict)

    @contextmanager
    def of(self, layer_idx: int) -> Iterator[None]:
        """Note what is raised inside, so that it costs nothing but itself."""
        try:
            yield
        except MissingDependency as error:
            self.by_layer.setdefault(layer_idx, str(error))
        except Exception as error:  # a fault in the search never costs the caller the answer
            what = f"near plans failed on layer {layer_idx}: {type(error).__name__}: {error}"
            self.by_layer.setdefault(layer_idx, what)

    @property
    def messages(self) -> tuple[str, ...]:
        """The first layer's message, whichever failed first; none where nothing failed."""
        return (self.by_layer[min(self.by_layer)],) if self.by_layer else ()


def find_frontiers(
    problem: Problem,
    current: Plan,
    best: np.ndarray,
    budget: Budget,
    worth: Sequence[tuple[Fraction, Fraction]] | None = None,
    naming: float | None = None,
    faults: Faults | None = None,
    tolerance: float | None = None,
    price: MovePrice | None = None,
) -> list[list[FrontPoint]]:
    """What each number of moves buys, one frontier a layer; see `FrontPoint`.

    A layer for which there is no time, or whose search fails, has the ends of its frontier alone.

    Parameters
    ----------
    problem
        The problem that is planned.
    current
        The plan in force, which obeys the problem's rules.
    best
        int64 [num_layers, num_slots], a plan made without limits; it ends the frontiers.
    budget
        What this work alone may spend.
    worth
        [num_layers], the exact objectives of current and best, where they are known.
    naming
        Seconds that the names of all GPUs take, where that is known; see `naming_seconds`.
    faults
        Collects what failed on which layer.
    tolerance
        The part of the best objective that fewer moves may cost, where that is asked for.
    price
        What moves count; all alike by default.
    """
    faults = Faults() if faults is None else faults
    slices = None if budget.effort is None else budget.effort * SLICES_PER_EFFORT
    ends = _ends(problem, current, best, worth, price)
    is_sent = problem.splits_by_sender
    is_known = problem.num_slots <= MOST_SLOTS or descends(problem)
    if not is_known:
        faults.by_layer[0] = f"near plans are looked for up to {MOST_SLOTS} slots a layer alone."
    has_unlike_nodes = problem.is_hierarchical and bool(np.ptp(slots_of_nodes(problem)))
    naming = naming_seconds(problem, current, best, price) if naming is None else naming
    naming /= problem.num_layers

    def work(layer_idx: int) -> list[FrontPoint]:
        # Layers not yet begun share the time left with this one.
        turn = budget.even_part(problem.num_layers - layer_idx, SEARCH_SHARE)
        row = current.physical_to_logical[layer_idx]
        first, last = ends[layer_idx]
        found = []
        is_named = not keeps_names(problem, price) and turn.remaining > NAMING_PARTS * naming
        until = turn.earlier(naming) if is_named else turn
        is_searched = slices != 0 and is_known
        layer = problem.layer(layer_idx)
        if is_searched and not turn.expired:
            levels = [] if tolerance is None else [last.objective * (1 + Fraction(tolerance))]
            with faults.of(layer_idx):
                if is_sent:
                    rows = plans_by_exchanges(layer, row, levels) if descends(layer) else []
                elif problem.has_topology:
                    rows = plans_at_price(layer, row, last.placed, turn, price)
                elif problem.binds_unlike_gpus:
                    rows = plans_on_nodes(layer, row, turn)
                else:
                    rows = plans_by_descent(layer, row, levels, turn.remaining, price)
                found = _scored(layer, row, rows, price)
        # The annealing for few moves knows no homes, and no nodes that differ.
        is_searched &= problem.num_slots <= MOST_SLOTS and not has_unlike_nodes
        is_searched &= is_sent or not problem.has_topology
        if is_searched and until.remaining > LEAST_SEARCH_SECONDS:
            with faults.of(layer_idx):
                given = layer, row, budget.seed, until, slices
                tried = _sent(first, last, price, *given) if is_sent else _searched(*given)
                found += _scored(layer, row, tried, price)
        if is_named:
            with faults.of(layer_idx):
                last = _named(problem, row, last, price)
        return _frontier([first, *found, last])

    with ThreadPoolExecutor(budget.workers, thread_name_prefix="eplb-opt") as pool:
        return list(pool.map(work, range(problem.num_layers)))


def frontier_ends(
    problem: Problem,
    current: Plan,
    best: np.ndarray,
    worth: Sequence[tuple[Fraction, Fraction]] | None = None,
    price: MovePrice | None = None,
) -> list[list[FrontPoint]]:
    """The frontiers without any search: the plan in force and the best one alone."""
    return [_frontier(list(ends)) for ends in _ends(problem, current, best, worth, price)]


def _ends(
    problem: Problem,
    current: Plan,
    best: np.ndarray,
    worth: Sequence[tuple[Fraction, Fraction]] | None,
    price: MovePrice | None,
) -> list[tuple[FrontPoint, FrontPoint]]:
    """The plan in force and the best one, its survivors in their slots, layer by layer."""
    held, best = current.physical_to_logical, in_kept_slots(problem, current, best)
    found = Plan(best, problem.num_gpus, problem.num_experts)
    moves = counted_moves(current, found, price).tolist()
    if worth is None:
        both = scoring.layer_objectives(problem, held), scoring.layer_objectives(problem, best)
        worth = list(zip(*both, strict=True))
    return [
        (FrontPoint(0, before, held[i]), FrontPoint(moves[i], after, best[i]))
        for i, (before, after) in enumerate(worth)
    ]


def _searched(
    layer: Problem, current: np.ndarray, seed: int, turn: Deadline, slices: int | None
) -> list[np.ndarray]:
    """What annealing finds."""
    from eplb_opt.search.annealing.priced_moves import plans_with_few_moves

    return plans_with_few_moves(layer, current, seed, turn, slices)[1:]


def _sent(
    first: FrontPoint,
    last: FrontPoint,
    price: MovePrice | None,
    layer: Problem,
    current: np.ndarray,
    seed: int,
    turn: Deadline,
    slices: int | None,
) -> list[np.ndarray]:
    """What annealing finds where every GPU sends to one copy."""
    from eplb_opt.search.annealing.sent_moves import plans_near

    gain = float(1 - last.objective / first.objective) if first.objective else 0.0
    return plans_near(layer, current, last.placed, gain, seed, turn, slices, price)


def _scored(
    layer: Problem, current: np.ndarray, tried: list[np.ndarray], price: MovePrice | None
) -> list[FrontPoint]:
    """Plans of a layer, checked and scored exactly."""
    if not tried:
        return []
    rows, num = np.array(tried), len(tried)
    copies = layer.repeated(0, num)
    checker.check(copies, rows)
    held = Plan(np.tile(current, (num, 1)), layer.num_gpus, layer.num_experts)
    found = Plan(rows, layer.num_gpus, layer.num_experts)
    moves = counted_moves(held, found, price).tolist()
    points = zip(moves, scoring.layer_objectives(copies, rows), rows, strict=True)
    return [FrontPoint(*point) for point in points]


def _named(
    problem: Problem, current: np.ndarray, point: FrontPoint, price: MovePrice | None
) -> FrontPoint:
    """The same plan, worth the same, with its GPUs named as the plan in force has them."""
    placed = named(problem, current, point.placed, price)
    held = Plan(current[None], problem.num_gpus, problem.num_experts)
    found = Plan(placed[None], problem.num_gpus, problem.num_experts)
    moved = counted_moves(held, found, price)
    return FrontPoint(int(moved[0]), point.objective, placed)


def _frontier(points: list[FrontPoint]) -> list[FrontPoint]:
    """The points that no other beats in both, fewest moves first.

    The first is the plan in force, or a better one that moves nothing either: a GPU may trade a
    second copy of one expert for a second copy of another that it holds.
    """
    frontier: list[FrontPoint] = []
    for point in sorted(points, key=lambda p: (p.moves, p.objective)):
        if not frontier or point.objective < frontier[-1].objective:
            frontier.append(point)
    return frontier
