"""First plans under rules: every rule holds, a plan is found where there is one, deadlines too."""

import numpy as np
import pytest

from eplb_opt import Problem, ProblemError
from eplb_opt.core import rules
from eplb_opt.placement import checker
from eplb_opt.search.fill import fill_plan
from eplb_opt.search.starts import first_plan, no_colocation_slots


def random_problem(rng):
    num_gpus = 2 * int(rng.integers(1, 6))
    num_experts = int(rng.integers(2, 20))
    slots = -(-num_experts // num_gpus) + int(rng.integers(1, 4))
    options = {"num_nodes": 2 if num_gpus % 2 == 0 and rng.random() < 0.5 else 1}
    if rng.random() < 0.5:
        options["gpu_speed"] = rng.uniform(0.3, 3, num_gpus)
    if rng.random() < 0.5:
        options["colocation"] = "forbid"
    if rng.random() < 0.5:
        options["spread"] = str(
            rng.choice(["gpu", "node"] if options["num_nodes"] > 1 else ["gpu"])
        )
    if rng.random() < 0.5:
        options["forbidden"] = rng.random((num_experts, num_gpus)) < 0.3
    if rng.random() < 0.5:
        options["gpu_slots"] = rng.integers(1, slots + 1, num_gpus)
    load = rng.integers(0, 10**6, (3, num_experts))
    return Problem(load, slots * num_gpus, num_gpus, **options)


def test_every_rule_holds_or_it_is_said_why_not():
    rng = np.random.default_rng(0)
    planned = 0
    for _ in range(600):
        try:
            problem = random_problem(rng)
            placed = fill_plan(problem)
        except ProblemError:
            continue
        checker.check(problem, placed)
        planned += 1
    assert planned > 150


def test_replicas_move_along_a_chain_to_a_free_slot():
    # Expert 2 may stand on GPU 0 alone, which is full of those that came before it.
    problem = Problem([[9, 8, 1]], 3, 3, forbidden=[(2, 1), (2, 2), (0, 2), (1, 1)])
    placed = fill_plan(problem)
    checker.check(problem, placed)
    assert placed.tolist() == [[2, 0, 1]]


@pytest.mark.parametrize(
    ("load", "slots", "forbidden", "words"),
    [
        ([[3, 2, 1]], 4, [(0, 0), (0, 1)], "expert 0 finds no slot"),
        ([[3]], 2, [(0, 1)], "last 1 slots of GPU 1"),
    ],
)
def test_a_layer_without_a_plan_is_named(load, slots, forbidden, words):
    with pytest.raises(ProblemError, match=words):
        fill_plan(Problem(load, slots, 2, forbidden=forbidden))


def test_no_gpu_holds_an_expert_twice_and_counts_are_capped():
    rng = np.random.default_rng(1)
    for _ in range(300):
        num_gpus, experts = int(rng.integers(1, 12)), int(rng.integers(1, 12))
        least = -(-experts // num_gpus)
        if least > experts:
            continue
        slots = int(rng.integers(least, experts + 1))
        placed = no_colocation_slots(rng.integers(0, 1000, experts), num_gpus, slots).reshape(
            num_gpus, slots
        )
        assert all(len(set(gpu)) == slots for gpu in placed.tolist())
        assert set(placed.ravel().tolist()) == set(range(experts))


def test_the_widest_shapes_are_planned_in_memory_that_a_server_has():
    load = np.random.default_rng(0).lognormal(8, 1, (1, 512)).astype(np.int64)
    for options in ({"gpu_speed": np.linspace(1, 2, 1024)}, {"colocation": "forbid"}):
        problem = Problem(load, 4096, 1024, **options)
        checker.check(problem, first_plan(problem))


def test_what_does_not_fit_is_refused_by_the_core():
    one = np.ones(2, dtype=np.int64)
    with pytest.raises(ValueError, match="speed"):
        rules.GpuRules(one, np.arange(2), np.array([1.0, 0.0]), False, False)
    gpus = rules.GpuRules(one, np.arange(2), np.ones(2), False, False)
    with pytest.raises(ValueError, match="open_slots"):
        rules.fill(gpus, np.ones((1, 2), np.int64), None, None, np.full((1, 0), -1, np.int64))
    with pytest.raises(ValueError, match="experts"):
        rules.place_apart(one, 1, np.empty(1, np.int64))


def test_replicas_on_nodes_stand_apart_wherever_they_can():
    rng = np.random.default_rng(3)
    for _ in range(150):
        num_gpus, experts = int(rng.integers(1, 7)), int(rng.integers(2, 12))
        slots = rng.integers(1, experts + 1, num_gpus)
        if slots.sum() < experts:
            continue
        node = np.sort(rng.integers(0, 2, num_gpus)) * (num_gpus > 1)
        node -= node.min()
        speed = rng.choice([0.5, 1.0], num_gpus)
        gpus = rules.GpuRules(slots, node, speed, False, True)
        load = rng.integers(0, 1000, (2, experts))
        home = rng.integers(0, node.max() + 1, (2, experts))
        placed, done = np.full((2, num_gpus * experts), -1), np.zeros(2, dtype=bool)
        rules.place_at_home(gpus, load, home, placed, done)
        # An expert without a replica on its own node has one on the other.
        assert done.all()
        for row in placed:
            held = [gpu[gpu >= 0].tolist() for gpu in row.reshape(num_gpus, -1)]
            assert [len(gpu) for gpu in held] == slots.tolist()
            assert all(len(set(gpu)) == len(gpu) for gpu in held)
            assert set().union(*held) == set(range(experts))


def test_what_does_not_fit_nodes_is_refused_by_the_core():
    two = np.ones(2, dtype=np.int64)
    gpus = rules.GpuRules(two, np.arange(2), np.ones(2), False, False)
    load, placed, done = np.ones((1, 2), np.int64), np.full((1, 2), -1), np.zeros(1, dtype=bool)
    with pytest.raises(ValueError, match="home holds 2"):
        rules.place_at_home(gpus, load, load * 2, placed, done)
    with pytest.raises(ValueError, match="do not fit"):
        rules.place_at_home(gpus, np.ones((1, 3), np.int64), np.zeros((1, 3), int), placed, done)
    with pytest.raises(ValueError, match="first holds no count"):
        rules.place_across(gpus, load, load * 2, [], [], placed, done)
    with pytest.raises(ValueError, match="nodes has 1"):
        rules.place_across(gpus, load, load, [], [[], [], [0]], placed, done)
    with pytest.raises(ValueError, match="adds no replica"):
        rules.place_across(gpus, load, load, [[], [(1.0, 0)]], [], placed, done)
    with pytest.raises(ValueError, match="price has 1"):
        rules.level_homes(load, np.ones((1, 2)), np.ones(2) / 2, two, np.zeros((1, 2), int))
