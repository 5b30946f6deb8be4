"""Parts of a problem are what a problem of their own would be, though nothing is checked again."""

import numpy as np
import pytest

from eplb_opt.errors import ProblemError
from eplb_opt.problem.problem import Problem

LAYERS, EXPERTS, GPUS = 3, 6, 4
FIELDS = (
    "num_slots",
    "num_gpus",
    "num_nodes",
    "num_groups",
    "colocation",
    "objective",
    "spread",
    "dispatch",
)
ARRAYS = (
    "load",
    "unit_exponent",
    "rounded",
    "scenario_weights",
    "gpu_slots",
    "gpu_speed",
    "pinned",
    "forbidden",
    "open_slots",
    "is_open",
)
KNOWN = ("shares", "speed", "whole_speed", "capacity", "slowest", "fastest", "speed_range")


def random_rules(rng):
    rules = {"gpu_speed": rng.choice([0.5, 1.0, 1.1], GPUS)} if rng.random() < 0.5 else {}
    if rng.random() < 0.5:
        rules["gpu_slots"] = rng.integers(2, 5, GPUS)
    if rng.random() < 0.5:
        rules["pinned"] = [(int(rng.integers(LAYERS)), 0, int(rng.integers(GPUS)))]
    if rng.random() < 0.5:
        rules["forbidden"] = [(int(rng.integers(LAYERS)), 1, int(rng.integers(GPUS)))]
    rules["dispatch"] = str(rng.choice(["uniform", "optimal"]))
    return rules


def random_problem(rng, num_scenarios):
    shape = (num_scenarios, LAYERS, EXPERTS) if num_scenarios else (LAYERS, EXPERTS)
    load = rng.integers(0, 100, shape)
    if rng.random() < 0.5:
        load = load / 3
    rules = random_rules(rng)
    weights = rng.integers(1, 5, num_scenarios) if num_scenarios else None
    # Asked for before or after the parts are taken: they must know the same.
    problem = Problem(load, 16, GPUS, scenario_weights=weights, **rules)
    if rng.random() < 0.5:
        assert all(getattr(problem, name) is not None for name in KNOWN)
    return problem, load, weights, rules


def of_layers(rules, layers):
    """The rules of these layers alone, as a caller would give them."""
    rules = dict(rules)
    for name in ("pinned", "forbidden"):
        if name in rules:
            mask = np.zeros((LAYERS, EXPERTS, GPUS), dtype=bool)
            mask[tuple(np.transpose(rules[name]))] = True
            rules[name] = mask[layers]
    return rules


def assert_same(part, fresh):
    for name in FIELDS + KNOWN:
        assert getattr(part, name) == getattr(fresh, name), name
    for name in ARRAYS:
        mine, wanted = getattr(part, name), getattr(fresh, name)
        assert (mine is None) == (wanted is None), name
        if mine is not None:
            np.testing.assert_array_equal(mine, wanted, err_msg=name)
            assert not mine.flags.writeable or name in ("open_slots", "is_open"), name


@pytest.mark.parametrize("num_scenarios", [0, 3])
def test_layers_are_what_a_problem_of_their_own_would_be(num_scenarios):
    rng = np.random.default_rng(num_scenarios)
    for _ in range(100):
        problem, load, weights, rules = random_problem(rng, num_scenarios)
        layers = rng.integers(0, LAYERS, int(rng.integers(1, 5))).tolist()
        fresh = Problem(
            load[..., layers, :],
            16,
            GPUS,
            scenario_weights=weights,
            **of_layers(rules, layers),
        )
        assert_same(problem.selected(layers), fresh)
        if len(layers) == 1:
            assert_same(problem.layer(layers[0]), fresh)


def test_scenarios_are_what_a_problem_of_their_own_would_be():
    rng = np.random.default_rng(1)
    for _ in range(100):
        problem, load, weights, rules = random_problem(rng, 3)
        rules = of_layers(rules, list(range(LAYERS)))
        assert_same(problem.scenario(1), Problem(load[1], 16, GPUS, **rules))
        others = Problem(load[[0, 2]], 16, GPUS, scenario_weights=weights[[0, 2]], **rules)
        assert_same(problem.without_scenario(1), others)
        other = rng.integers(0, 9, (LAYERS, EXPERTS))
        assert_same(problem.with_load(other), Problem(other, 16, GPUS, **rules))


def test_layers_of_a_part_are_that_parts():
    problem = Problem([[1, 2], [3, 4], [5, 6]], 4, 2)
    assert problem.layer(0).load.tolist() == [[1, 2]]
    part = problem.selected([2, 1])
    assert part.layer(0).load.tolist() == [[5, 6]]
    assert part.layer(1).load.tolist() == [[3, 4]]


def test_the_last_scenario_with_a_weight_cannot_be_left_out():
    problem = Problem([[[1, 2]], [[3, 4]]], 4, 2, scenario_weights=[1, 0])
    with pytest.raises(ProblemError, match="not all 0"):
        problem.without_scenario(0)


def test_other_loads_of_another_shape_are_checked():
    problem = Problem([[1, 2], [3, 4]], 4, 2)
    assert problem.with_load(np.array([[1, 2, 3]])).num_experts == 3
    with pytest.raises(ProblemError, match="num_slots=4 is below the 5 experts"):
        problem.with_load(np.array([[1, 2, 3, 4, 5]]))
    with pytest.raises(ProblemError, match="negative"):
        problem.with_load(np.array([[1, 2], [3, -4]]))
