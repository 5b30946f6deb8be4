"""The serving call that moves what saves time."""

import math

import numpy as np
import pytest

import eplb_opt
from eplb_opt import MoveCost, Plan, Problem
from eplb_opt.bench.families import family_loads
from eplb_opt.core import near as core
from eplb_opt.core import serving
from eplb_opt.engines.serving.call import rebalance_near
from eplb_opt.engines.serving.near_rules import NearRules
from eplb_opt.engines.serving.priced import busiest_moves
from eplb_opt.placement.moves import moved_slots_by_gpu

SIZES = 72, 1, 1, 12
EARLIER = family_loads("lognormal-1.0", 5, 60, 0)
LATER = np.rint(EARLIER * np.random.default_rng(1).lognormal(0, 0.2, EARLIER.shape)).astype(int)
IN_FORCE = eplb_opt.rebalance_experts(EARLIER, *SIZES, effort=200)[0]
PROBLEM = Problem(LATER, 72, 12)


def cost(bandwidth=1e10, steps=1000):
    return MoveCost(4 * 10**7, bandwidth, 0.05, 0.5, steps)


def placed(move_cost, load=LATER, sizes=SIZES, current=IN_FORCE, **options):
    options = {"effort": 100, "current": current, "move_cost": move_cost} | options
    return eplb_opt.rebalance_experts(load, *sizes, **options)[0]


def lost(move_cost, plan):
    found = move_cost.assess(PROBLEM, IN_FORCE, plan)
    return math.fsum([*found.moving, *found.after])


def test_staying_is_best_where_moving_takes_for_ever():
    assert placed(cost(bandwidth=1.0)).tobytes() == IN_FORCE.tobytes()


def test_free_moves_reach_the_least_load():
    free = placed(cost(bandwidth=math.inf))
    least = eplb_opt.rebalance_experts(
        LATER, *SIZES, effort=100, current=IN_FORCE, move_tolerance=0.0
    )[0]
    reached, wanted = (eplb_opt.evaluate(PROBLEM, plan).objective for plan in (free, least))
    assert (reached <= wanted).all()


@pytest.mark.parametrize("steps", [30, 300, 3000])
@pytest.mark.parametrize("bandwidth", [1e9, 1e10, 1e11])
def test_it_loses_about_as_little_time_as_the_best_point_of_the_whole_front(bandwidth, steps):
    asked = cost(bandwidth, steps)
    weights, _ = serving.fixed_point(LATER)
    planner = core.Planner(60, SIZES, np.ones(12, dtype=bool), 1, False)
    best = []
    for i in range(len(LATER)):
        rows, _ = planner.front(weights[i : i + 1], IN_FORCE[i : i + 1], 200)
        # All the other layers stay: what they lose is the same for each point.
        plans = [np.concatenate([IN_FORCE[:i], row[None], IN_FORCE[i + 1 :]]) for row in rows]
        best.append(rows[np.argmin([lost(asked, plan) for plan in plans])])
    ours, stay = lost(asked, placed(asked)), lost(asked, IN_FORCE)
    # The front goes on to levels that do not last; see LEAST_EXCESS.
    moe = 0.003 * asked.moe_seconds
    assert ours <= stay
    assert ours <= 1.15 * lost(asked, np.array(best)) + moe


def test_dearer_moves_are_fewer_and_longer_intervals_move_more():
    def moves(**options):
        plans = Plan(IN_FORCE, 12, 60), Plan(placed(cost(**options)), 12, 60)
        return int(moved_slots_by_gpu(*plans).max(axis=1).sum())

    by_bandwidth = [moves(bandwidth=b) for b in (1e7, 1e8, 1e9, 1e10)]
    by_steps = [moves(steps=n) for n in (10, 100, 1000)]
    assert by_bandwidth == sorted(by_bandwidth)
    assert by_bandwidth[0] < by_bandwidth[-1]
    assert by_steps == sorted(by_steps)


def test_the_busiest_gpus_moves_are_those_of_two_plans():
    rng = np.random.default_rng(2)
    for _ in range(100):
        held, new = rng.integers(-1, 6, (2, 12))
        plans = Plan(held[None], 3, 6), Plan(new[None], 3, 6)
        assert busiest_moves(held, new, 3) == moved_slots_by_gpu(*plans).max()


