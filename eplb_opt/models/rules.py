"""The rules of the count-and-assignment model, one function a rule, in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.models.formulation import LARGEST_LOAD
from eplb_opt.models.order import gpu_key_weights, group_ranks
from eplb_opt.models.rows import UNLIMITED, Rows, no_rows, rows_of

if TYPE_CHECKING:
    from eplb_opt.models.formulation import Formulation


def one_count_per_expert(f: Formulation) -> Rows:
    """sum_c z_ec = 1."""
    one = _constant(f.problem.num_experts, 1)
    return rows_of([(f.expert, f.chosen, 1)], one, one)


def replicas_match_the_count(f: Formulation) -> Rows:
    """sum_g y_ecg = c z_ec."""
    choice = np.arange(len(f.count))
    zero = _constant(len(choice), 0)
    return rows_of([(choice[:, None], f.placed, 1), (choice, f.chosen, -f.count)], zero, zero)


def gpus_are_full(f: Formulation) -> Rows:
    """sum_ec y_ecg = slots_per_gpu."""
    slots = _constant(f.problem.num_gpus, f.problem.slots_per_gpu)
    return rows_of([(_gpus(f), f.placed, 1)], slots, slots)


def counts_fill_the_slots(f: Formulation) -> Rows:
    """sum_ec c z_ec = num_slots; follows from other rules, but spares the solver the way there."""
    slots = _constant(1, f.problem.num_slots)
    return rows_of([(0, f.chosen, f.count)], slots, slots)


def no_gpu_exceeds_t(f: Formulation) -> Rows:
    """sum_ec size_ec y_ecg <= T."""
    load = (_gpus(f), f.placed, f.size[:, None])
    num_gpus = f.problem.num_gpus
    return rows_of(
        [load, (_gpus(f), LARGEST_LOAD, -1)],
        _constant(num_gpus, -UNLIMITED),
        _constant(num_gpus, 0),
    )


def replicas_stand_apart(f: Formulation) -> Rows:
    """sum_c y_ecg <= 1 under colocation="forbid"."""
    if f.problem.colocation == "allow":
        return no_rows()
    pair = f.expert[:, None] * f.problem.num_gpus + _gpus(f)
    num_pairs = f.problem.num_experts * f.problem.num_gpus
    return rows_of([(pair, f.placed, 1)], _constant(num_pairs, 0), _constant(num_pairs, 1))


def groups_have_one_node(f: Formulation) -> Rows:
    """sum_n x_hn = 1."""
    group = np.arange(len(f.hosted))[:, None]
    one = _constant(len(f.hosted), 1)
    return rows_of([(group, f.hosted, 1)], one, one)


def nodes_take_equally_many_groups(f: Formulation) -> Rows:
    """sum_h x_hn = groups_per_node."""
    num_nodes = f.hosted.shape[1]
    equal = _constant(num_nodes, f.problem.groups_per_node)
    return rows_of([(np.arange(num_nodes), f.hosted, 1)], equal, equal)


def replicas_follow_their_group(f: Formulation) -> Rows:
    """sum_(c, g on n) y_ecg <= (most replicas of e) x_hn with h the group of e."""
    if not f.hosted.size:
        return no_rows()
    num_nodes = f.problem.num_nodes
    node = np.arange(f.problem.num_gpus) // f.problem.gpus_per_node
    most = np.zeros(f.problem.num_experts, dtype=np.int64)
    np.maximum.at(most, f.expert, f.count)
    pair = np.arange(len(most) * num_nodes).reshape(-1, num_nodes)
    host = np.repeat(f.hosted, f.problem.experts_per_group, axis=0)
    return rows_of(
        [(f.expert[:, None] * num_nodes + node, f.placed, 1), (pair, host, -most[:, None])],
        _constant(pair.size, -UNLIMITED),
        _constant(pair.size, 0),
    )


def gpus_stand_in_order(f: Formulation) -> Rows:
    """Keys of the GPUs of a node do not increase.

    The GPUs of a node are alike, so the plans in this order stand for all; see `order`.
    """
    weight = gpu_key_weights(f.problem)[f.expert]
    key = np.flatnonzero(weight)
    left = np.flatnonzero(np.diff(np.arange(f.problem.num_gpus) // f.problem.gpus_per_node) == 0)
    if not len(left):
        return no_rows()
    row = np.arange(len(left))
    terms = [
        (row, f.placed[key][:, left], weight[key, None]),
        (row, f.placed[key][:, left + 1], -weight[key, None]),
    ]
    return rows_of(terms, _constant(len(left), 0), _constant(len(left), UNLIMITED))


def nodes_stand_in_order(f: Formulation) -> Rows:
    """x_hn <= sum of x_h',n-1 over the groups h' that rank before h.

    The nodes are alike, so they may be numbered by the first group that each takes.
    """
    num_groups, num_nodes = f.hosted.shape
    if num_nodes < 2:
        return no_rows()
    rank = group_ranks(f.problem)
    row = np.arange(num_groups * (num_nodes - 1)).reshape(num_groups, -1)
    group, earlier = np.nonzero(rank[:, None] > rank[None, :])
    terms = [(row, f.hosted[:, 1:], 1), (row[group], f.hosted[earlier, :-1], -1)]
    return rows_of(terms, _constant(row.size, -UNLIMITED), _constant(row.size, 0))


Rule = Callable[["Formulation"], Rows]

RULES: tuple[Rule, ...] = (
    one_count_per_expert,
    replicas_match_the_count,
    gpus_are_full,
    counts_fill_the_slots,
    no_gpu_exceeds_t,
    replicas_stand_apart,
    groups_have_one_node,
    nodes_take_equally_many_groups,
    replicas_follow_their_group,
    gpus_stand_in_order,
    nodes_stand_in_order,
)


def _gpus(f: Formulation) -> np.ndarray:
    return np.arange(f.problem.num_gpus)


def _constant(num_rows: int, value: int) -> np.ndarray:
    return np.full(num_rows, value, dtype=np.int64)
