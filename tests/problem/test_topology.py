"""The terms of a topology: what it takes, what it refuses, and what nodes and groups become."""

import numpy as np
import pytest

from eplb_opt import Problem, ProblemError, Topology
from eplb_opt.problem import topology

LOAD = np.arange(1, 17).reshape(2, 8)


def problem(rules=None, num_slots=12, num_gpus=4, **terms):
    given = {"num_nodes": 2, "num_groups": 4, "topology": rules or Topology()} | terms
    return Problem(LOAD, num_slots, num_gpus, **given)


def test_groups_bind_nobody_and_the_objective_is_a_ratio():
    asked = problem()
    assert not asked.is_hierarchical
    assert not asked.is_plain
    assert asked.counts_ratios
    assert asked.unit(0) == 1
    assert asked.with_topology(None).is_hierarchical
    assert asked.flat().topology is None


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"dispatch": "optimal"}, "dispatch"),
        (
            {"num_slots": 24, "active_gpus": [True, True, False, False]},
            "Node 1 has lost all of its GPUs",
        ),
        ({"num_slots": 24, "gpu_slots": [6, 6, 0, 0]}, "Node 1 has lost all of its GPUs"),
        ({"topology": Topology(nodes=[0, 0, 1])}, r"integers \[4\]"),
        ({"topology": Topology(nodes=[0.0, 0.0, 1.0, 1.0])}, r"integers \[4\]"),
        ({"topology": Topology(nodes=[0, 0, 0, 0])}, "rise from 0 to 1"),
        ({"topology": Topology(nodes=[0, 0, 2, 2])}, "rise from 0 to 1"),
        ({"topology": Topology(nodes=[0, 1, 0, 1])}, "rise from 0 to 1"),
        ({"pinned": [(0, 0)]}, "pinned"),
        ({"forbidden": [(0, 0)]}, "forbidden"),
        ({"spread": "gpu"}, "spread"),
        ({"num_nodes": 1}, "num_nodes above 1"),
        ({"num_groups": 1}, "num_groups above 1, or give homes"),
        ({"num_nodes": 3}, "Take that many nodes"),
        ({"num_groups": 5}, "Take that many groups"),
    ],
)
def test_what_does_not_go_with_a_topology_is_refused_with_the_mend(terms, words):
    with pytest.raises(ProblemError, match=words):
        problem(**terms)


def test_several_loads_have_one_choice_of_homes():
    asked = Problem(
        np.stack([LOAD, LOAD[:, ::-1]]),
        12,
        4,
        num_nodes=2,
        num_groups=4,
        topology=Topology(homes=[0, 1] * (LOAD.shape[1] // 2)),
    )
    assert asked.topology.homes.shape == LOAD.shape
    assert asked.layer(0).scenario(1).topology.homes.shape == (1, LOAD.shape[1])
    assert asked.half_token(0) == asked.with_topology(None).half_token(0)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"price": -1}, "price"),
        ({"price": float("nan")}, "price"),
        ({"price": 1e7}, "above"),
        ({"max_off_home": 1.5}, "share, from 0 to 1"),
        ({"max_off_home": -0.1}, "max_off_home"),
        ({"anchored": 3}, "anchored"),
    ],
)
def test_values_that_cannot_be_used_are_refused(rules, words):
    with pytest.raises(ProblemError, match=words):
        Topology(**rules)


@pytest.mark.parametrize(
    ("homes", "words"),
    [
        (np.zeros(7, dtype=int), "shape"),
        (np.zeros((3, 8), dtype=int), "shape"),
        (np.full(8, 2), "nodes, integers"),
        (np.full(8, -1), "nodes, integers"),
        (np.zeros(8), "nodes, integers"),
    ],
)
def test_homes_that_are_no_nodes_are_refused(homes, words):
    with pytest.raises(ProblemError, match=words):
        problem(Topology(homes=homes))


def test_something_else_is_no_topology():
    with pytest.raises(ProblemError, match="no eplb_opt"):
        problem(rules={"price": 0.3})


def test_rules_need_room_at_home():
    crowded = Topology(homes=[0] * 8, anchored=True)
    with pytest.raises(ProblemError, match="8 experts are at home on node 0, which has 6 slots"):
        problem(crowded)
    with pytest.raises(ProblemError, match="have room for"):
        problem(Topology(max_off_home=0.1), num_slots=8, num_gpus=8, num_nodes=4, num_groups=2)


def test_homes_for_all_layers_and_for_each():
    one = problem(Topology(homes=[0, 1] * 4))
    assert one.topology.homes.shape == (2, 8)
    each = np.array([[0, 1] * 4, [1, 0] * 4])
    many = problem(Topology(homes=each))
    assert many.layer(1).topology.homes.tolist() == [[1, 0] * 4]
    assert many.selected([1, 0]).topology.homes.tolist() == each[::-1].tolist()
    assert not many.topology.homes.flags.writeable


def test_the_last_node_and_the_last_group_may_be_smaller():
    load = np.ones((1, 10), dtype=int)
    uneven = Problem(load, 21, 7, num_nodes=3, num_groups=4, topology=Topology())
    assert topology.gpus_of_nodes(uneven).tolist() == [3, 3, 1]
    assert topology.slots_of_nodes(uneven).tolist() == [9, 9, 3]
    assert topology.group_of_experts(uneven).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    least, most = topology.group_rooms(uneven)
    assert (least.tolist(), most.tolist()) == ([1, 1, 1], [2, 2, 2])


def test_a_price_is_the_decimal_number_that_it_is_written_as():
    assert Topology(price=0.3).exact_price * 10 == 3
    assert Topology(max_off_home=0.1).most_off_home * 10 == 1
