"""Bounds where groups stay on nodes whose GPUs differ, against brute force and by hand."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from eplb_opt import Problem
from eplb_opt.bounds.bounds import fast_bounds, flat_bounds
from eplb_opt.bounds.topology import home_choices
from eplb_opt.bounds.unlike_nodes import choice_bounds, unlike_node_bounds
from eplb_opt.bounds.unlike_scenarios import least_of_choices
from eplb_opt.certificates import Certificate, verify
from eplb_opt.errors import ProblemError
from eplb_opt.problem.node_kinds import at_home_alone, kinds_of_nodes
from tests.homes_oracle import bound_nodes_optimum, bound_nodes_scenario_optimum


@st.composite
def unlike_nodes(draw, several=False):
    """One layer with groups on nodes, tiny enough to try every plan; None where it is refused."""
    num_gpus, num_nodes = draw(st.sampled_from([(2, 2), (4, 2), (3, 3)]))
    num_groups = num_nodes * draw(st.integers(1, 2 if num_nodes == 2 else 1))
    num_experts = num_groups * draw(st.integers(1, 4 // num_groups))
    slots = draw(st.integers(1, 3 if num_gpus == 2 else 2))
    gpus = {"min_size": num_gpus, "max_size": num_gpus}
    row = st.lists(st.integers(0, 30), min_size=num_experts, max_size=num_experts)
    loads = np.array([draw(row)])
    terms = {}
    if several:
        loads = np.array([[draw(row)] for _ in range(draw(st.integers(1, 3)))])
        weight = st.lists(st.integers(0, 3), min_size=len(loads), max_size=len(loads))
        terms["scenario_weights"] = draw(weight)
        terms["objective"] = draw(st.sampled_from(["mean", "max"]))
    try:
        problem = Problem(
            loads,
            num_gpus * slots,
            num_gpus,
            num_nodes,
            num_groups,
            draw(st.sampled_from(["allow", "allow", "forbid"])),
            gpu_speed=draw(st.none() | st.lists(st.sampled_from([0.25, 0.5, 1.0, 3.0]), **gpus)),
            gpu_slots=draw(st.none() | st.lists(st.integers(0, slots), **gpus)),
            **terms,
        )
    except ProblemError:
        return None
    return problem if problem.binds_unlike_gpus else None


@settings(max_examples=100, deadline=None)
@given(unlike_nodes())
def test_bounds_never_exceed_the_optimum(problem):
    best = None if problem is None else bound_nodes_optimum(problem)
    if best is None:
        return
    assert flat_bounds(problem)[0].value <= best
    assert fast_bounds(problem)[0].value <= best
    asked = at_home_alone(problem)
    assert min(choice_bounds(problem, home_choices(asked))) == unlike_node_bounds(problem)[0]
    found = unlike_node_bounds(problem)[0]
    assert found <= best
    assert verify(problem, Certificate("unlike_nodes", found, {})) == found


@settings(max_examples=60, deadline=None)
@given(unlike_nodes(several=True))
def test_one_way_serves_all_loads_and_bounds_hold(problem):
    best = None if problem is None else bound_nodes_scenario_optimum(problem)
    if best is None:
        return
    found = least_of_choices(problem)
    assert found <= best
    assert flat_bounds(problem)[0].value <= fast_bounds(problem)[0].value <= best
    assert verify(problem, Certificate("unlike_nodes", found, {})) == found


def test_groups_that_are_hot_in_turn_share_the_fast_node_in_one_load_alone():
    # Whichever group has the fast node, in one of the loads the hot one is on the slow node.
    load = np.array([[[40, 40, 1, 1]], [[1, 1, 40, 40]]])
    asked = Problem(load, 8, 4, 2, 2, gpu_speed=[1, 1, 0.5, 0.5])
    alone = [fast_bounds(asked.scenario(r))[0].value * 3 / 82 for r in range(2)]
    assert alone == [Fraction(40 * 3, 82)] * 2
    assert fast_bounds(asked)[0].value == Fraction(40 + 80, 2) * 3 / 82
    assert fast_bounds(asked.with_objective("max"))[0].value == Fraction(80 * 3, 82)


def layer(load, **terms):
    return Problem(np.array([load]), 16, 4, 2, 2, **terms)


def test_the_heavy_group_is_best_on_the_fast_node():
    # 90 on two GPUs of speed 1, and 30 on two of half of it: 45 and 30; the other way 90.
    asked = layer([30, 30, 20, 10, 10, 10, 5, 5], gpu_speed=[1, 1, 0.5, 0.5])
    assert unlike_node_bounds(asked) == [45]
    turned = layer([30, 30, 20, 10, 10, 10, 5, 5], gpu_speed=[0.5, 0.5, 1, 1])
    assert unlike_node_bounds(turned) == [45]
    worth = choice_bounds(asked, np.array([[0, 1], [1, 0]]))
    assert worth == [45, 90]


def test_few_slots_count_on_the_node_that_has_them():
    # Four slots for the experts of a node: the hot one of 80 stands alone on a slot.
    asked = layer([80, 1, 1, 1, 80, 1, 1, 1], gpu_slots=[2, 2, 4, 4])
    assert unlike_node_bounds(asked) == [80]
    assert unlike_node_bounds(asked)[0] > max(83 / 2, 166 / 4)


def test_nodes_are_alike_whatever_the_order_of_their_gpus():
    mixed = layer([1] * 8, gpu_speed=[1, 0.5, 0.5, 1])
    assert kinds_of_nodes(mixed) == (0, 0)
    assert len(home_choices(at_home_alone(mixed))) == 1
    # They add up to the same, and yet GPUs of other speeds are no others' like.
    unlike = layer([1] * 8, gpu_speed=[1, 0.5, 0.75, 0.75])
    assert kinds_of_nodes(unlike) == (0, 1)
    assert len(home_choices(at_home_alone(unlike))) == 2


def test_with_many_groups_the_heaviest_still_bounds():
    load = np.ones((1, 48), dtype=int)
    load[0, :3] = 50
    asked = Problem(load, 96, 16, 8, 16, gpu_speed=[1] * 8 + [0.5] * 8)
    assert unlike_node_bounds(asked) == [Fraction(153, 2)]
    assert fast_bounds(asked)[0].source == "hierarchy"
