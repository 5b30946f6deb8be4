"""The serving call near the map in force."""

import os
import subprocess
import sys

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Plan, Problem, ProblemError, evaluate
from eplb_opt.bench.families import family_loads
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.engines.serving import near as near_module
from eplb_opt.engines.serving.arguments import admit
from eplb_opt.engines.serving.call import rebalance_near
from eplb_opt.engines.serving.near import NearPlanner
from eplb_opt.engines.serving.near_rules import NearRules
from eplb_opt.engines.serving.shared_moves import share_out
from eplb_opt.placement.moves import moved_slots

SIZES = 72, 1, 1, 12
EARLIER = family_loads("lognormal-1.0", 5, 60, 0)
LATER = np.rint(EARLIER * np.random.default_rng(1).lognormal(0, 0.2, EARLIER.shape)).astype(int)
IN_FORCE = eplb_opt.rebalance_experts(EARLIER, *SIZES, effort=200)[0]


def near(load=LATER, sizes=SIZES, current=IN_FORCE, **options):
    return eplb_opt.rebalance_experts(load, *sizes, current=current, **{"effort": 100} | options)


def bounds(load, sizes=SIZES):
    return np.array([float(b.value) for b in fast_bounds(Problem(load, sizes[0], sizes[3]))])


def moves(placed, current=IN_FORCE, num_gpus=12):
    return moved_slots(Plan(current, num_gpus, 60), Plan(placed, num_gpus, 60))


@pytest.mark.parametrize("tolerance", [0.01, 0.05])
def test_every_layer_is_within_the_tolerance_for_few_moves(tolerance):
    placed, slots, count = near(move_tolerance=tolerance)
    problem = Problem(LATER, 72, 12)
    Plan(placed, 12).check(problem)
    assert (evaluate(problem, placed).objective <= bounds(LATER) * (1 + tolerance) * 1.000001).all()
    fresh = eplb_opt.rebalance_experts(LATER, *SIZES, effort=100)[0]
    assert moves(placed).sum() < moves(fresh).sum() / 2
    plan = Plan(placed, 12, 60)
    assert (slots == plan.logical_to_physical).all()
    assert (count == plan.logical_count).all()


def test_a_looser_tolerance_moves_no_more():
    totals = [moves(near(move_tolerance=t)[0]).sum() for t in (0.01, 0.03, 0.1)]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] > totals[-1]


def test_a_map_that_is_level_enough_comes_back_byte_for_byte():
    assert near(EARLIER, move_tolerance=0.05)[0].tobytes() == IN_FORCE.tobytes()


def test_an_answer_that_is_not_level_enough_says_by_how_much(caplog):
    caplog.set_level("INFO", logger="eplb_opt")
    load = family_loads("zipf-1.2", 2, 20, 0)
    held = eplb_opt.rebalance_experts(load[:, ::-1], 24, 1, 1, 12, effort=20)[0]
    rules = NearRules(0.0)
    (placed, *_), found = rebalance_near(load, 24, 1, 1, 12, current=held, rules=rules, effort=100)
    objective = evaluate(Problem(load, 24, 12), placed).objective
    assert not found.reached.all()
    assert (objective <= found.largest).all()
    assert (found.largest <= objective * 1.0001).all()
    assert "not within 0.00% of the bound" in caplog.text
    # No layer ends farther above the best plan found than the tolerance allows.
    fresh = eplb_opt.rebalance_experts(load, 24, 1, 1, 12, effort=100)[0]
    assert (objective <= evaluate(Problem(load, 24, 12), fresh).objective * 1.00001).all()


@pytest.mark.parametrize("most", [0, 7, 40])
def test_moves_of_the_model_stay_within_their_limit_and_more_help_more(most):
    placed = near(max_moves=most)[0]
    assert moves(placed).sum() <= most
    ours, more = (
        evaluate(Problem(LATER, 72, 12), p).objective
        for p in (placed, near(max_moves=most + 20)[0])
    )
    assert more.sum() < ours.sum()
    assert (ours <= evaluate(Problem(LATER, 72, 12), IN_FORCE).objective).all()


def test_moves_may_be_limited_layer_by_layer():
    most = np.array([0, 3, 6, 1, 20])
    placed = near(max_moves=most)[0]
    assert (moves(placed) <= most).all()
    assert (placed[0] == IN_FORCE[0]).all()
    assert moves(placed)[2] > 0


def test_points_of_fronts_are_taken_where_a_move_gains_most():
    costs = [np.array([0, 2, 4]), np.array([0, 1, 10])]
    loads = [np.array([10.0, 6.0, 5.0]), np.array([9.0, 8.0, 1.0])]
    assert share_out(costs, loads, 0) == [0, 0]
    assert share_out(costs, loads, 2) == [1, 0]
    assert share_out(costs, loads, 3) == [1, 1]
    assert share_out(costs, loads, 14) == [2, 2]


