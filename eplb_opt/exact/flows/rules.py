"""The linear constraints of the flow model, one function a rule, in any order.

The rules of groups, of the limit on a plan's value and of the order of nodes are those of
`counts.rules`: they speak of columns that both models have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.exact.counts import rules
from eplb_opt.exact.flows.order import set_key_weights
from eplb_opt.exact.shared.constraints import (
    UNLIMITED,
    LinearConstraints,
    constraints_of,
    no_constraints,
)
from eplb_opt.exact.shared.order import like_gpus

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.exact.flows.formulation import FlowFormulation


def experts_have_hosts(f: FlowFormulation) -> LinearConstraints:
    """sum_g h_eg >= the fewest hosts of e in a plan no worse than the start, at least 1."""
    fewest = f.choices.fewest
    expert = np.arange(len(fewest))[:, None]
    return constraints_of([(expert, f.hosts, 1)], fewest, _constant(len(fewest), UNLIMITED))


def gpus_hold_what_fits(f: FlowFormulation) -> LinearConstraints:
    """1 <= sum_e h_eg <= open slots of g; equal to them under colocation="forbid".

    The remaining slots of a GPU repeat one of its experts, so it needs one. Where no expert may
    stand twice on a GPU, none can be repeated.
    """
    slots = f.problem.open_slots
    least = slots if f.problem.colocation == "forbid" else np.minimum(slots, 1)
    return constraints_of([(_gpus(f), f.hosts, 1)], least, slots)


def tokens_go_somewhere(f: FlowFormulation) -> LinearConstraints:
    """sum_g f_egr = floor(Q w_er)."""
    row = np.arange(f.size.size).reshape(*f.size.shape, 1)
    return constraints_of([(row, f.flows, 1)], f.size.ravel(), f.size.ravel())


def tokens_go_to_hosts(f: FlowFormulation) -> LinearConstraints:
    """f_egr <= (most that g can take of it) h_eg."""
    row = np.arange(f.flows.size).reshape(f.flows.shape)
    return constraints_of(
        [(row, f.flows, 1), (row, f.hosts[None], -f.flow_upper)],
        _constant(row.size, -UNLIMITED),
        _constant(row.size, 0),
    )


def no_gpu_exceeds_t(f: FlowFormulation) -> LinearConstraints:
    """sum_e f_egr <= ceil(speed_g T) under every load."""
    num_loads, num_gpus = len(f.size), f.problem.num_gpus
    row = np.arange(num_loads * num_gpus).reshape(num_loads, 1, num_gpus)
    top, bottom = np.array(f.rate, dtype=np.int64).T
    return constraints_of(
        [(row, f.flows, bottom), (row[:, 0], f.peaks[:, None], -top)],
        _constant(row.size, -UNLIMITED),
        np.tile(bottom - 1, num_loads),
    )


def experts_follow_their_group(f: FlowFormulation) -> LinearConstraints:
    """h_eg <= x_hn with h the group of e and n the node of g."""
    if not f.group_on_node.size:
        return no_constraints()
    expert, gpu = np.indices(f.hosts.shape)
    home = f.group_on_node[expert // f.problem.experts_per_group, gpu // f.problem.gpus_per_node]
    row = np.arange(f.hosts.size).reshape(f.hosts.shape)
    return constraints_of(
        [(row, f.hosts, 1), (row, home, -1)],
        _constant(row.size, -UNLIMITED),
        _constant(row.size, 0),
    )


def pinned_experts_stand_there(f: FlowFormulation) -> LinearConstraints:
    """h_eg = 1 where e is pinned to g."""
    return _tied_constraints(f, f.problem.pinned, 1)


def forbidden_experts_stand_elsewhere(f: FlowFormulation) -> LinearConstraints:
    """h_eg = 0 where e is forbidden on g."""
    return _tied_constraints(f, f.problem.forbidden, 0)


def hosts_are_spread(f: FlowFormulation) -> LinearConstraints:
    """Sum of h_eg over the GPUs outside a unit, a GPU or a node, >= 1, for every unit."""
    if f.problem.spread is None:
        return no_constraints()
    size = 1 if f.problem.spread == "gpu" else f.problem.gpus_per_node
    num_units = f.problem.num_gpus // size
    unit, gpu = np.nonzero(np.arange(num_units)[:, None] != _gpus(f) // size)
    first = np.arange(f.problem.num_experts)[:, None] * num_units
    num_rows = f.problem.num_experts * num_units
    return constraints_of(
        [(first + unit, f.hosts[:, gpu], 1)],
        _constant(num_rows, 1),
        _constant(num_rows, UNLIMITED),
    )


def slots_are_filled(f: FlowFormulation) -> LinearConstraints:
    """filling_g + sum of new h_eg + (open slots of g)(sum of held h_eg) >= open slots of g.

    A GPU that keeps an expert repeats it in its remaining slots, and these do not move; a GPU that
    keeps none has a new expert in every slot.
    """
    if f.change is None:
        return no_constraints()
    slots, held = f.problem.open_slots, f.change.held
    return constraints_of(
        [(_gpus(f), f.filling, 1), (_gpus(f), f.hosts, np.where(held, slots, 1))],
        slots,
        _constant(len(slots), UNLIMITED),
    )


def few_slots_change(f: FlowFormulation) -> LinearConstraints:
    """Sum of h_eg where e is new on g, and of filling_g, <= max_moves."""
    if f.change is None or f.change.max_moves is None:
        return no_constraints()
    return constraints_of([(0, f.moving, 1)], _constant(1, 0), _constant(1, f.change.max_moves))


def gpus_stand_in_order(f: FlowFormulation) -> LinearConstraints:
    """The keys of like GPUs do not increase; `shared.order` says why that loses no plan."""
    kinds = like_gpus(f.problem, None if f.change is None else f.change.held)
    left = np.concatenate([like[:-1] for like in kinds])
    right = np.concatenate([like[1:] for like in kinds])
    if not len(left):
        return no_constraints()
    weight = set_key_weights(f.problem)
    key = np.flatnonzero(weight)
    row = np.arange(len(left))
    terms = [
        (row, f.hosts[key][:, left], weight[key, None]),
        (row, f.hosts[key][:, right], -weight[key, None]),
    ]
    return constraints_of(terms, _constant(len(left), 0), _constant(len(left), UNLIMITED))


FLOW_RULES: tuple[Callable[[FlowFormulation], LinearConstraints], ...] = (
    experts_have_hosts,
    gpus_hold_what_fits,
    tokens_go_somewhere,
    tokens_go_to_hosts,
    no_gpu_exceeds_t,
    rules.groups_have_one_node,
    rules.nodes_take_equally_many_groups,
    experts_follow_their_group,
    pinned_experts_stand_there,
    forbidden_experts_stand_elsewhere,
    hosts_are_spread,
    slots_are_filled,
    few_slots_change,
    rules.value_stays_within,
    gpus_stand_in_order,
    rules.nodes_stand_in_order,
)


def _tied_constraints(f: FlowFormulation, tied: np.ndarray | None, value: int) -> LinearConstraints:
    """The h of a mask [1, num_experts, num_gpus] have that value."""
    if tied is None:
        return no_constraints()
    columns = f.hosts[tied[0]]
    fixed = _constant(len(columns), value)
    return constraints_of([(np.arange(len(columns)), columns, 1)], fixed, fixed)


def _gpus(f: FlowFormulation) -> np.ndarray:
    return np.arange(f.problem.num_gpus)


def _constant(num_rows: int, value: int) -> np.ndarray:
    return np.full(num_rows, value, dtype=np.int64)
