"""The linear constraints of the count-and-assignment model, one function a rule, in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.exact.shared.constraints import (
    UNLIMITED,
    LinearConstraints,
    constraints_of,
    no_constraints,
)
from eplb_opt.exact.shared.order import gpu_key_weights, group_ranks, like_gpus, nodes_are_alike

if TYPE_CHECKING:
    from eplb_opt.exact.counts.formulation import CountFormulation
    from eplb_opt.exact.formulations import AnyFormulation


def one_count_per_expert(f: CountFormulation) -> LinearConstraints:
    """sum_c z_ec = 1."""
    one = _constant(f.problem.num_experts, 1)
    return constraints_of([(f.expert, f.chosen, 1)], one, one)


def replicas_match_the_count(f: CountFormulation) -> LinearConstraints:
    """sum_g y_ecg = c z_ec."""
    choice = np.arange(len(f.count))
    zero = _constant(len(choice), 0)
    return constraints_of(
        [(choice[:, None], f.placed, 1), (choice, f.chosen, -f.count)], zero, zero
    )


def gpus_are_full(f: CountFormulation) -> LinearConstraints:
    """sum_ec y_ecg = open slots of g."""
    slots = f.problem.open_slots
    return constraints_of([(_gpus(f), f.placed, 1)], slots, slots)


def counts_fill_the_slots(f: CountFormulation) -> LinearConstraints:
    """sum_ec c z_ec = open slots; it follows from other rules and spares the backend the proof."""
    slots = _constant(1, int(f.problem.open_slots.sum()))
    return constraints_of([(0, f.chosen, f.count)], slots, slots)


def no_gpu_exceeds_t(f: CountFormulation) -> LinearConstraints:
    """sum_ec size_ecg y_ecg <= T under every load; loads share a T or have one each."""
    num_loads, num_gpus = len(f.size), f.problem.num_gpus
    row = np.arange(num_loads * num_gpus).reshape(num_loads, 1, num_gpus)
    return constraints_of(
        [(row, f.placed, f.size), (row[:, 0], f.peaks[:, None], -1)],
        _constant(row.size, -UNLIMITED),
        _constant(row.size, 0),
    )


def replicas_are_not_colocated(f: CountFormulation) -> LinearConstraints:
    """sum_c y_ecg <= 1 under colocation="forbid"."""
    if f.problem.colocation == "allow":
        return no_constraints()
    row = f.expert[:, None] * f.problem.num_gpus + _gpus(f)
    num_rows = f.problem.num_experts * f.problem.num_gpus
    return constraints_of([(row, f.placed, 1)], _constant(num_rows, 0), _constant(num_rows, 1))


def groups_have_one_node(f: AnyFormulation) -> LinearConstraints:
    """sum_n x_hn = 1."""
    group = np.arange(len(f.group_on_node))[:, None]
    one = _constant(len(f.group_on_node), 1)
    return constraints_of([(group, f.group_on_node, 1)], one, one)


def nodes_take_equally_many_groups(f: AnyFormulation) -> LinearConstraints:
    """sum_h x_hn = groups_per_node."""
    num_nodes = f.group_on_node.shape[1]
    equal = _constant(num_nodes, f.problem.groups_per_node)
    return constraints_of([(np.arange(num_nodes), f.group_on_node, 1)], equal, equal)


def replicas_follow_their_group(f: CountFormulation) -> LinearConstraints:
    """sum_(c, g on n) y_ecg <= (most replicas of e) x_hn with h the group of e."""
    if not f.group_on_node.size:
        return no_constraints()
    num_nodes = f.problem.num_nodes
    node = np.arange(f.problem.num_gpus) // f.problem.gpus_per_node
    most = np.zeros(f.problem.num_experts, dtype=np.int64)
    np.maximum.at(most, f.expert, f.count)
    row = np.arange(len(most) * num_nodes).reshape(-1, num_nodes)
    host = np.repeat(f.group_on_node, f.problem.experts_per_group, axis=0)
    return constraints_of(
        [(f.expert[:, None] * num_nodes + node, f.placed, 1), (row, host, -most[:, None])],
        _constant(row.size, -UNLIMITED),
        _constant(row.size, 0),
    )


def pinned_experts_stand_there(f: CountFormulation) -> LinearConstraints:
    """sum_c y_ecg >= 1 where e is pinned to g."""
    if f.problem.pinned is None:
        return no_constraints()
    return _tied_constraints(f, f.problem.pinned[0], 1, UNLIMITED)


def forbidden_experts_stand_elsewhere(f: CountFormulation) -> LinearConstraints:
    """sum_c y_ecg = 0 where e is forbidden on g."""
    if f.problem.forbidden is None:
        return no_constraints()
    return _tied_constraints(f, f.problem.forbidden[0], 0, 0)


def replicas_are_spread(f: CountFormulation) -> LinearConstraints:
    """sum_(c, g of a unit) y_ecg <= sum_c (c - 1) z_ec: one replica at least is elsewhere.

    A unit is a GPU or a node: what the plan is to survive the loss of.
    """
    if f.problem.spread is None:
        return no_constraints()
    size = 1 if f.problem.spread == "gpu" else f.problem.gpus_per_node
    num_units = f.problem.num_gpus // size
    first = f.expert[:, None] * num_units
    num_rows = f.problem.num_experts * num_units
    return constraints_of(
        [
            (first + _gpus(f) // size, f.placed, 1),
            (first + np.arange(num_units), f.chosen[:, None], 1 - f.count[:, None]),
        ],
        _constant(num_rows, -UNLIMITED),
        _constant(num_rows, 0),
    )


def few_slots_change(f: CountFormulation) -> LinearConstraints:
    """Sum of y_ecg <= max_moves where e is new on g.

    A further replica of an expert that the GPU holds already moves nothing.
    """
    if f.change is None or f.change.max_moves is None:
        return no_constraints()
    return constraints_of([(0, f.moving, 1)], _constant(1, 0), _constant(1, f.change.max_moves))


def value_stays_within(f: AnyFormulation) -> LinearConstraints:
    """sum_r weight_r T_r <= limit, where the moves are minimised.

    The limit is rounded so that every plan within it obeys this rule.
    """
    if f.change is None or f.change.limit is None:
        return no_constraints()
    most = _constant(1, min(f.to_units(f.change.limit), UNLIMITED - 1))
    peaks = np.arange(f.choices.num_peaks)
    return constraints_of([(0, peaks, np.array(f.weight))], _constant(1, -UNLIMITED), most)


def gpus_stand_in_order(f: CountFormulation) -> LinearConstraints:
    """The keys of like GPUs do not increase; `shared.order` says why that loses no plan."""
    weight = gpu_key_weights(f.problem)[f.expert]
    key = np.flatnonzero(weight)
    kinds = like_gpus(f.problem, None if f.change is None else f.change.held)
    left = np.concatenate([like[:-1] for like in kinds])
    right = np.concatenate([like[1:] for like in kinds])
    if not len(left):
        return no_constraints()
    row = np.arange(len(left))
    terms = [
        (row, f.placed[key][:, left], weight[key, None]),
        (row, f.placed[key][:, right], -weight[key, None]),
    ]
    return constraints_of(terms, _constant(len(left), 0), _constant(len(left), UNLIMITED))


def nodes_stand_in_order(f: AnyFormulation) -> LinearConstraints:
    """x_hn <= sum of x_h',n-1 over the groups h' that rank before h.

    The nodes are alike, so they may be numbered by the first group that each takes.
    """
    num_groups, num_nodes = f.group_on_node.shape
    held = None if f.change is None else f.change.held
    if num_nodes < 2 or not nodes_are_alike(f.problem, held):
        return no_constraints()
    rank = group_ranks(f.problem)
    row = np.arange(num_groups * (num_nodes - 1)).reshape(num_groups, -1)
    group, earlier = np.nonzero(rank[:, None] > rank[None, :])
    terms = [(row, f.group_on_node[:, 1:], 1), (row[group], f.group_on_node[earlier, :-1], -1)]
    return constraints_of(terms, _constant(row.size, -UNLIMITED), _constant(row.size, 0))


Rule = Callable[["CountFormulation"], LinearConstraints]

RULES: tuple[Rule, ...] = (
    one_count_per_expert,
    replicas_match_the_count,
    gpus_are_full,
    counts_fill_the_slots,
    no_gpu_exceeds_t,
    replicas_are_not_colocated,
    groups_have_one_node,
    nodes_take_equally_many_groups,
    replicas_follow_their_group,
    pinned_experts_stand_there,
    forbidden_experts_stand_elsewhere,
    replicas_are_spread,
    few_slots_change,
    value_stays_within,
    gpus_stand_in_order,
    nodes_stand_in_order,
)


def _tied_constraints(
    f: CountFormulation, tied: np.ndarray, least: int, most: int
) -> LinearConstraints:
    """Least <= sum_c y_ecg <= most where a mask [num_experts, num_gpus] is set."""
    number = np.cumsum(tied).reshape(tied.shape) - 1
    choice, gpu = np.nonzero(tied[f.expert])
    num_rows = int(tied.sum())
    return constraints_of(
        [(number[f.expert[choice], gpu], f.placed[choice, gpu], 1)],
        _constant(num_rows, least),
        _constant(num_rows, most),
    )


def _gpus(f: CountFormulation) -> np.ndarray:
    return np.arange(f.problem.num_gpus)


def _constant(num_rows: int, value: int) -> np.ndarray:
    return np.full(num_rows, value, dtype=np.int64)
