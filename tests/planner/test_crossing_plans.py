"""Calls with a price on what crosses nodes, from the door to the comparison of many prices."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem, ProblemError, Topology
from eplb_opt.certificates import verify
from eplb_opt.placement import scoring
from eplb_opt.placement.crossing import crossing
from eplb_opt.planner.topologies import topologies
from eplb_opt.report.topology import topology_columns, topology_json, topology_table
from eplb_opt.report.words import describe
from tests.crossing_oracle import worth

DISPATCHES = ("nearest", "rank_modulo")


def load(num_layers=2, num_experts=32):
    rng = np.random.default_rng(11)
    return (rng.lognormal(0, 1.2, (num_layers, num_experts)) * 1000).astype(np.int64)


def problem(dispatch="nearest", rules=None, **terms):
    given = {"num_slots": 48, "num_gpus": 8, "num_nodes": 4} | terms
    return Problem(load(), **given, dispatch=dispatch, topology=rules or Topology(0.3))


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_the_result_speaks_of_load_and_crossing_together(dispatch):
    asked = problem(dispatch)
    result = eplb_opt.plan(asked, effort=20)
    placed = result.plan.physical_to_logical
    assert [float(x) for x in worth(asked, placed.tolist())] == pytest.approx(result.objective)
    assert result.homes is None
    assert result.off_home == pytest.approx([float(x) for x in crossing(asked, placed)])
    assert result.objective == pytest.approx(1 / result.balancedness + 0.3 * result.off_home)
    assert (result.lower_bound <= result.objective).all()
    assert (result.gap < 0.05).all()
    assert "crossing at 0.3" in describe(result)


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_the_bound_comes_with_a_certificate(dispatch):
    result = eplb_opt.plan(problem(dispatch), effort=5)
    for layer_idx, certificate in enumerate(result.certificates):
        assert certificate.kind == "crossing"
        value = verify(result.problem.layer(layer_idx), certificate)
        assert value == result.bounds[layer_idx].lower
    assert set(result.bound_source) == {"crossing"}
    assert eplb_opt.lower_bound(result.problem) == pytest.approx(result.lower_bound)


def test_a_price_lets_less_cross_than_none():
    free = eplb_opt.plan(problem(rules=Topology(0.0)), effort=20)
    priced = eplb_opt.plan(problem(), effort=20)
    assert priced.off_home.sum() < free.off_home.sum() - 0.1
    assert (free.objective <= priced.objective).all()
    limited = eplb_opt.plan(problem(rules=Topology(0.0, max_off_home=0.47)), effort=20)
    assert limited.off_home.max() <= 0.47 < free.off_home.max()


def test_counted_work_gives_the_same_plan_and_lost_gpus_are_left_out():
    active = np.array([True] * 7 + [False])
    asked = problem(num_slots=64, active_gpus=active)
    first, again = (eplb_opt.plan(asked, effort=5) for _ in range(2))
    placed = first.plan.physical_to_logical
    assert (placed == again.plan.physical_to_logical).all()
    assert (placed[:, -8:] == -1).all()
    assert [float(x) for x in worth(asked, placed.tolist())] == pytest.approx(first.objective)


def test_nodes_may_differ_and_replicas_may_have_to_stand_apart():
    nodes = [0, 0, 0, 1, 1, 1, 1, 2]
    asked = problem(rules=Topology(0.3, nodes=nodes), num_nodes=3, colocation="forbid")
    result = eplb_opt.plan(asked, effort=10)
    placed = result.plan.physical_to_logical
    assert [float(x) for x in worth(asked, placed.tolist())] == pytest.approx(result.objective)


def test_a_plan_in_force_competes_and_a_loss_is_refused():
    asked = problem()
    start = eplb_opt.plan(asked, effort=5)
    again = eplb_opt.plan(asked, effort=1, current=start.plan, max_moves=0)
    assert again.moves.tolist() == [0, 0]
    assert (again.objective <= start.objective).all()
    with pytest.raises(ProblemError, match="loss"):
        eplb_opt.plan_for_loss(asked, effort=1)


def test_float_loads_are_scored_on_the_safe_side():
    rough = Problem(load() / 3.0, 48, 8, 4, dispatch="nearest", topology=Topology())
    result = eplb_opt.plan(rough, effort=2)
    assert (result.lower_bound <= result.objective).all()


def test_a_short_call_has_an_answer():
    result = eplb_opt.plan(problem(), time_limit=0.2)
    assert (result.lower_bound <= result.objective).all()


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (Topology(homes=[0] * 32), "homes means nothing under dispatch="),
        (Topology(anchored=True), "anchored means nothing under dispatch="),
        (Topology(nodes=[0, 1, 0, 1, 2, 2, 3, 3]), "rise from 0 to 3"),
    ],
)
def test_what_means_nothing_where_gpus_send_is_refused(rules, words):
    with pytest.raises(ProblemError, match=words):
        problem(rules=rules)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"gpu_speed": [1] * 7 + [2]}, "unlike speeds or slots under a dispatch by senders"),
        ({"gpu_slots": [6] * 7 + [5]}, "unlike speeds or slots under a dispatch by senders"),
        ({"spread": "node"}, "spread"),
    ],
)
def test_what_the_bound_takes_for_granted_is_asked_for(terms, words):
    with pytest.raises(ProblemError, match=words):
        problem(**terms)


def test_optimal_dispatch_is_refused_with_the_reason():
    with pytest.raises(ProblemError, match="differ in what crosses nodes"):
        problem("optimal")


def test_rows_go_from_strict_to_flat_and_none_is_anchored():
    asked = problem(num_groups=8).with_topology(None)
    report = topologies(asked, prices=(0.05, 0.5), effort=10)
    names = [row.name for row in report.rows]
    assert names == ["strict", "priced at 0.05", "priced at 0.5", "flat"]
    strict, *_, flat = report.rows
    # With every replica on one node of four, three quarters of all cross.
    assert strict.off_home == pytest.approx(0.75)
    assert flat.load <= min(row.load for row in report.rows[1:-1]) + 1e-9
    assert report.rows[2].off_home < flat.off_home
    shares = np.linspace(0, 1, 5)
    assert (report.load_bound(shares) >= 1).all()
    judge = asked.with_topology(Topology(0.5))
    for row in report.rows:
        placed = row.result.plan.physical_to_logical
        assert row.off_home == pytest.approx(float(sum(crossing(judge, placed)) / 2))
        assert row.load == pytest.approx(float(sum(scoring.load_ratios(judge, placed)) / 2))
    assert "crossing" in [column.heading for column in topology_columns(report)]
    assert "nearest copy" in topology_table(report).caption
    assert topology_json(report)["rows"][0]["off_home"] == pytest.approx(0.75)


def test_unlike_nodes_are_compared_too():
    rules = Topology(0.1, nodes=[0, 0, 0, 1, 1, 1, 1, 2])
    report = topologies(problem(rules=rules, num_nodes=3), prices=(0.3,), effort=5)
    assert [row.name for row in report.rows] == ["priced at 0.3", "flat"]
    assert report.rows[-1].result.problem.topology.price == 0
