"""Is it worth it? Seconds of moving against seconds of imbalance."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

import eplb_opt
from eplb_opt import MoveCost, Plan, PlanError, Problem, ProblemError
from eplb_opt.placement.move_cost import cheapest_point, read_move_cost
from eplb_opt.placement.moves import moved_slots, moved_slots_by_gpu

NUMBERS = {
    "expert_bytes": 1000,
    "bandwidth": 500.0,
    "step_seconds": 0.5,
    "moe_share": 0.25,
    "steps_until_next": 80,
}
COST = MoveCost(**NUMBERS)
TEXT = ",".join(f"{key}={value}" for key, value in NUMBERS.items())


def test_seconds_are_those_of_a_calculation_by_hand():
    problem = Problem([[6, 2, 2, 2], [3, 3, 3, 3]], num_slots=4, num_gpus=2)
    before, after = [[0, 1, 2, 3]] * 2, [[0, 3, 2, 1], [0, 1, 2, 3]]
    # 80 steps of 0.5 s, a quarter of them the experts': 10 s for the 8 + 6 of the fullest GPUs.
    found = COST.assess(problem, before, after)
    assert found.busiest.tolist() == [1, 0]
    assert found.moving.tolist() == [2.0, 0.0]
    assert found.before == pytest.approx([20 / 14, 0])
    assert found.after == pytest.approx([20 / 14, 0])
    assert found.net_seconds == pytest.approx(-2.0)
    assert not found.is_worth_it
    assert "loses 2 s" in str(found)
    twice = Problem([[6, 2, 2, 2, 0]], num_slots=6, num_gpus=2)
    found = COST.assess(twice, [[0, 1, 4, 2, 3, 4]], [[0, 1, 4, 2, 3, 0]])
    assert found.net_seconds == pytest.approx(10 * (8 - 7) / 8 - 2)
    assert str(COST.assess(problem, before, before)).startswith("no move is worth it")


def test_a_second_of_moving_is_that_of_the_gpu_that_receives_most():
    problem = Problem([[1, 1, 1, 1, 1, 1]], num_slots=6, num_gpus=2)
    found = COST.assess(problem, [[0, 1, 2, 3, 4, 5]], [[3, 4, 2, 0, 1, 5]])
    assert found.busiest.tolist() == [2]
    assert found.moving.tolist() == [4.0]


def test_moved_slots_by_gpu_add_up_to_those_of_the_layer():
    rng = np.random.default_rng(0)
    for _ in range(30):
        old, new = (Plan(rng.integers(-1, 5, (2, 6)), 3, 5) for _ in range(2))
        assert (moved_slots_by_gpu(old, new).sum(axis=1) == moved_slots(old, new)).all()


def test_the_cheapest_point_is_that_of_trying_all():
    rng = np.random.default_rng(1)
    for _ in range(200):
        num = int(rng.integers(1, 9))
        busiest = sorted(rng.integers(0, 6, num).tolist())
        load = sorted(rng.integers(10, 20, num).tolist(), reverse=True)
        price = Fraction(int(rng.integers(0, 8)), int(rng.integers(1, 4)))
        costs = [b * price + v for b, v in zip(busiest, load, strict=True)]
        assert cheapest_point(busiest, load, price) == costs.index(min(costs))


@pytest.mark.parametrize("steps", [1, 30, 1000])
def test_each_layers_cheapest_point_makes_the_cheapest_model(steps):
    rng = np.random.default_rng(3)
    load = rng.integers(1, 100, (3, 8))
    problem = Problem(load, num_slots=10, num_gpus=5)
    held = Plan(np.tile(np.arange(10) % 8, (3, 1)), 5, 8)
    frontier = eplb_opt.frontier(problem, held, effort=3)
    cost = MoveCost(10, 100.0, 0.1, 0.5, steps)
    lost = [
        cost.assess(problem, held, [point.placed for point in points])
        for points in itertools.product(*frontier.layers)
    ]
    least = min(math.fsum([*each.moving, *each.after]) for each in lost)
    found = cost.assess(problem, held, frontier.cheapest(cost))
    assert math.fsum([*found.moving, *found.after]) == pytest.approx(least)
    assert found.net_seconds >= 0


def test_the_planner_moves_what_is_worth_it_and_nothing_else():
    rng = np.random.default_rng(4)
    load = rng.integers(1, 100, (2, 12))
    problem = Problem(load, num_slots=16, num_gpus=4)
    held = np.tile(np.arange(16) % 12, (2, 1))
    options = {"effort": 5, "current": held}
    slow, fast = (
        eplb_opt.plan(problem, **options, move_cost=MoveCost(10**6, bandwidth, 0.1, 0.5, 100))
        for bandwidth in (1.0, math.inf)
    )
    assert (slow.plan.physical_to_logical == held).all()
    best = eplb_opt.plan(problem, effort=5, current=held, move_tolerance=0.0)
    assert fast.objective.tolist() == best.objective.tolist()
    assert fast.moves.sum() > 0


def test_scenarios_and_lost_gpus_are_assessed_too():
    load = np.random.default_rng(5).integers(1, 50, (3, 2, 6))
    problem = Problem(load, num_slots=8, num_gpus=4)
    plans = [[0, 1, 2, 3, 4, 5, 0, 1]] * 2, [[0, 1, 2, 3, 4, 5, 2, 3]] * 2
    found = COST.assess(problem, *plans)
    assert (found.before >= 0).all()
    assert found.before.sum() + 10 * 2 / sum(problem_ratio(problem, plans[0])) == pytest.approx(10)
    lost = Problem(load[0], 8, 4, active_gpus=[True] * 3 + [False])
    placed = [[0, 1, 2, 3, 4, 5, -1, -1]] * 2
    assert COST.assess(lost, placed, placed).busiest.tolist() == [0, 0]


def problem_ratio(problem, placed):
    return [float(value) for value in Plan(placed, problem.num_gpus).objectives(problem)]


def test_plans_that_break_a_rule_are_refused():
    problem = Problem([[6, 2, 2, 2]], num_slots=4, num_gpus=2)
    with pytest.raises(PlanError):
        COST.assess(problem, [[0, 1, 2, 2]], [[0, 1, 2, 3]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("expert_bytes", 0),
        ("expert_bytes", 1.5),
        ("bandwidth", 0.0),
        ("bandwidth", math.nan),
        ("bandwidth", "fast"),
        ("step_seconds", -1.0),
        ("step_seconds", math.inf),
        ("moe_share", 1.5),
        ("moe_share", True),
        ("steps_until_next", 0),
        ("steps_until_next", 2.5),
    ],
)
def test_numbers_that_cannot_be_used_are_refused_by_name(name, value):
    with pytest.raises(ProblemError, match=name):
        MoveCost(**NUMBERS | {name: value})


def test_a_setting_is_read_in_any_order_and_in_any_notation():
    assert read_move_cost(TEXT, "it") == COST
    parts = [part.strip() for part in TEXT.replace("1000", "1e3").split(",")]
    assert read_move_cost(" , ".join(reversed(parts)), "it") == COST
    assert read_move_cost(TEXT.replace("500.0", "inf"), "it").move_seconds == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not understood"),
        (TEXT + ",colour=3", "'colour=3' is not understood"),
        (TEXT + ",bandwidth=3", "'bandwidth=3' is not understood"),
        (TEXT.replace("500.0", "fast"), "bandwidth='fast' is no number"),
        (TEXT.replace(",moe_share=0.25", ""), "lacks moe_share; give expert_bytes="),
        (TEXT.replace("=80", "=0"), "SETTING: steps_until_next=0"),
        (TEXT.replace("0.25", "25"), "SETTING: moe_share=25"),
    ],
)
def test_a_setting_that_cannot_be_understood_is_refused_with_the_mend(text, words):
    with pytest.raises(ProblemError, match=words) as error:
        read_move_cost(text, "SETTING")
    assert "SETTING" in str(error.value)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_moves": 3}, "max_moves=3 and move_cost="),
        ({"move_tolerance": 0.1}, "exclude each other"),
        ({"move_cost": 5}, "must be an eplb_opt.MoveCost"),
    ],
)
def test_a_call_takes_one_limit(limits, words):
    problem = Problem([[6, 2, 2, 2]], num_slots=4, num_gpus=2)
    options = {"current": [[0, 1, 2, 3]], "effort": 1, "move_cost": COST} | limits
    with pytest.raises(ProblemError, match=words):
        eplb_opt.plan(problem, **options)
    with pytest.raises(ProblemError, match=words):
        eplb_opt.rebalance_experts(problem.load, 4, 1, 1, 2, **options)
    with pytest.raises(ProblemError, match="need current="):
        eplb_opt.plan(problem, effort=1, move_cost=COST)
