import numpy as np
import pytest

from eplb_opt import Plan, PlanError, Problem
from eplb_opt.placement.plan import as_plan

FLAT = Problem([[4, 2, 2, 1]], 6, 2)
FORBID = Problem([[4, 2, 2, 1]], 6, 2, colocation="forbid")
NODES = Problem([[4, 2, 2, 1]], 8, 4, num_nodes=2, num_groups=2)
FOUR_GROUPS = Problem([[4, 2, 2, 1]], 8, 4, num_nodes=2, num_groups=4)


def test_counts_and_slots_follow_from_the_map():
    plan = Plan([[0, 1, 0, 3, 2, 1], [2, 3, 0, 1, 2, 2]], num_gpus=2)
    assert plan.logical_count.tolist() == [[2, 2, 1, 1], [1, 1, 3, 1]]
    assert plan.logical_to_physical.tolist() == [
        [[0, 2, -1], [1, 5, -1], [4, -1, -1], [3, -1, -1]],
        [[2, -1, -1], [3, -1, -1], [0, 4, 5], [1, -1, -1]],
    ]
    for array in (plan.physical_to_logical, plan.logical_count, plan.logical_to_physical):
        assert array.dtype == np.int64
        assert not array.flags.writeable


def test_empty_slots_are_no_replicas():
    plan = Plan([[-1, 1, 0, -1]], num_gpus=2)
    assert plan.logical_count.tolist() == [[1, 1]]
    assert plan.logical_to_physical.tolist() == [[[2], [1]]]


@pytest.mark.parametrize(
    ("problem", "placed"),
    [
        (FLAT, [0, 0, 1, 2, 3, 3]),
        (FORBID, [0, 1, 2, 0, 3, 1]),
        (NODES, [0, 1, 1, 0, 2, 3, 3, 3]),
        (FOUR_GROUPS, [0, 3, 3, 0, 2, 1, 2, 1]),
    ],
)
def test_each_law_permits_a_good_plan(problem, placed):
    as_plan([placed], problem)


@pytest.mark.parametrize(
    ("problem", "placed", "words"),
    [
        (FLAT, [0, 1, 2, 3], ["[1, 4]", "[1, 6]"]),
        (FLAT, [0, 1, 2, 3, 4, 0], ["slot 4", "GPU 1", "expert 4"]),
        (FLAT, [0, 1, 2, -1, 3, 0], ["slot 3", "empty"]),
        (FLAT, [0, 1, 1, 2, 2, 0], ["layer 0", "expert 3", "no GPU"]),
        (FORBID, [0, 1, 2, 3, 3, 1], ["GPU 1", "expert 3", "twice"]),
        (NODES, [0, 2, 1, 0, 2, 3, 3, 1], ["group 0", "nodes [0, 1]"]),
        (FOUR_GROUPS, [0, 3, 3, 0, 2, 1, 2, 3], ["group 3"]),
        (FOUR_GROUPS, [0, 1, 2, 0, 3, 3, 3, 3], ["node 0", "3 groups"]),
    ],
)
def test_each_law_forbids_a_bad_plan_and_says_where(problem, placed, words):
    with pytest.raises(PlanError) as caught:
        as_plan([placed], problem)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [[0, 1], [[0.5, 1]], [[0, -2]], [[]], [["a", "b"]], [[0, 1, 2]], [[0, 2**63]]],
)
def test_what_is_no_map_is_refused(values):
    with pytest.raises(PlanError):
        Plan(values, num_gpus=2)


def test_a_plan_for_other_gpus_is_refused():
    with pytest.raises(PlanError, match="3 GPUs"):
        Plan([[0, 1, 2, 3, 0, 1]], num_gpus=3).check(FLAT)


def test_the_map_is_copied():
    values = np.array([[0, 1, 2, 3, 0, 1]])
    plan = Plan(values, num_gpus=2)
    values[0, 0] = 3
    assert plan.physical_to_logical[0, 0] == 0
