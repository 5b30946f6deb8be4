import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eplb_opt.placement.moves import moved_slots
from eplb_opt.placement.padding import empty_last, is_partly_empty, used_slots
from eplb_opt.placement.plan import Plan


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 10**6))
def test_empty_slots_go_last_on_their_gpu_and_nothing_else_moves(layers, gpus, room, seed):
    placed = np.random.default_rng(seed).integers(-1, 4, (layers, gpus * room))
    after = empty_last(placed, gpus)
    for before, row in zip(
        placed.reshape(layers * gpus, room), after.reshape(layers * gpus, room), strict=True
    ):
        full = before[before >= 0]
        assert row.tolist() == [*full, *[-1] * (room - len(full))]
    assert (used_slots(after, gpus) == used_slots(placed, gpus)).all()


def test_padding_is_told_from_gpus_that_are_not_there():
    assert is_partly_empty(np.array([[0, 1, 2, -1]]), 2)
    assert not is_partly_empty(np.array([[0, 1, -1, -1]]), 2)
    assert not is_partly_empty(np.array([[0, 1, 2, 3]]), 2)
    assert empty_last(np.array([[0, -1, 2]]), 2).tolist() == [[0, -1, 2]]


def test_a_slot_that_is_left_empty_is_no_move():
    before, after = Plan([[0, 1, 2, 0]], 2), Plan([[0, 1, 2, -1]], 2)
    assert moved_slots(before, after).tolist() == [0]
    assert moved_slots(after, before).tolist() == [1]
