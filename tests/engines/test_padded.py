"""Redundant experts on some GPUs only: what a map in force leaves empty stays empty."""

import numpy as np
import pytest

from eplb_opt import Problem, ProblemError, evaluate, rebalance_experts
from eplb_opt.engines import ascend
from eplb_opt.placement.moves import moved_slots
from eplb_opt.placement.plan import Plan

HELD = np.array([[0, 1, 2, 3, 15, 4, 5, 6, 7, -1, 8, 9, 10, 11, -1, 12, 13, 14, 15, -1]])
LOAD = np.array([[9, 12, 7, 15, 11, 10, 8, 14, 13, 9, 16, 6, 12, 10, 11, 40]])
PROBLEM = Problem(LOAD, 20, 4, gpu_slots=[5, 4, 4, 4])


def moves(placed, held=HELD):
    return int(moved_slots(Plan(held, 4), Plan(placed, 4)).sum())


@pytest.mark.parametrize(
    "limits",
    [{"max_moves": 2, "effort": 200}, {"move_tolerance": 0.01, "effort": 200}, {"effort": 200}],
)
def test_the_serving_call_leaves_padding_and_counts_moves(limits):
    placed, slots, count = rebalance_experts(LOAD, 20, 1, 1, 4, current=HELD, **limits)
    assert ((placed < 0) == (HELD < 0)).all()
    before, after = (evaluate(PROBLEM, p).objective[0] for p in (HELD, placed))
    assert after < before
    assert moves(placed) <= limits.get("max_moves", 17)
    assert count.sum() == 17
    assert (np.sort(slots[slots >= 0]) == np.flatnonzero(placed[0] >= 0)).all()
    again = rebalance_experts(LOAD, 20, 1, 1, 4, current=HELD, **limits)[0]
    assert (again == placed).all()


def test_a_gpu_of_empty_slots_alone_is_filled():
    held = np.array([[0, 1, 2, 3, -1, -1, -1, -1]])
    placed = rebalance_experts(LOAD[:, :4], 8, 1, 1, 2, current=held, move_tolerance=0.01)[0]
    assert (placed >= 0).all()


def test_layers_may_be_padded_on_other_gpus():
    held = np.vstack([HELD, HELD.reshape(1, 4, 5)[:, ::-1].reshape(1, 20)])
    load = np.vstack([LOAD, LOAD[:, ::-1]])
    placed = rebalance_experts(load, 20, 1, 1, 4, current=held, move_tolerance=0.05, effort=200)[0]
    assert ((placed < 0) == (held < 0)).all()
    with pytest.raises(ProblemError, match="2 kinds of padding"):
        rebalance_experts(load, 20, 1, 1, 4, current=held, max_moves=4, effort=200)
    placed = rebalance_experts(load, 20, 1, 1, 4, current=held, max_moves=[2, 0], effort=200)[0]
    assert (placed[1] == held[1]).all()


def test_a_map_of_other_layers_is_refused():
    with pytest.raises(ProblemError, match="they have the same layers"):
        rebalance_experts(np.vstack([LOAD, LOAD]), 20, 1, 1, 4, current=HELD)


def test_vllm_ascends_policy_keeps_padding_and_slots():
    table = HELD.reshape(1, 4, 5)
    heat = np.where(table >= 0, LOAD[0][table], 7)  # what an empty slot holds is not counted
    heat[table == 15] = 20
    changed, _, new = ascend.rebalance_experts(table, heat, least_gain=0.0)
    assert changed == 1
    assert ((new < 0) == (table < 0)).all()
    assert evaluate(PROBLEM, new.reshape(1, 20)).objective[0] <= 53
    for before, after in zip(table[0], new[0], strict=True):
        assert len(set(after[after >= 0])) == (after >= 0).sum()
        stays = np.isin(after, before)
        assert (after[stays] == before[stays]).all()
    assert ascend.rebalance_experts(table, heat, least_gain=0.0)[2].tolist() == new.tolist()


def test_vllm_ascends_policy_knows_empty_slots_between_full_ones():
    table = HELD.reshape(1, 4, 5)[..., ::-1]
    heat = np.where(table >= 0, LOAD[0][table], 0)
    _, _, new = ascend.rebalance_experts(table, heat, least_gain=0.0)
    assert ((new < 0) == (table < 0)).all()