@pytest.mark.parametrize("kind", ["column-major", "float64", "int32", "torch"])
def test_the_same_bytes_come_whatever_holds_the_loads(kind):
    if kind == "torch":
        torch = pytest.importorskip("torch")
        given, held = torch.from_numpy(LATER), torch.from_numpy(IN_FORCE).int()
    elif kind == "column-major":
        given, held = np.asfortranarray(LATER), np.asfortranarray(IN_FORCE)
    else:
        given, held = LATER.astype(kind), IN_FORCE.astype(np.int32)
    answer = placed(cost(), load=given, current=held)
    assert np.asarray(answer).tobytes() == placed(cost()).tobytes()


def test_the_unit_of_the_loads_does_not_matter():
    assert placed(cost(), load=LATER * 1024).tobytes() == placed(cost()).tobytes()
    assert placed(cost(), load=LATER / 1024).tobytes() == placed(cost()).tobytes()


def test_empty_slots_are_filled_and_lost_gpus_hold_nothing():
    held = IN_FORCE.copy()
    held[:, 12:18] = -1  # a GPU that has joined
    Plan(placed(cost(bandwidth=1.0), current=held), 12, 60).check(PROBLEM)
    held = IN_FORCE.copy()
    held[:, 17] = -1  # a slot that the engine leaves empty
    slots = np.where(np.arange(12) == 2, 5, 6)
    problem = Problem(LATER, 72, 12, gpu_slots=slots)
    Plan(placed(cost(bandwidth=1.0), current=held), 12, 60).check(problem)
    active = np.arange(12) != 5
    answer = placed(cost(), active_gpus=active)
    Plan(answer, 12, 60).check(Problem(LATER, 72, 12, active_gpus=active))


def test_a_map_that_breaks_the_groups_is_planned_anew():
    sizes = 72, 6, 3, 12
    problem = Problem(LATER, 72, 12, 3, 6)
    held = eplb_opt.rebalance_experts(EARLIER, *sizes, effort=100)[0]
    Plan(placed(cost(), sizes=sizes, current=held), 12, 60).check(problem)
    Plan(placed(cost(), sizes=sizes), 12, 60).check(problem)  # a flat map is in force
    mixed = np.concatenate([held[:2], IN_FORCE[2:]])
    Plan(placed(cost(bandwidth=1.0), sizes=sizes, current=mixed), 12, 60).check(problem)


def test_layers_without_load_stay():
    load = LATER.copy()
    load[1] = 0
    answer = placed(cost(), load=load)
    assert (answer[1] == IN_FORCE[1]).all()
    assert (placed(cost(), load=np.zeros_like(load)) == IN_FORCE).all()


def test_a_time_limit_that_is_over_leaves_the_map_in_force():
    assert placed(cost(), effort=None, time_limit=0.0).tobytes() == IN_FORCE.tobytes()


def test_where_few_moves_do_not_get_there_a_fresh_plan_is_taken_if_it_is_worth_it():
    load = family_loads("zipf-1.2", 4, 20, 0)
    held = eplb_opt.rebalance_experts(load[:, ::-1], 24, 1, 1, 12, effort=20)[0]
    problem = Problem(load, 24, 12)
    dear, free = (
        cost(bandwidth, 1000).assess(
            problem,
            held,
            placed(cost(bandwidth, 1000), load=load, sizes=(24, 1, 1, 12), current=held),
        )
        for bandwidth in (1e7, 1e12)
    )
    assert dear.busiest.sum() < free.busiest.sum()
    assert dear.net_seconds >= 0
    assert free.after.sum() < dear.after.sum()


def test_nothing_moves_for_less_than_the_least_gain():
    for gain, stays in ((0.9, True), (0.0, False)):
        rules = NearRules(min_gain=gain, move_cost=cost())
        maps, found = rebalance_near(LATER, *SIZES, current=IN_FORCE, rules=rules, effort=100)
        assert (maps[0].tobytes() == IN_FORCE.tobytes()) is stays
        assert bool(found.moves.any()) is not stays


def test_the_log_says_what_the_exact_assessment_says(caplog):
    placed(cost())
    assert not caplog.records  # nobody listens
    caplog.set_level("INFO", logger="eplb_opt")
    answer = placed(cost())
    assert caplog.messages == [str(cost().assess(PROBLEM, IN_FORCE, answer))]
    caplog.clear()
    placed(cost(bandwidth=1.0))
    assert caplog.messages[0].startswith("no move is worth it")
