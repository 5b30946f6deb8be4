"""The MILP of a priced topology: the rules are CP-SAT's, and what it proves is true."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Problem, Topology, plan
from eplb_opt.errors import ProblemError
from eplb_opt.exact.homes import linear, model
from eplb_opt.exact.homes.columns import Columns
from eplb_opt.exact.homes.milp import SmallColumns
from eplb_opt.exact.homes.model import HomeModel
from eplb_opt.exact.homes.solver import HomeModelSolver
from eplb_opt.placement.homes import homes_of
from eplb_opt.placement.scoring import objectives
from eplb_opt.solver import Options
from tests.bounds.test_topology_bound import tiny_problems
from tests.exact import home_tasks
from tests.homes_oracle import home_optimum

if TYPE_CHECKING:
    from collections.abc import Callable

LOAD = np.array([[8, 6, 4, 2]])
CHOSEN = Problem(LOAD, 6, 3, num_nodes=3, num_groups=4, topology=Topology(0.3))
GIVEN = Problem(LOAD, 6, 2, num_nodes=2, topology=Topology(0.3, homes=[0, 0, 1, 1], anchored=True))
LIMITED = Problem(LOAD, 6, 2, num_nodes=2, topology=Topology(homes=[0, 0, 1, 1], max_off_home=0.3))
LINKED = Problem(
    LOAD,
    6,
    3,
    num_nodes=3,
    num_groups=4,
    topology=Topology(0.3, rank_costs=[[0, 1, 2], [1, 0, 1], [2, 1, 0]]),
)

Values = dict[int, int]


def column(variable) -> int:
    return next(iter(variable.terms))


def values_of(m: HomeModel, placed: np.ndarray) -> Values:
    """Every column's value for a plan."""
    m.hint(placed)
    values = dict(m.model.start)
    count = np.bincount(placed, minlength=m.problem.num_experts)
    on_gpu = placed.reshape(m.problem.num_gpus, -1)
    peak = max(sum(m.columns.size(e, int(count[e])) for e in row) for row in on_gpu.tolist())
    values[column(m.peak)] = peak
    homes = homes_of(m.problem, placed[None])[0]
    if not m.columns.rules.counts_off_home:
        for (e, c, _), away in m.away.items():
            row = m.columns.cost[homes[e]]
            there = [row[m.place[g]] * on_gpu[g].tolist().count(e) for g in range(len(on_gpu))]
            values[column(away)] = sum(there) if count[e] == c else 0
        return values
    for (e, c, n), away in m.away.items():
        there = sum(on_gpu[g].tolist().count(e) for g, node in enumerate(m.node) if node == n)
        if len(away.terms) == 1 and m.columns.rules.homes is None:
            values[column(away)] = there if count[e] == c and homes[e] != n else 0
    return values


def moved(values: Values, change: dict[int, int]) -> Values:
    return values | {at: values.get(at, 0) + by for at, by in change.items()}


def two_counts(m: HomeModel, values: Values) -> Values:
    return moved(values, {next(column(z) for z in m.chosen.values() if not values[column(z)]): 1})


def replica_too_many(m: HomeModel, values: Values) -> Values:
    return moved(values, {column(next(iter(m.placed.values()))): 1})


def smaller_t(m: HomeModel, values: Values) -> Values:
    return moved(values, {column(m.peak): -1})


def group_on_two_nodes(m: HomeModel, values: Values) -> Values:
    return moved(values, {next(column(x) for x in m.at_home.values() if not values[column(x)]): 1})


def nothing_off_home(m: HomeModel, values: Values) -> Values:
    return values | {column(o): 0 for o in m.away.values()}


def all_of_an_expert_away(m: HomeModel, values: Values) -> Values:
    """The replicas of the first expert trade GPUs with what stands on the other node."""
    e, (here, there) = 0, (0, 1)
    change: dict[int, int] = {}
    for (expert, _, g), variable in m.placed.items():
        held = values[column(variable)]
        if expert == e and g == here and held:
            change[column(variable)] = -held
            change[column(m.placed[expert, _, there])] = held
    return moved(values, change)


