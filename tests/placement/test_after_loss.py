"""After the loss of a GPU or a node: loads by hand and by removing it; experts spread for it."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt import PlanError, Problem, ProblemError
from eplb_opt.placement.after_loss import loads_after_loss
from eplb_opt.search.starts import first_plan
from tests.oracle import ruled_optimum, ruled_plans


def test_a_lost_gpus_tokens_go_evenly_to_the_replicas_left():
    # Experts 0 (12 tokens, three replicas), 1 (6, two), 2 (4, one) on GPUs {0 1} {0 2} {0 1}.
    problem = Problem([[12, 6, 4]], 6, 3)
    after = loads_after_loss(problem, [[0, 1, 0, 2, 0, 1]])
    # Without GPU 0: 6 + 4 and 6 + 6; without GPU 1: 6 + 3 twice, and expert 2 is lost.
    assert after.objective == (12,)
    assert after.worst.tolist() == [0]
    assert after.experts_lost.tolist() == [1]
    assert after.tokens_lost == (Fraction(4, 22),)
    assert not after.survives
    assert after.largest_load.tolist() == [12.0]


def test_tokens_are_split_anew_after_a_loss_where_they_are_free():
    # As above; without GPU 0: 12 and 6 over both, 4 on GPU 2, level at 11.
    problem = Problem([[12, 6, 4]], 6, 3, dispatch="optimal")
    after = loads_after_loss(problem, [[0, 1, 0, 2, 0, 1]])
    assert after.objective == (11,)
    assert after.worst.tolist() == [0]
    assert after.experts_lost.tolist() == [1]


def test_a_lost_node_takes_all_its_gpus():
    problem = Problem([[8, 8, 2, 2]], 8, 4, num_nodes=2)
    spread = loads_after_loss(problem, [[0, 1, 2, 3, 0, 2, 1, 3]], "node")
    # The node that is left has one replica of each: 8 + 8 and 2 + 2 without node 1.
    assert spread.objective == (16,)
    assert spread.worst.tolist() == [1]
    assert spread.survives
    alone = loads_after_loss(problem, [[0, 1, 1, 0, 2, 3, 3, 2]], "node")
    assert alone.experts_lost.tolist() == [2]
    assert alone.tokens_lost == (Fraction(16, 20),)
    assert alone.objective == (8,)


@st.composite
def planned(draw):
    """Problems of any rules for which a random plan stands, and what is lost."""
    num_nodes, per_node = draw(st.sampled_from([(2, 1), (2, 2), (3, 1)]))
    num_gpus, slots = num_nodes * per_node, draw(st.integers(1, 3))
    num_experts = draw(st.integers(1, min(5, num_gpus * slots)))
    load = draw(st.lists(st.integers(0, 99), min_size=num_experts, max_size=num_experts))
    spare = num_gpus * slots - num_experts
    others = st.lists(st.integers(0, num_experts - 1), min_size=spare, max_size=spare)
    placed = draw(st.permutations([*range(num_experts), *draw(others)]))
    speeds = st.lists(st.sampled_from([1, 2, 0.3]), min_size=num_gpus, max_size=num_gpus)
    problem = Problem(
        [load], num_gpus * slots, num_gpus, num_nodes, gpu_speed=draw(st.none() | speeds)
    )
    return problem, placed, draw(st.sampled_from(["gpu", "node"]))


@settings(max_examples=200, deadline=None)
@given(planned())
def test_free_losses_agree_with_the_densest_set_of_gpus_left(case):
    problem, placed, of = case
    per_unit = problem.gpus_per_node if of == "node" else 1
    after = loads_after_loss(problem.with_dispatch("optimal"), [placed], of)
    levels = []
    for first in range(0, problem.num_gpus, per_unit):
        left = {g for g in range(problem.num_gpus) if not first <= g < first + per_unit}
        levels.append(densest(problem, placed, left))
    assert after.objective == (max(levels),)
    assert after.worst[0] == levels.index(max(levels))
    uniform = loads_after_loss(problem, [placed], of)
    assert after.objective <= uniform.objective
    assert after.tokens_lost == uniform.tokens_lost


def densest(problem, placed, left):
    """The most that experts with hosts in a set of the GPUs left alone make of its speed."""
    gpu = (np.arange(problem.num_slots) // problem.slots_per_gpu).tolist()
    hosts = [
        {g for e, g in zip(placed, gpu, strict=True) if e == expert} & left
        for expert in range(problem.num_experts)
    ]
    loads = problem.load[0].tolist()
    return max(
        sum(w for w, on in zip(loads, hosts, strict=True) if on and on <= set(part))
        / sum(problem.speed[g] for g in part)
        for size in range(1, len(left) + 1)
        for part in combinations(sorted(left), size)
    )


@settings(max_examples=300, deadline=None)
@given(planned())
def test_scoring_agrees_with_removing_each_gpu_or_node(case):
    problem, placed, of = case
    after = loads_after_loss(problem, [placed], of)
    size = problem.num_slots // problem.num_gpus
    per_unit = problem.num_gpus // problem.num_nodes if of == "node" else 1
    load = problem.load[0].tolist()
    worst, lost_experts, lost_tokens = Fraction(0), 0, 0
    for unit in range(problem.num_gpus // per_unit):
        gpus = {
            gpu: placed[gpu * size : (gpu + 1) * size]
            for gpu in range(problem.num_gpus)
            if gpu // per_unit != unit
        }
        left = [e for held in gpus.values() for e in held]
        gone = [e for e in range(problem.num_experts) if e not in left]
        lost_experts = max(lost_experts, len(gone))
        lost_tokens = max(lost_tokens, sum(load[e] for e in gone))
        for gpu, held in gpus.items():
            value = sum(Fraction(load[e], left.count(e)) for e in held) / problem.speed[gpu]
            worst = max(worst, value)
    assert after.objective == (worst,)
    assert after.experts_lost.tolist() == [lost_experts]
    assert after.tokens_lost == (Fraction(lost_tokens, max(sum(load), 1)),)


@pytest.mark.parametrize(("spread", "num_gpus"), [("gpu", 3), ("gpu", 4), ("node", 4)])
@pytest.mark.parametrize("num_experts", [2, 3, 4])
def test_spread_plans_are_proven_optimal_and_survive(spread, num_gpus, num_experts):
    if 2 * num_experts > 2 * num_gpus:
        return
    load = np.random.default_rng(num_experts).integers(1, 60, (1, num_experts))
    problem = Problem(load, 2 * num_gpus, num_gpus, num_gpus // 2, spread=spread)
    result = eplb_opt.plan(problem, time_limit=20)
    result.plan.check(problem)
    assert result.status == ["optimal"]
    assert result.bounds[0].objective == ruled_optimum(problem)[0]
    assert loads_after_loss(problem, result.plan, spread).survives


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_first_plan_is_found_wherever_the_slots_allow_spread(data):
    spread = data.draw(st.sampled_from(["gpu", "node"]))
    num_nodes = data.draw(st.integers(2, 5)) if spread == "node" else 1
    num_gpus = num_nodes * data.draw(st.integers(1, 3)) if spread == "node" else 4
    slots = data.draw(st.lists(st.integers(0, 6), min_size=num_gpus, max_size=num_gpus))
    num_experts = data.draw(st.integers(1, 12))
    load = data.draw(st.lists(st.integers(0, 9), min_size=num_experts, max_size=num_experts))
    try:
        problem = Problem([load], 6 * num_gpus, num_gpus, num_nodes, gpu_slots=slots, spread=spread)
    except ProblemError:
        return  # too few slots, which the problem's check tells exactly
    plan = eplb_opt.Plan(first_plan(problem), num_gpus)
    plan.check(problem)
    assert loads_after_loss(problem, plan, spread).survives


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_slots": 4, "num_gpus": 2}, "3 experts need 6 slots .* there are 4 such"),
        ({"num_slots": 6, "num_gpus": 1}, "there are 3 such slots on 1 gpus"),
        ({"num_slots": 6, "num_gpus": 2, "spread": "node"}, "there are 3 such slots on 1 nodes"),
        ({"num_slots": 8, "num_gpus": 2, "gpu_slots": [4, 1]}, "there are 4 such slots"),
        ({"num_slots": 8, "num_gpus": 2, "spread": "rack"}, "known: gpu, node, None"),
        ({"num_slots": 12, "num_gpus": 6, "num_nodes": 3, "num_groups": 3}, "num_groups=1"),
    ],
)
def test_spread_that_cannot_hold_is_refused_with_the_numbers(arguments, words):
    with pytest.raises(ProblemError, match=words):
        Problem([[5, 4, 3]], **{"spread": "gpu", **arguments})


def test_the_rule_permits_two_homes_and_forbids_one():
    problem = Problem([[5, 4, 3]], 6, 3, spread="gpu")
    eplb_opt.Plan([[0, 1, 1, 2, 2, 0]], 3).check(problem)
    with pytest.raises(PlanError, match='expert 0 stands on gpu 0 alone, and spread="gpu"'):
        eplb_opt.Plan([[0, 0, 1, 2, 2, 1]], 3).check(problem)
    nodes = Problem([[5, 4, 3]], 8, 4, 2, spread="node")
    with pytest.raises(PlanError, match="expert 1 stands on node 0 alone"):
        eplb_opt.Plan([[0, 1, 1, 2, 2, 0, 0, 2]], 4).check(nodes)


def test_every_plan_of_the_oracle_survives():
    problem = Problem([[9, 4]], 6, 3, spread="gpu")
    for plan in ruled_plans(problem):
        placed = [e for gpu in plan for e in gpu]
        assert loads_after_loss(problem, [placed]).survives


def test_a_loss_that_leaves_nothing_is_no_question():
    with pytest.raises(ProblemError, match="one node with slots"):
        loads_after_loss(Problem([[1, 2]], 2, 2), [[0, 1]], "node")
    with pytest.raises(ProblemError, match="known: gpu, node"):
        loads_after_loss(Problem([[1, 2]], 2, 2), [[0, 1]], "rack")
    with pytest.raises(ProblemError, match="scenario"):
        loads_after_loss(Problem([[[1, 2]]], 2, 2), [[0, 1]])