@pytest.mark.parametrize("kind", ["column-major", "float32", "int32", "torch", "bfloat16"])
def test_the_same_bytes_come_whatever_holds_the_loads(kind):
    load = (LATER // 4096) * 4096 if kind == "bfloat16" else LATER
    plain = near(load, move_tolerance=0.01)[0]
    if kind == "column-major":
        given, held = np.asfortranarray(load), np.asfortranarray(IN_FORCE)
    elif kind in ("float32", "int32"):
        given, held = (load // 64 * 64).astype(kind), IN_FORCE.astype(np.int32)
        plain = near(load // 64 * 64, move_tolerance=0.01)[0]
    else:
        torch = pytest.importorskip("torch")
        given, held = torch.from_numpy(load), torch.from_numpy(IN_FORCE).int()
        if kind == "bfloat16":
            given = given.to(torch.bfloat16)
            plain = near(given.to(torch.float64).numpy(), move_tolerance=0.01)[0]
    answer = near(given, current=held, move_tolerance=0.01)[0]
    assert np.asarray(answer).tobytes() == plain.tobytes()


HASH_OF_AN_ANSWER = """
import hashlib
import numpy as np
import eplb_opt
load = np.random.default_rng(3).integers(0, 500, (6, 64))
held = eplb_opt.rebalance_experts(load, 80, 1, 1, 8, effort=10)[0]
maps = eplb_opt.rebalance_experts(load[:, ::-1], 80, 1, 1, 8, effort=50, current=held,
                                  move_tolerance=0.01)
print(hashlib.sha256(b"".join(m.tobytes() for m in maps)).hexdigest())
"""


def test_fresh_processes_agree():
    answers = set()
    for seed in ("0", "2"):
        env = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", HASH_OF_AN_ANSWER]
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        answers.add(run.stdout)
    assert len(answers) == 1


def test_nothing_moves_for_less_than_the_least_gain():
    for gain, stays in ((0.5, True), (0.01, False)):
        rules = NearRules(0.01, min_gain=gain)
        maps, found = rebalance_near(LATER, *SIZES, current=IN_FORCE, rules=rules, effort=100)
        assert (maps[0].tobytes() == IN_FORCE.tobytes()) is stays
        assert bool(found.moves.any()) is not stays


def test_lost_gpus_hold_nothing_and_all_experts_are_there():
    active = np.arange(12) != 5
    placed, slots, count = near(active_gpus=active)
    assert (placed.reshape(5, 12, 6)[:, 5] == -1).all()
    Plan(placed, 12, 60).check(Problem(LATER, 72, 12, active_gpus=active))
    assert (count.min(axis=1) >= 1).all()
    assert (slots.max(axis=(1, 2)) <= 71).all()
    back = near(current=placed, active_gpus=np.ones(12, dtype=bool))[0]
    Plan(back, 12).check(Problem(LATER, 72, 12))
    assert (back == near(current=placed, move_tolerance=0.003)[0]).all()


def test_too_few_gpus_for_the_experts_are_refused():
    with pytest.raises(ProblemError, match="9 GPUs are there, with 54 slots for 60 experts"):
        near(active_gpus=np.arange(12) < 9)


def test_a_hierarchical_map_keeps_its_groups_and_a_broken_one_is_planned_anew():
    sizes = 72, 6, 3, 12
    problem = Problem(LATER, 72, 12, 3, 6)
    held = eplb_opt.rebalance_experts(EARLIER, *sizes, effort=100)[0]
    placed = near(sizes=sizes, current=held, move_tolerance=0.05)[0]
    Plan(placed, 12).check(problem)
    assert moves(placed, held).sum() > 0
    mended = near(sizes=sizes, move_tolerance=0.05)[0]  # a flat map is in force
    Plan(mended, 12).check(problem)


def crossings(placed, held=IN_FORCE, num_nodes=3):
    """Moves to a node on which the expert did not stand."""
    new, old = (ids.reshape(len(ids), num_nodes, -1) for ids in (placed, held))
    return sum(
        int((~np.isin(new[layer, node], old[layer, node])).sum())
        for layer in range(len(new))
        for node in range(num_nodes)
    )


def test_moves_across_nodes_are_avoided_where_they_are_dear():
    sizes = 72, 1, 3, 12
    cheap = near(sizes=sizes, move_tolerance=0.02)[0]
    dear = near(sizes=sizes, move_tolerance=0.02, cross_node_price=20)[0]
    assert crossings(dear) < crossings(cheap)
    level = bounds(LATER) * 1.02 * 1.000001
    assert (evaluate(Problem(LATER, 72, 12), dear).objective <= level).all()
    assert (cheap == near(move_tolerance=0.02)[0]).all()  # nodes alone change nothing
    # A limit counts what crosses at its price.
    few = near(sizes=sizes, max_moves=40, cross_node_price=20)[0]
    assert moves(few).sum() + 19 * crossings(few) <= 40
    assert moves(few).sum() > 0


def test_a_level_that_nobody_reaches_gives_way_to_that_of_a_fresh_plan():
    # With two slots a GPU the bound is far below what can be done.
    load, sizes = family_loads("lognormal-1.0", 4, 60, 3), (72, 1, 1, 36)
    later = np.rint(load * np.random.default_rng(2).lognormal(0, 0.1, load.shape)).astype(int)
    held = eplb_opt.rebalance_experts(load, *sizes, effort=200)[0]
    placed = near(later, sizes, held, move_tolerance=0.02)[0]
    fresh = eplb_opt.rebalance_experts(later, *sizes, effort=100)[0]
    problem = Problem(later, 72, 36)
    ours, best = (evaluate(problem, ids).objective for ids in (placed, fresh))
    assert (best > bounds(later, sizes) * 1.02).any()
    assert (ours <= best * 1.02 * 1.000001).all()
    assert moves(placed, held, 36).sum() < moves(fresh, held, 36).sum() / 2


def test_a_gpu_that_is_empty_in_the_map_in_force_is_filled():
    held = IN_FORCE.copy()
    held[:, 12:18] = -1
    placed = near(current=held, move_tolerance=0.02)[0]
    Plan(placed, 12).check(Problem(LATER, 72, 12))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"move_tolerance": -0.1}, "move_tolerance"),
        ({"move_tolerance": "much"}, "move_tolerance"),
        ({"max_moves": -1}, "max_moves"),
        ({"max_moves": [1, 2]}, "max_moves"),
        ({"max_moves": 3, "move_tolerance": 0.1}, "exclude"),
        ({"active_gpus": np.ones(3, dtype=bool)}, "active_gpus"),
        ({"active_gpus": np.zeros(12, dtype=bool)}, "active_gpus"),
        ({"current": None, "max_moves": 3}, "need current="),
        ({"current": IN_FORCE[:, :60], "max_moves": 3}, "current is"),
        ({"effort": None, "time_limit": -1.0, "max_moves": 3}, "time_limit"),
        ({"max_moves": 3, "cross_node_price": 0}, "cross_node_price=0 is below 1"),
        ({"max_moves": 3, "cross_node_price": 1.5}, "cross_node_price"),
        ({"sizes": (72, 1, 5, 12), "max_moves": 3, "cross_node_price": 2}, "num_nodes=5"),
    ],
    ids=str,
)
def test_limits_that_cannot_be_kept_are_refused(options, message):
    with pytest.raises(ProblemError, match=message):
        near(**options)


