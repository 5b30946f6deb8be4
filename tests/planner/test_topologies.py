"""A call with a topology, and the comparison of strict, anchored, priced and flat plans."""

from fractions import Fraction

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem, ProblemError, Topology
from eplb_opt.certificates import verify
from eplb_opt.placement import homes, scoring
from eplb_opt.planner.topologies import topologies


def load(num_layers=2):
    rng = np.random.default_rng(11)
    return (rng.lognormal(0, 1.2, (num_layers, 32)) * 1000).astype(np.int64)


def problem(rules=None, **terms):
    given = {"num_slots": 48, "num_gpus": 8, "num_nodes": 4, "num_groups": 8}
    return Problem(load(), **(given | terms), topology=rules)


def test_the_result_speaks_of_load_and_price_together():
    asked = problem(Topology(price=0.3))
    result = eplb_opt.plan(asked, effort=20)
    assert result.homes.shape == (2, 32)
    assert result.homes.dtype == np.int64
    placed = result.plan.physical_to_logical
    assert result.off_home == pytest.approx([float(x) for x in homes.off_home(asked, placed)])
    loads = 1 / result.balancedness
    assert result.objective == pytest.approx(loads + 0.3 * result.off_home)
    assert (result.lower_bound <= result.objective).all()
    assert (result.gap < 0.1).all()
    assert all(np.bincount(row // 1, minlength=4).tolist() == [8] * 4 for row in result.homes)


def test_a_result_without_a_topology_has_no_homes():
    result = eplb_opt.plan(problem(), effort=1)
    assert result.homes is None
    assert result.off_home is None


def test_the_bound_comes_with_a_certificate():
    asked = problem(Topology(price=0.3))
    result = eplb_opt.plan(asked, effort=5)
    for layer_idx, certificate in enumerate(result.certificates):
        assert certificate.kind == "topology"
        value = verify(asked.layer(layer_idx), certificate)
        assert value == result.bounds[layer_idx].lower
    assert set(result.bound_source) == {"topology"}
    proven = eplb_opt.lower_bound(asked)
    assert proven == pytest.approx(result.lower_bound)


def test_anchored_and_limited_plans_obey():
    anchored = eplb_opt.plan(problem(Topology(0.1, anchored=True)), effort=5)
    home = anchored.homes
    for layer_idx, placed in enumerate(anchored.plan.physical_to_logical):
        replicas = homes.replicas_on_nodes(anchored.problem, placed)
        assert replicas[np.arange(32), home[layer_idx]].min() >= 1
    limited = eplb_opt.plan(problem(Topology(0.0, max_off_home=0.03)), effort=5)
    assert limited.off_home.max() <= 0.03
    free = eplb_opt.plan(problem(Topology(0.0)), effort=5)
    assert free.objective.sum() < limited.objective.sum()


def test_a_start_is_taken_and_a_loss_is_refused():
    asked = problem(Topology())
    start = eplb_opt.plan(asked, effort=5)
    again = eplb_opt.plan(asked, effort=1, starts=[start.plan])
    assert (again.objective <= start.objective).all()
    with pytest.raises(ProblemError, match="loss"):
        eplb_opt.plan_for_loss(asked, effort=1)


def test_float_loads_are_scored_on_the_safe_side():
    rough = Problem(load() / 3.0, 48, 8, num_nodes=4, num_groups=8, topology=Topology())
    result = eplb_opt.plan(rough, effort=2)
    assert (result.lower_bound <= result.objective).all()


def test_rows_go_from_strict_to_flat():
    report = topologies(problem(), prices=(0.05, 0.5), effort=20)
    names = [row.name for row in report.rows]
    assert names == [
        "strict",
        "anchored at 0.05",
        "anchored at 0.5",
        "priced at 0.05",
        "priced at 0.5",
        "flat",
    ]
    rows = dict(zip(names, report.rows, strict=True))
    assert rows["strict"].off_home == 0
    assert rows["flat"].load <= rows["priced at 0.05"].load <= rows["strict"].load
    assert rows["priced at 0.5"].off_home < rows["priced at 0.05"].off_home
    for row in report.rows:
        assert row.lower_bound <= row.objective
        assert row.objective == pytest.approx(row.load + (row.price or 0) * row.off_home)


def test_no_row_lies_below_what_is_proven():
    report = topologies(problem(), prices=(0.05, 0.3, 1.0), anchored=False, effort=10)
    share = np.array([row.off_home for row in report.rows])
    loads = np.array([row.load for row in report.rows])
    assert (report.load_bound(share) <= loads + 1e-12).all()
    assert report.load_bound(np.array([0.0]))[0] > 1
    front = report.front
    assert [row.off_home for row in front] == sorted(row.off_home for row in front)
    assert [row.load for row in front] == sorted((row.load for row in front), reverse=True)


def test_what_cannot_be_planned_is_said_and_left_out():
    uneven = problem(Topology(), num_nodes=3)
    report = topologies(uneven, prices=(0.3,), anchored=False, effort=2)
    assert [row.kind for row in report.rows] == ["priced", "flat"]
    assert report.messages[0].startswith("strict: num_gpus = 8 is no multiple of num_nodes = 3")


def test_the_last_node_may_be_smaller():
    uneven = problem(Topology(0.3), num_nodes=3)
    result = eplb_opt.plan(uneven, effort=10)
    held = [np.bincount(row[::4], minlength=3).tolist() for row in result.homes]
    assert all(sorted(row) == [2, 3, 3] for row in held)
    assert (result.gap < 0.15).all()


def test_the_mean_of_scored_layers_is_exact():
    report = topologies(problem(), prices=(0.3,), anchored=False, effort=2)
    row = next(row for row in report.rows if row.kind == "priced")
    exact = sum(
        scoring.objectives(row.result.problem, row.result.plan.physical_to_logical), Fraction(0)
    )
    assert Fraction(row.objective) >= exact / 2


def test_the_least_off_home_within_a_tolerance_of_the_best_load():
    report = topologies(problem(Topology()), prices=(0.02, 0.3, 2.0), anchored=False, effort=20)
    tight, loose = report.near_home(0), report.near_home(0.05)
    judge = report.rows[1].result.problem
    best = np.min(
        [
            [float(x) for x in scoring.load_ratios(judge, row.result.plan.physical_to_logical)]
            for row in report.rows
        ],
        axis=0,
    )
    for found, tolerance in ((tight, 0.0), (loose, 0.05)):
        placed = found.plan.physical_to_logical
        found.plan.check(judge)
        assert found.off_home == pytest.approx([float(x) for x in homes.off_home(judge, placed)])
        assert (found.load <= best * (1 + tolerance) + 1e-12).all()
        assert (found.off_home_bound <= found.off_home).all()
    assert (loose.off_home <= tight.off_home).all()
    assert loose.off_home.sum() < tight.off_home.sum()
    assert tight.off_home_bound.sum() > 0
    with pytest.raises(ProblemError, match="No plan was made for a price"):
        type(report)(report.rows[-1:]).near_home(0.01)
