"""Bounds where groups stay on nodes whose GPUs differ: which groups a node holds matters there."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.partitions import MAX_GROUP_SETS, MAX_PARTITION_STEPS
from eplb_opt.bounds.water_level import water_levels
from eplb_opt.problem import node_kinds, topology

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.problem.problem import Problem

#: A node, and groups that it holds, ascending.
Household = tuple[int, tuple[int, ...]]


def unlike_node_bounds(problem: Problem) -> list[Fraction]:
    """The least, over all ways to give nodes their groups, of the largest node's bound, by layer.

    A node with a set of groups is a flat problem of its own: its largest load is at least the mean
    there, what its speeds add up to taken into account, and the water level of its slots over its
    largest speed. Where there are too many ways, the node of the heaviest group gives a bound: it
    carries that group and at least the lightest others, on the fastest node at best.
    """
    if not _can_look_at_all(problem):
        return _heaviest_group_bounds(problem)
    sets = list(combinations(range(problem.num_groups), problem.groups_per_node))
    kinds = node_kinds.kinds_of_nodes(problem)
    keys = [(kind, held) for kind in sorted(set(kinds)) for held in sets]
    found = []
    for layer_idx in range(problem.num_layers):
        bounds = household_bounds(problem.layer(layer_idx), keys)
        found.append(_least_of_all_ways(kinds, sets, bounds, problem.num_groups))
    return found


def household_bounds(problem: Problem, keys: Sequence[Household]) -> dict[Household, Fraction]:
    """The larger of mean and water level for each node with groups that it holds.

    Parameters
    ----------
    problem
        A problem of one layer whose groups stay on nodes.
    keys
        Nodes and their groups, equally many each.
    """
    unit = problem.whole_speed[1]
    rates, fastest = node_kinds.rates_of_nodes(problem), node_kinds.fastest_of_nodes(problem)
    slots = topology.slots_of_nodes(problem).tolist()
    grouped = problem.load[0].reshape(problem.num_groups, -1)
    rows = grouped[np.array([held for _, held in keys])].reshape(len(keys), -1)
    nodes = np.array([node for node, _ in keys])
    levels: list[Fraction] = [Fraction(0)] * len(keys)
    for num_slots in set(slots):
        those = np.flatnonzero(np.array(slots)[nodes] == num_slots).tolist()
        if those:
            for i, level in zip(those, water_levels(rows[those], num_slots), strict=True):
                levels[i] = level
    totals = zip(keys, rows.sum(axis=1).tolist(), levels, strict=True)
    return {
        key: max(Fraction(total * unit, rates[key[0]]), level * unit / fastest[key[0]])
        for key, total, level in totals
    }


def choice_bounds(problem: Problem, choices: np.ndarray) -> list[Fraction]:
    """The largest node's bound in each choice of a node for each group.

    Parameters
    ----------
    problem
        A problem of one layer whose groups stay on nodes.
    choices
        int64 [num_choices, num_groups], the node of each group, equally many each.
    """
    values, worst = ranked_choices(problem, choices)
    return [values[i] for i in worst.tolist()]


def ranked_choices(problem: Problem, choices: np.ndarray) -> tuple[list[Fraction], np.ndarray]:
    """The same as different bounds, ascending, and the place of each choice's, [num_choices]."""
    kinds = node_kinds.kinds_of_nodes(problem)
    keys, of_choice = _households(kinds, choices.tobytes(), choices.shape)
    known = household_bounds(problem, keys)
    values = sorted(set(known.values()))
    rank = {value: i for i, value in enumerate(values)}  # rationals are compared once
    return values, np.array([rank[known[key]] for key in keys])[of_choice].max(axis=1)


@lru_cache(maxsize=8)
def _households(
    kinds: tuple[int, ...], choices: bytes, shape: tuple[int, int]
) -> tuple[list[Household], np.ndarray]:
    """Who is together on a node in any of the choices, and who in each, [num_choices, num_nodes].

    All layers ask for the same.
    """
    choice = np.frombuffer(choices, dtype=np.int64).reshape(shape)
    is_held = choice[:, None, :] == np.arange(len(kinds))[:, None]
    kind = np.broadcast_to(np.array(kinds)[:, None], (shape[0], len(kinds), 1))
    rows = np.concatenate([kind, is_held], axis=2).reshape(-1, 1 + shape[1])
    known, of_choice = np.unique(rows, axis=0, return_inverse=True)
    keys = [(int(row[0]), tuple(np.flatnonzero(row[1:]).tolist())) for row in known]
    return keys, of_choice.reshape(shape[0], len(kinds))


def _least_of_all_ways(
    kinds: Sequence[int],
    sets: list[tuple[int, ...]],
    bounds: dict[Household, Fraction],
    num_groups: int,
) -> Fraction:
    """The least largest bound, node by node over sets of groups that are placed, as bit masks."""
    masks = [sum(1 << group for group in held) for held in sets]
    values = sorted(set(bounds.values()))
    rank = {value: i for i, value in enumerate(values)}  # rationals are compared once
    ranks = {kind: [rank[bounds[kind, held]] for held in sets] for kind in sorted(set(kinds))}
    best = {0: 0}
    for kind in kinds:
        after: dict[int, int] = {}
        for done, worst in best.items():
            for mask, cost in zip(masks, ranks[kind], strict=True):
                if not done & mask:
                    value = max(worst, cost)
                    if value < after.get(done | mask, len(values)):
                        after[done | mask] = value
        best = after
    return values[best[2**num_groups - 1]]


def _can_look_at_all(problem: Problem) -> bool:
    """Whether looking at every way takes some milliseconds a layer."""
    size, total = problem.groups_per_node, problem.num_groups
    if comb(total, size) > MAX_GROUP_SETS:
        return False
    steps = sum(comb(total, done) * comb(total, size) for done in range(0, total, size))
    return steps <= MAX_PARTITION_STEPS


def _heaviest_group_bounds(problem: Problem) -> list[Fraction]:
    totals = problem.load.reshape(problem.num_layers, problem.num_groups, -1).sum(axis=2)
    totals = np.sort(totals, axis=1)
    lightest = totals[:, : problem.groups_per_node - 1].sum(axis=1)
    unit, best = problem.whole_speed[1], max(node_kinds.rates_of_nodes(problem))
    return [Fraction(held * unit, best) for held in (totals[:, -1] + lightest).tolist()]
