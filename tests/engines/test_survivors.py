from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eplb_opt import ProblemError
from eplb_opt.engines.survivors import keep_slots


@st.composite
def two_maps(draw):
    num_layers, num_gpus, room = (draw(st.integers(1, 4)) for _ in range(3))
    num_experts = draw(st.integers(1, 6))
    ids = st.integers(0, num_experts - 1)
    slots = num_layers * num_gpus * room
    new = draw(st.lists(ids, min_size=slots, max_size=slots))
    old = draw(st.lists(st.integers(-1, num_experts - 1), min_size=slots, max_size=slots))
    shape = (num_layers, num_gpus * room)
    return np.array(new).reshape(shape), np.array(old).reshape(shape), num_gpus


def rows(placed, num_gpus):
    return placed.reshape(len(placed) * num_gpus, -1).tolist()


@settings(max_examples=200, deadline=None)
@given(two_maps())
def test_gpus_keep_their_experts_and_as_many_slots_stay_as_can(case):
    new, old, num_gpus = case
    kept = keep_slots(new, old, num_gpus)
    for ours, given_, before in zip(*(rows(m, num_gpus) for m in (kept, new, old)), strict=True):
        assert Counter(ours) == Counter(given_)
        survivors = Counter(given_) & Counter(e for e in before if e >= 0)
        assert sum(a == b for a, b in zip(ours, before, strict=True)) == survivors.total()


@settings(max_examples=100, deadline=None)
@given(two_maps())
def test_newcomers_fill_the_holes_in_their_order(case):
    new, old, num_gpus = case
    kept = keep_slots(new, old, num_gpus)
    for ours, given_, before in zip(*(rows(m, num_gpus) for m in (kept, new, old)), strict=True):
        in_holes = [e for e, b in zip(ours, before, strict=True) if e != b]
        left = Counter(e for e in before if e >= 0)
        newcomers = []
        for expert in given_:
            if left[expert]:
                left[expert] -= 1
            else:
                newcomers.append(expert)
        assert in_holes == newcomers


def test_an_empty_old_slot_is_never_a_survivor():
    assert keep_slots(np.array([[2, 1]]), np.array([[-1, 2]]), 1).tolist() == [[1, 2]]


def test_a_second_replica_on_the_gpu_stays_too():
    assert keep_slots(np.array([[0, 5, 5]]), np.array([[5, 3, 5]]), 1).tolist() == [[5, 0, 5]]


def test_after_scaling_the_gpus_that_both_maps_have_keep_their_slots():
    new = np.array([[1, 0, 3, 2]])
    assert keep_slots(new, np.array([[0, 1]]), 2).tolist() == [[0, 1, 3, 2]]
    assert keep_slots(new, np.array([[0, 1, 2, 3, 4, 5]]), 2).tolist() == [[0, 1, 2, 3]]


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(ProblemError, match=r"shape \[2, 4\].*1 layers"):
        keep_slots(np.zeros((1, 4), dtype=int), np.zeros((2, 4), dtype=int), 2)
    with pytest.raises(ProblemError, match="no multiple"):
        keep_slots(np.zeros((1, 4), dtype=int), np.zeros((1, 4), dtype=int), 3)
