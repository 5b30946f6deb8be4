"""Optimal dispatch: the model of hosts and flows against every plan there is."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eplb_opt import Problem, ProblemError
from eplb_opt.clock import Deadline
from eplb_opt.exact import MODELS, get_model
from eplb_opt.exact.counts import rules
from eplb_opt.exact.cpsat import CpSatModel, CpSatParams
from eplb_opt.exact.fewest_moves import exact_layer, fewest_moves, held_experts, num_moves
from eplb_opt.exact.flows import rules as flow_rules
from eplb_opt.exact.flows.formulation import formulate_flows, list_hosts
from eplb_opt.exact.flows.rules import FLOW_RULES
from eplb_opt.exact.flows.scale import GpuRate
from eplb_opt.exact.flows.values import flow_values
from eplb_opt.exact.shared.change import Change
from eplb_opt.exact.shared.loads import plan_value
from eplb_opt.exact.shared.scaling import ScaleLimits
from eplb_opt.placement import checker, scoring
from eplb_opt.placement.level_flow import whole_split
from eplb_opt.search.starts import first_plan
from tests.exact.instances import zipf
from tests.exact.starts import model_with_its_start, round_robin
from tests.oracle import _free_worth, free_optimum, moves_of, ruled_plans
from tests.strategies import ruled_problems, scenario_problems, tiny_problems

#: Where units are rounded a bound may miss the optimum by as much, and only downwards.
ROUNDING = Fraction(1, 10**6)
COLOCATIONS = ("allow", "forbid")


def freely_split(given_problem):
    """The problem under optimal dispatch, if some plan obeys its rules."""
    if not isinstance(given_problem, dict):
        # The oracle tries every plan; on two nodes with more slots there are too many.
        assume(not given_problem.is_hierarchical or given_problem.num_slots <= 6)
        assume(given_problem.num_experts <= 5)
        return given_problem.with_dispatch("optimal")
    try:
        problem = Problem(**given_problem, dispatch="optimal")
    except ProblemError:
        return None
    return None if free_optimum(problem) is None else problem


def solve(problem, model=None):
    start = first_plan(problem)[0]
    return (model or CpSatModel())(problem, start, Fraction(0), Deadline.after(30))


def assert_solved(problem, answer, best, rounding=ROUNDING):
    checker.check(problem, answer.physical_to_logical[None, :])
    value = scoring.objectives(problem, answer.physical_to_logical[None, :])[0]
    assert answer.lower_bound <= best <= value
    assert value - answer.lower_bound <= best * rounding


@settings(max_examples=80, deadline=None)
@given(tiny_problems(loads=st.integers(0, 60)))
def test_small_loads_are_solved_to_the_very_optimum(given_problem):
    problem = freely_split(given_problem)
    assert_solved(problem, solve(problem), free_optimum(problem), rounding=0)


@settings(max_examples=100, deadline=None)
@given(scenario_problems(colocations=COLOCATIONS))
def test_scenarios_are_solved_to_the_optimum_of_all_plans(given_problem):
    problem = freely_split(given_problem)
    assert_solved(problem, solve(problem), free_optimum(problem))


@settings(max_examples=150, deadline=None)
@given(ruled_problems(spreads=(None, "gpu", "node")))
def test_gpu_rules_are_solved_to_the_optimum_of_all_plans(given_problem):
    problem = freely_split(given_problem)
    if problem is not None:
        assert_solved(problem, solve(problem), free_optimum(problem))


@settings(max_examples=100, deadline=None)
@given(st.one_of(scenario_problems(colocations=COLOCATIONS), ruled_problems()), st.integers(3, 40))
def test_coarse_units_never_make_a_false_bound(given_problem, load):
    # A T that is not given its unit of rounding puts some of these bounds above the optimum.
    problem = freely_split(given_problem)
    if problem is not None:
        answer = solve(problem, CpSatModel(CpSatParams(limits=ScaleLimits(load=load))))
        assert answer.lower_bound <= free_optimum(problem)


@pytest.mark.parametrize("seed", range(5))
def test_milp_agrees(seed):
    rng = np.random.default_rng(seed)
    load = rng.integers(1, 30, (2, 1, 4))
    problems = (
        Problem(load[0], 6, 3, dispatch="optimal"),
        Problem(load, 6, 2, objective=("mean", "max")[seed % 2], dispatch="optimal"),
        Problem(load[0], 6, 3, gpu_slots=[2, 2, 1], gpu_speed=[1, 2, 1], dispatch="optimal"),
    )
    problem = problems[seed % 3]
    answer = solve(problem, get_model("milp"))
    assert_solved(problem, answer, free_optimum(problem), rounding=Fraction(1, 1000))


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        scenario_problems(colocations=COLOCATIONS),
        ruled_problems(spreads=(None, "gpu")),
        tiny_problems(),
    )
)
def test_the_start_is_a_solution_with_its_own_value(given_problem):
    problem = freely_split(given_problem)
    found = None if problem is None else model_with_its_start(problem)
    if found is not None:
        f, upper, units = found
        assert abs(f.to_value(units) - upper) <= upper * ROUNDING
        assert units <= f.to_units(upper)


@pytest.mark.parametrize("name", MODELS)
def test_first_solution_is_the_start(name):
    problem = Problem([[90, 41, 17, 8, 3]], 8, 4, dispatch="optimal")
    start = round_robin(problem)
    answer = get_model(name)(problem, start, Fraction(0), Deadline.after(30))
    assert answer.first_objective == scoring.objectives(problem, start[None, :])[0]


@pytest.mark.parametrize("name", MODELS)
def test_a_large_layer_is_refused_when_time_is_short(name):
    problem = zipf(256, 288, 32).with_dispatch("optimal")
    answer = get_model(name)(problem, round_robin(problem), Fraction(0), Deadline.after(0.15))
    assert answer.refused
    assert "more than" in answer.message
    assert answer.lower_bound == 0


def test_a_layer_with_too_many_columns_is_refused():
    problem = zipf(64, 80, 16).with_dispatch("optimal")
    answer = solve(problem, CpSatModel(CpSatParams(max_columns=1000)))
    assert answer.refused
    assert "more than max_columns=1000" in answer.message


@settings(max_examples=80, deadline=None)
@given(ruled_problems(), st.data())
def test_fewest_moves_and_best_within_moves_equal_those_of_all_plans(arguments, data):
    problem = freely_split(arguments)
    if problem is None:
        return
    ids = st.integers(-1, problem.num_experts - 1)
    current = data.draw(st.lists(ids, min_size=problem.num_slots, max_size=problem.num_slots))
    rows = problem.load.tolist()
    known = [
        (_free_worth(problem, rows, plan), moves_of(problem, current, plan))
        for plan in ruled_plans(problem)
    ]
    values = sorted({value for value, _ in known})
    limit = values[len(values) // 2]
    held = held_experts(problem, np.array(current))
    fewest = min(moves for value, moves in known if value <= limit)
    found, bound = fewest_moves(problem, np.array(current), limit, Deadline.after(30))
    assert scoring.objectives(problem, found[None, :])[0] <= limit
    assert bound == fewest == num_moves(problem, held, found)
    answer = exact_layer(
        problem,
        found,
        Fraction(0),
        Deadline.after(30),
        current=np.array(current),
        max_moves=fewest + 1,
    )
    assert_solved(problem, answer, min(value for value, moves in known if moves <= fewest + 1))
    assert num_moves(problem, held, answer.physical_to_logical) <= fewest + 1


# Of each rule: a problem, its plan, what it obeys, and changes to h, x, f, T or filling that it
# forbids, as (columns' name, index, value).
LAYER = {"load": [[8, 4, 2, 2]], "num_slots": 6, "num_gpus": 3, "dispatch": "optimal"}
PLACED = [0, 1, 0, 2, 1, 3]
NODES = {**LAYER, "num_slots": 8, "num_gpus": 4, "num_nodes": 2, "num_groups": 2}
ON_NODES = [0, 1, 0, 1, 2, 3, 2, 3]
FORBIDDEN = {
    "experts_have_hosts": (LAYER, PLACED, ("hosts", (2, 1), 0)),
    "gpus_hold_what_fits": (LAYER, PLACED, ("hosts", (3, 0), 1)),
    "tokens_go_somewhere": (LAYER, PLACED, ("flows", (0, 3, 2), 0)),
    "tokens_go_to_hosts": (LAYER, PLACED, ("flows", (0, 3, 0), 1)),
    "no_gpu_exceeds_t": (LAYER, PLACED, ("peaks", 0, 1)),
    "groups_have_one_node": (NODES, ON_NODES, ("group_on_node", (0, 1), 1)),
    "nodes_take_equally_many_groups": (NODES, ON_NODES, ("group_on_node", (1, 0), 1)),
    "experts_follow_their_group": (NODES, ON_NODES, ("hosts", (0, 2), 1)),
    "pinned_experts_stand_there": (
        {**LAYER, "pinned": [(0, 1)]},
        PLACED,
        ("hosts", (0, 1), 0),
    ),
    "forbidden_experts_stand_elsewhere": (
        {**LAYER, "forbidden": [(3, 0)]},
        PLACED,
        ("hosts", (3, 0), 1),
    ),
    "hosts_are_spread": (
        {**LAYER, "load": [[8, 4, 2]], "spread": "gpu"},
        [0, 1, 0, 2, 1, 2],
        ("hosts", (2, 1), 0),
    ),
    "slots_are_filled": (LAYER, PLACED, ("filling", 0, 0)),
    "few_slots_change": (LAYER, PLACED, ("filling", 0, 1)),
    "value_stays_within": (LAYER, PLACED, ("peaks", 0, 10**6)),
    "gpus_stand_in_order": (LAYER, PLACED, ("hosts", (0, 2), 1)),
    "nodes_stand_in_order": (NODES, ON_NODES, ("group_on_node", (1, 0), 0)),
}


def test_every_rule_has_an_example():
    assert set(FORBIDDEN) == {rule.__name__ for rule in FLOW_RULES}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_rule_permits_a_plan_and_forbids_its_breach(name):
    arguments, placed, (columns, at, value) = FORBIDDEN[name]
    problem, placed = Problem(**arguments), np.array(placed)
    checker.check(problem, placed[None, :])
    change = None
    if name in ("slots_are_filled", "few_slots_change"):
        held = held_experts(problem, placed)
        if name == "slots_are_filled":  # nothing of what GPU 0 holds stays
            held[:, 0] = False
        change = Change(held, max_moves=0 if name == "few_slots_change" else None)
    if name == "value_stays_within":
        change = Change(held_experts(problem, placed), limit=Fraction(8))
    upper = plan_value(problem, placed)
    f = formulate_flows(list_hosts(problem, upper), Fraction(0), ScaleLimits(load=2**20), change)
    values = flow_values(f, placed)
    rule = getattr(flow_rules, name, None) or getattr(rules, name)
    assert rule(f).hold(values)
    if name == "slots_are_filled":  # one new host, one slot that has to move as well
        values[f.hosts[:, 0]] = [1, 0, 0, 0]
        values[f.filling[0]] = 1
        assert rule(f).hold(values)
    values[getattr(f, columns)[at]] = value
    if name == "nodes_stand_in_order":
        values[f.group_on_node] = [[0, 1], [1, 0]]
    assert not rule(f).hold(values)


@given(st.fractions(min_value=Fraction(1, 10**4), max_value=1), st.integers(1, 10**6))
def test_a_gpu_may_never_take_less_than_its_speed(speed, level):
    rate = GpuRate.above(speed, 2**20)
    assert rate.most(level) >= speed * level
    assert rate.most(level) <= speed * level * (1 + ROUNDING) + Fraction(level, 2**20) + 1


def test_whole_split_tells_where_tokens_are_left():
    assert whole_split([5, 3], [[0, 1], [1]], [2, 6]) == [[2, 3], [3]]
    assert whole_split([5, 3], [[0, 1], [1]], [2, 5]) is None
    assert whole_split([5, 3], [[0, 1], [1]], [9, 2]) is None
