"""A call with a topology and a plan in force: few moves, and names that leave no plan dearer."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt import MoveCost, Problem, Topology
from eplb_opt.certificates import verify
from eplb_opt.migration.naming import named
from eplb_opt.placement import scoring
from eplb_opt.placement.moves import moved_slots

SHAPES = {
    "nodes alike": {"num_slots": 48, "num_gpus": 8, "num_nodes": 4, "num_groups": 8},
    "nodes unlike": {"num_slots": 48, "num_gpus": 8, "num_nodes": 3, "num_groups": 5},
    "speeds within nodes": {
        "num_slots": 48,
        "num_gpus": 8,
        "num_nodes": 4,
        "num_groups": 8,
        "gpu_speed": [1, 0.5] * 4,
    },
    "nodes of two speeds": {
        "num_slots": 48,
        "num_gpus": 8,
        "num_nodes": 4,
        "num_groups": 8,
        "gpu_speed": [1] * 4 + [0.5] * 4,
    },
}


def load(seed=11, num_layers=2):
    rng = np.random.default_rng(seed)
    return (rng.lognormal(0, 1.2, (num_layers, 32)) * 1000).astype(np.int64)


def drifted():
    return (load() * np.random.default_rng(1).lognormal(0, 0.15, (2, 32))).astype(np.int64)


def asked(shape="nodes alike", rules=None, loads=None):
    loads = drifted() if loads is None else loads
    return Problem(loads, **SHAPES[shape], topology=rules or Topology(price=0.3))


@pytest.fixture(scope="module", params=SHAPES)
def in_force(request):
    shape = request.param
    return shape, eplb_opt.plan(asked(shape, loads=load()), effort=5)


def test_the_plan_in_force_competes_and_moves_are_counted(in_force):
    shape, held = in_force
    result = eplb_opt.plan(asked(shape), effort=5, current=held.plan)
    before = eplb_opt.evaluate(asked(shape), held.plan)
    assert (result.objective <= before.objective).all()
    np.testing.assert_array_equal(result.moves, moved_slots(held.plan, result.plan))
    free = eplb_opt.plan(asked(shape), effort=5, starts=[held.plan])
    assert result.moves.sum() <= moved_slots(held.plan, free.plan).sum()
    assert result.objective == pytest.approx(free.objective, abs=0.02)


def test_a_plan_that_is_best_already_stays_row_by_row(in_force):
    shape, held = in_force
    result = eplb_opt.plan(asked(shape, loads=load()), effort=0, current=held.plan)
    np.testing.assert_array_equal(result.plan.physical_to_logical, held.plan.physical_to_logical)
    assert result.moves.tolist() == [0, 0]


@pytest.mark.parametrize("most", [0, 3, 8, [4, 0]], ids=str)
def test_max_moves_is_kept(in_force, most):
    shape, held = in_force
    result = eplb_opt.plan(asked(shape), effort=5, current=held.plan, max_moves=most)
    assert (result.moves <= most).all() if isinstance(most, list) else result.moves.sum() <= most
    before = eplb_opt.evaluate(asked(shape), held.plan).objective
    assert (result.objective <= before).all()
    if most == 8:
        assert result.objective.sum() < before.sum()


def test_few_moves_reach_a_tolerance(in_force):
    shape, held = in_force
    free = eplb_opt.plan(asked(shape), effort=5, current=held.plan)
    near = eplb_opt.plan(asked(shape), effort=5, current=held.plan, move_tolerance=0.03)
    assert (near.objective <= free.objective * 1.03 * (1 + 1e-9)).all()
    assert near.moves.sum() < free.moves.sum()


def test_rules_on_homes_hold_near_a_plan_in_force():
    rules = Topology(price=0.1, anchored=True, max_off_home=0.5)
    held = eplb_opt.plan(asked(rules=rules, loads=load()), effort=5)
    problem = asked(rules=Topology(price=0.1, homes=held.homes, anchored=True))
    result = eplb_opt.plan(problem, effort=5, current=held.plan, move_tolerance=0.02)
    result.plan.check(problem)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("are_homes_given", [False, True])
def test_names_never_change_what_a_plan_is_worth(shape, are_homes_given):
    rng = np.random.default_rng(3)
    homes = rng.integers(0, SHAPES[shape]["num_nodes"], (1, 32)) if are_homes_given else None
    problem = Problem(load()[:1], **SHAPES[shape], topology=Topology(0.3, homes=homes))
    for _ in range(20):
        held, best = (
            np.concatenate([rng.permutation(32), rng.integers(0, 32, 16)]) for _ in range(2)
        )
        best = rng.permutation(best)
        placed = named(problem, held, best)
        worth = scoring.layer_objectives(problem, np.array([best]))
        assert scoring.layer_objectives(problem, np.array([placed])) == worth
        few, many = (
            moved_slots(eplb_opt.Plan(held[None], 8), eplb_opt.Plan(row[None], 8))[0]
            for row in (placed, best)
        )
        assert few <= many


def test_a_frontier_has_few_moves_for_much_of_the_gain():
    held = eplb_opt.plan(asked(loads=load()), effort=5)
    frontier = eplb_opt.frontier(asked(), held.plan, effort=5)
    assert len(frontier.moves) > 3
    assert (np.diff(frontier.objective) < 0).all()


def test_a_move_cost_reads_load_and_price_as_time(in_force):
    shape, held = in_force
    for steps in (1, 10**6):
        cost = MoveCost(10**7, 1e9, 0.05, 0.5, steps)
        found = eplb_opt.plan(asked(shape), effort=5, current=held.plan, move_cost=cost)
        told = cost.assess(asked(shape), held.plan, found.plan)
        assert (told.net >= 0).all()
        assert (found.moves.sum() > 0) == (steps > 1)
    stays = eplb_opt.evaluate(asked(shape), held.plan).objective
    lost = (stays - 1) * cost.moe_seconds / stays.sum()
    assert told.before == pytest.approx(lost)


@pytest.mark.parametrize("are_homes_given", [False, True])
def test_a_lost_gpu_leaves_a_smaller_node(are_homes_given):
    homes = np.arange(32) // 8 if are_homes_given else None
    active = np.arange(8) != 2
    terms = {"num_slots": 48, "num_gpus": 8, "num_nodes": 4, "num_groups": 8}
    problem = Problem(load(), **terms, active_gpus=active, topology=Topology(0.3, homes=homes))
    result = eplb_opt.plan(problem, effort=10)
    placed = result.plan.physical_to_logical
    result.plan.check(problem)
    assert (placed.reshape(2, 8, 6)[:, 2] == -1).all()
    # The same machine, told of as one of seven GPUs, the second node with one.
    nodes = np.array([0, 0, 1, 2, 2, 3, 3])
    rules = Topology(0.3, homes=homes, nodes=nodes)
    left = Problem(load(), 42, 7, 4, 8, topology=rules)
    again = eplb_opt.evaluate(left, placed[placed >= 0].reshape(2, 42))
    np.testing.assert_array_equal(again.objective, result.objective)
    np.testing.assert_array_equal(result.lower_bound, eplb_opt.lower_bound(left))
    np.testing.assert_array_equal(
        eplb_opt.evaluate(problem, result.plan).objective, result.objective
    )
    for layer_idx, certificate in enumerate(result.certificates):
        proven = verify(problem.layer(layer_idx), certificate)
        assert proven == result.bounds[layer_idx].lower
    near = eplb_opt.plan(problem, effort=5, current=result.plan)
    assert (near.objective <= result.objective).all()