@pytest.mark.parametrize("limit", [{"move_tolerance": 0.01}, {"max_moves": 40}], ids=str)
def test_a_time_limit_that_is_over_leaves_the_map_in_force(limit):
    placed = near(effort=None, time_limit=0.0, **limit)[0]
    assert placed.tobytes() == IN_FORCE.tobytes()


def test_what_engines_pass_beyond_the_five_numbers_is_taken():
    plain = eplb_opt.rebalance_experts(LATER, *SIZES, effort=3)[0]
    assert (eplb_opt.rebalance_experts(LATER, *SIZES, "balanced", effort=3)[0] == plain).all()


def test_fresh_plans_for_layers_that_missed_keep_the_time_limit(monkeypatch):
    given = []
    session = near_module.serving.Session

    class Watched(session):
        def refine(self, steps, seconds):
            given.append((steps, seconds))
            return session.refine(self, steps, seconds)

    monkeypatch.setattr(near_module.serving, "Session", Watched)
    call = admit(LATER, *SIZES)
    NearPlanner(call, IN_FORCE, NearRules(tolerance=0.0)).plan(None, 1e-6)
    assert given
    assert all(steps == 0 and seconds <= 1e-6 for steps, seconds in given)


def test_layers_whose_turn_does_not_come_stay_and_the_answer_says_so():
    call = admit(LATER, *SIZES)
    found = NearPlanner(call, IN_FORCE, NearRules(tolerance=0.01)).plan(None, 0.0)
    assert (found.placed == IN_FORCE).all()
    assert not found.reached.any()
    assert "5 of 5 layers are not within 1.00%" in found.message(0.01)