#: A rule, a problem, a plan that obeys it and what breaks it.
BREAKAGES: dict[str, tuple[Callable, Problem, list[int], Callable]] = {
    "one count": (model.one_count_per_expert, CHOSEN, [0, 3, 1, 2, 0, 1], two_counts),
    "count matched": (
        model.replicas_match_the_count,
        CHOSEN,
        [0, 3, 1, 2, 0, 1],
        replica_too_many,
    ),
    "below T": (model.gpus_are_full_and_below_t, CHOSEN, [0, 3, 1, 2, 0, 1], smaller_t),
    "full": (model.gpus_are_full_and_below_t, CHOSEN, [0, 3, 1, 2, 0, 1], replica_too_many),
    "one home": (model.groups_have_one_home, CHOSEN, [0, 3, 1, 2, 0, 1], group_on_two_nodes),
    "off home": (
        model.replicas_off_home_are_counted,
        CHOSEN,
        [0, 3, 1, 2, 0, 1],
        nothing_off_home,
    ),
    "links": (
        model.links_cost_what_they_carry,
        LINKED,
        [0, 3, 1, 2, 0, 1],
        nothing_off_home,
    ),
    "anchored": (
        model.anchored_experts_have_a_replica_at_home,
        GIVEN,
        [0, 1, 1, 2, 3, 3],
        all_of_an_expert_away,
    ),
    "limit": (
        model.little_is_served_off_home,
        LIMITED,
        [0, 0, 1, 2, 2, 3],
        all_of_an_expert_away,
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_rule_permits_a_plan_and_forbids_its_breakage(name, monkeypatch):
    rule, problem, placed, breakage = BREAKAGES[name]
    m = HomeModel(linear, Columns(problem, Fraction(4)))
    assert m.model.holds(values_of(m, np.array(placed)))
    # The rule alone, with those that make its columns.
    makers = [
        model.groups_have_one_home,
        model.replicas_off_home_are_counted,
        model.links_cost_what_they_carry,
    ]
    monkeypatch.setattr(model, "RULES", makers if rule in makers else [*makers, rule])
    m = HomeModel(linear, Columns(problem, Fraction(4)))
    values = values_of(m, np.array(placed))
    assert m.model.holds(values)
    assert not m.model.holds(breakage(m, values))


@pytest.mark.parametrize("name", BREAKAGES)
def test_cp_sat_has_the_same_rules(name):
    cp_model = pytest.importorskip("ortools.sat.python.cp_model")
    _rule, problem, placed, breakage = BREAKAGES[name]
    m = HomeModel(linear, Columns(problem, Fraction(4)))
    values = values_of(m, np.array(placed))
    for taken, is_allowed in ((values, True), (breakage(m, values), False)):
        other = HomeModel(cp_model, Columns(problem, Fraction(4)))
        for idx in range(len(m.model.lower)):
            variable = other.model.get_int_var_from_proto_index(idx)
            other.model.add(variable == taken.get(idx, 0))
        status = cp_model.CpSolver().solve(other.model)
        assert (status in (cp_model.OPTIMAL, cp_model.FEASIBLE)) == is_allowed


def test_every_rule_has_its_breakage():
    assert {rule for rule, *_ in BREAKAGES.values()} == set(model.RULES)


def test_sums_are_rows_of_numbers():
    program = linear.CpModel()
    x, y = program.new_int_var(0, 5, "x"), program.new_bool_var("y")
    program.add(3 * x - y + 1 >= 2 * y - 4)
    program.add(1 - x <= y)
    program.add(x + y + x == 7)
    program.add_linear_constraint(x + 2, 1, 4)
    program.add(False)
    assert program.rows == [
        ([0, 1], [3, -3], -5, None),
        ([0, 1], [-1, -1], None, -1),
        ([0, 1], [2, 1], 7, 7),
        ([0], [1], -1, 2),
        ([], [], 1, 1),
    ]
    assert not program.holds({0: 3, 1: 1})
    program.rows = program.rows[:3]
    assert program.holds({0: 3, 1: 1})
    assert not program.holds({0: 6, 1: -5})


def test_scales_that_floats_hold():
    large = replace(CHOSEN)
    large.set_field("load", LOAD * 1_000_003)
    for problem in (CHOSEN, large):
        columns = SmallColumns(problem, Fraction(4))
        options = [(e, c) for e, counts in enumerate(columns.counts) for c in counts]
        assert sum(columns.size(e, c) for e, c in options) <= columns.most
        sizes = sum(columns.size(e, 1) for e in range(4))
        assert float(columns.value(columns.price.denominator * sizes)) == pytest.approx(1, rel=1e-4)
        assert columns.value(columns.price.denominator * sizes) <= 1


@settings(max_examples=15, deadline=None)
@given(tiny_problems())
def test_it_finds_and_nearly_proves_the_optimum(problem):
    pytest.importorskip("pulp")
    if problem is None or not problem.load.any():
        return

    def solver(one, options):
        return HomeModelSolver(one, Options(model="milp"))

    try:
        answer = home_tasks.solved(solver, problem, 100_000)
    except ProblemError:  # no first plan within the limit on what is off home
        return
    best = home_optimum(problem)
    if answer.bound is not None:  # none where CBC's log ends before it says what it has found
        assert answer.bound.value <= best
        # The margin for floats counts as many times as the fastest GPU is faster than the slowest.
        near = 1e-3 if problem.gpu_speed is None else 5e-2
        assert float(answer.bound.value) == pytest.approx(float(best), rel=near)
    if answer.placed is not None:
        assert float(objectives(problem, answer.placed[None])[0]) == pytest.approx(float(best))


def test_a_small_priced_layer_is_planned_by_milp():
    pytest.importorskip("pulp")
    load = np.array([[40, 30, 20, 10, 5, 3]])
    problem = Problem(load, 8, 4, num_nodes=2, num_groups=2, topology=Topology(0.3))
    by = {name: plan(problem, time_limit=15, model=name) for name in ("milp", "cpsat")}
    assert by["milp"].objective[0] == by["cpsat"].objective[0]
    assert by["milp"].bounds[0].gap < 1e-3
    assert any("pulp" in name for name in by["milp"].relied_on)
