"""Bad input to the serving chapter is an error, never a crash."""

import numpy as np
import pytest

from eplb_opt.core import greedy, serving

LOAD = np.arange(1.0, 25.0).reshape(2, 12)
SIZES = 16, 1, 1, 4


@pytest.mark.parametrize(
    "weight",
    [
        np.zeros((0, 12)),
        np.zeros((2, 0)),
        np.zeros(12),
        np.zeros((2, 12, 1)),
        np.full((2, 12), np.nan),
        np.full((2, 12), np.inf),
        np.full((2, 12), -1.0),
        np.full((2, 12), 1e300),
        np.zeros((2, 12), dtype=complex),
        np.zeros((2, 12), dtype=bool),
        np.zeros((2, 12), dtype=object),
        np.zeros((2, 12), dtype="U3"),
        [[1.0] * 12] * 2,
        None,
    ],
    ids=lambda x: f"{getattr(x, 'dtype', type(x))}{getattr(x, 'shape', '')}",
)
def test_loads_that_are_none_are_refused(weight):
    for make in (serving.Session, greedy.rebalance):
        with pytest.raises((ValueError, TypeError)):
            make(weight, SIZES)


@pytest.mark.parametrize(
    "sizes",
    [
        (0, 1, 1, 4),
        (16, 0, 1, 4),
        (16, 1, 0, 4),
        (16, 1, 1, 0),
        (-16, 1, 1, 4),
        (16, 1, 1, 5),
        (8, 1, 1, 4),
        (16, 5, 1, 4),
        (16, 2, 4, 4),
        (16, 4, 4, 2),
        (2**62, 1, 1, 4),
        (2**70, 1, 1, 4),
        (16, 1, 1),
        (16.5, 1, 1, 4),
    ],
    ids=str,
)
def test_sizes_that_do_not_fit_are_refused(sizes):
    for make in (serving.Session, greedy.rebalance):
        with pytest.raises((ValueError, TypeError)):
            make(LOAD, sizes)


@pytest.mark.parametrize(
    "current",
    [
        np.zeros((2, 15), dtype=np.int64),
        np.zeros((1, 16), dtype=np.int64),
        np.full((2, 16), 12),
        np.full((2, 16), -1),
    ],
    ids=lambda x: f"{x.shape} {x[0, 0]}",
)
def test_plans_that_do_not_fit_are_refused(current):
    session = serving.Session(LOAD, SIZES)
    with pytest.raises(ValueError, match="current"):
        session.compare(current)
    with pytest.raises(ValueError, match="current"):
        session.keep(current, np.ones(2, dtype=bool))


def test_other_arguments_that_do_not_fit_are_refused():
    session = serving.Session(LOAD, SIZES)
    with pytest.raises(ValueError, match="steps"):
        session.refine(-1, None)
    with pytest.raises(ValueError, match="layers"):
        session.keep(session.placed.copy(), np.ones(3, dtype=bool))
    with pytest.raises((ValueError, AttributeError)):
        session.placed[0, 0] = 99
    with pytest.raises(ValueError, match="seconds"):
        session.refine(5, float("nan"))
    session.refine(5, float("-inf"))


def test_a_session_may_go_on_and_be_read_again():
    session = serving.Session(LOAD, SIZES)
    first = session.maps()
    session.refine(20, None)
    session.refine(20, None)
    is_sound, (placed, slots, counts) = session.maps()
    assert is_sound
    assert first[0]
    assert placed.shape == (2, 16)
    assert slots.shape == (2, 12, counts.max())
    np.testing.assert_array_equal(session.placed, placed)


def test_a_plan_without_some_expert_gives_its_place_to_the_greedys():
    session = serving.Session(LOAD, SIZES)
    greedys = session.maps()[1][0]
    session.keep(np.zeros((2, 16), dtype=np.int64), np.array([True, False]))
    session.refine(30, None)
    is_sound, maps = session.maps()
    assert not is_sound
    np.testing.assert_array_equal(maps[0], greedys)


@pytest.mark.parametrize(
    ("placed", "weight", "num_gpus"),
    [
        ([0, 1, 2], [1, 1, 1], 2),
        ([0, 3], [1, 1, 1], 2),
        ([0, -1], [1, 1, 1], 2),
        ([0, 1], [1, -1], 2),
        ([0, 1], [2**58, 1], 2),
        ([0, 1], [1, 1], 0),
        ([], [1], 1),
    ],
)
def test_a_search_on_what_is_no_plan_is_refused(placed, weight, num_gpus):
    with pytest.raises(ValueError, match=r"\w"):
        serving.NodeSearch(np.array(placed, dtype=np.int64), np.array(weight), num_gpus)


@pytest.mark.parametrize(("groups", "nodes"), [(0, 1), (13, 1), (5, 1), (4, 3), (4, 0)])
def test_groups_that_cannot_be_shared_out_are_refused(groups, nodes):
    with pytest.raises(ValueError, match="roups"):
        serving.lightest_partition(np.ones((2, 12), dtype=np.int64), groups, nodes)
