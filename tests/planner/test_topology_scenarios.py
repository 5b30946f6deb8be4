"""Calls with several loads and a topology: plans, proofs, few moves, and what is reported."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem, Topology
from eplb_opt.certificates import verify
from eplb_opt.planner.topologies import topologies
from tests.scenario_homes_oracle import scenario_home_optimum

TERMS = {"num_slots": 48, "num_gpus": 8, "num_nodes": 4, "num_groups": 8}


def loads(seed=11, num_loads=3, num_layers=2, num_experts=32, drift=0.6):
    rng = np.random.default_rng(seed)
    base = rng.lognormal(0, 1.0, (num_layers, num_experts)) * 1000
    many = base * rng.lognormal(0, drift, (num_loads, num_layers, num_experts))
    return many.astype(np.int64)


def asked(objective="mean", rules=None, weights=(1, 2, 3), given=None, **terms):
    return Problem(
        loads() if given is None else given,
        **(TERMS | terms),
        scenario_weights=weights,
        objective=objective,
        topology=rules or Topology(price=0.3),
    )


@pytest.fixture(scope="module", params=["mean", "max"])
def planned(request):
    return eplb_opt.plan(asked(request.param), effort=20)


def test_a_plan_is_checked_proven_and_far_better_than_the_first(planned):
    problem = planned.problem
    planned.plan.check(problem)
    assert (planned.lower_bound <= planned.objective).all()
    first = eplb_opt.plan(problem, effort=0)
    assert planned.objective.sum() < first.objective.sum()
    assert set(planned.bound_source) <= {"scenario_topology", "scenario_split"}
    for layer_idx, proof in enumerate(planned.certificates):
        assert verify(problem.layer(layer_idx), proof) == planned.bounds[layer_idx].lower


def test_what_is_reported_goes_together(planned):
    problem, weights = planned.problem, np.array([1, 2, 3]) / 6
    load, away = 1 / planned.scenario_balancedness, planned.scenario_off_home
    assert load.shape == away.shape == (3, 2)
    if problem.objective == "mean":
        assert planned.off_home == pytest.approx(weights @ away)
        assert 1 / planned.balancedness == pytest.approx(weights @ load)
        assert planned.objective == pytest.approx(weights @ (load + 0.3 * away))
    else:
        assert planned.off_home == pytest.approx(away.max(axis=0))
        assert 1 / planned.balancedness == pytest.approx(load.max(axis=0))
        assert planned.objective == pytest.approx((load + 0.3 * away).max(axis=0))
    assert planned.homes.shape == (2, 32)


@pytest.mark.parametrize("objective", ["mean", "max"])
def test_one_plan_for_all_beats_plans_for_less(objective):
    problem = asked(objective)
    together = eplb_opt.plan(problem, effort=60)
    for load in (problem.load.sum(axis=0), problem.load[0]):
        alone = Problem(load, **TERMS, topology=Topology(price=0.3))
        other = eplb_opt.plan(alone, effort=60)
        worth = eplb_opt.evaluate(problem, other.plan).objective
        assert together.objective.sum() < worth.sum()


@pytest.mark.parametrize("objective", ["mean", "max"])
def test_small_layers_are_planned_to_the_optimum_of_all_plans(objective):
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(6):
        load = rng.integers(1, 40, (2, 1, 4))
        terms = {"num_slots": 6, "num_gpus": 3, "num_nodes": 3, "num_groups": 4}
        rules = Topology(price=0.5)
        problem = Problem(load, **terms, objective=objective, topology=rules)
        best = scenario_home_optimum(problem)
        found = eplb_opt.plan(problem, effort=30).bounds[0]
        assert found.lower <= best <= found.objective
        hits += found.objective == best
    assert hits >= 4


@pytest.mark.parametrize("objective", ["mean", "max"])
@pytest.mark.parametrize(
    "rules",
    [
        Topology(0.1, anchored=True),
        Topology(0.0, max_off_home=0.3),
        Topology(0.3, homes=np.arange(32) // 8),
        Topology(0.1, homes=np.arange(32) // 8, anchored=True, max_off_home=0.3),
    ],
    ids=["anchored", "limit", "homes", "all"],
)
def test_rules_hold_for_several_loads(objective, rules):
    problem = asked(objective, rules)
    found = eplb_opt.plan(problem, effort=20)
    found.plan.check(problem)
    if rules.max_off_home is not None:
        assert (found.off_home <= rules.max_off_home).all()
    for layer_idx, proof in enumerate(found.certificates):
        if proof is not None:
            proven = verify(problem.layer(layer_idx), proof)
            assert proven <= found.bounds[layer_idx].lower


def test_counted_work_gives_the_same_plan_at_any_number_of_workers():
    plans = [
        eplb_opt.plan(asked(objective), effort=10, workers=workers).plan.physical_to_logical
        for objective in ("mean", "max")
        for workers in (1, 3)
    ]
    np.testing.assert_array_equal(plans[0], plans[1])
    np.testing.assert_array_equal(plans[2], plans[3])


def test_one_scenario_is_planned_as_one_load():
    load = loads()[:1]
    one = eplb_opt.plan(asked(given=load, weights=None), effort=10)
    plain = eplb_opt.plan(Problem(load[0], **TERMS, topology=Topology(0.3)), effort=10)
    assert one.objective == pytest.approx(plain.objective, rel=0.02)
    assert eplb_opt.lower_bound(one.problem) == pytest.approx(plain.lower_bound, rel=1e-9)


def test_loads_without_tokens_or_weight_count_as_nothing_off_home():
    load = loads()
    load[1] = 0
    problem = asked(given=load, weights=[1, 1, 0])
    found = eplb_opt.plan(problem, effort=5)
    assert (found.scenario_off_home[1] == 0).all()
    assert (found.scenario_balancedness[1] == 1).all()
    assert found.off_home == pytest.approx(found.scenario_off_home[0] / 2)
    for layer_idx, proof in enumerate(found.certificates):
        assert verify(problem.layer(layer_idx), proof) == found.bounds[layer_idx].lower
    empty = asked(given=np.zeros_like(load))
    assert eplb_opt.plan(empty, effort=1).objective.tolist() == [1.0, 1.0]


def test_few_moves_and_moves_across_nodes_go_with_several_loads(planned):
    later = planned.problem.load[:, :, ::-1]
    problem = asked(planned.problem.objective, given=later)
    before = eplb_opt.evaluate(problem, planned.plan).objective
    for given in ({"max_moves": 12}, {"max_moves": 12, "cross_node_price": 3}):
        found = eplb_opt.plan(problem, effort=5, current=planned.plan, **given)
        count = found.moves + (given.get("cross_node_price", 1) - 1) * found.moves_across
        assert count.sum() <= 12
        assert found.objective.sum() < before.sum()
    near = eplb_opt.plan(problem, effort=5, current=planned.plan, move_tolerance=0.1)
    assert near.moves.sum() < 96


def test_lost_gpus_go_with_several_loads():
    active = np.arange(8) != 2
    problem = asked(active_gpus=active)
    found = eplb_opt.plan(problem, effort=10)
    found.plan.check(problem)
    for layer_idx, proof in enumerate(found.certificates):
        assert verify(problem.layer(layer_idx), proof) == found.bounds[layer_idx].lower


def test_topologies_compare_plans_for_several_loads():
    report = topologies(asked(), prices=(0.3,), effort=5)
    assert [row.name for row in report.rows] == [
        "strict",
        "anchored at 0.3",
        "priced at 0.3",
        "flat",
    ]
    for row in report.rows:
        assert row.lower_bound <= row.objective
    strict, *_, priced, flat = report.rows
    assert strict.off_home == 0
    assert flat.load <= priced.load <= strict.load
    assert (
        report.load_bound(np.array([row.off_home for row in report.rows]))
        <= [row.load + 1e-12 for row in report.rows]
    ).all()
