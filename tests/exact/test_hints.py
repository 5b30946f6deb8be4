"""Warm starts as complete hints: every column has a value, and these are a solution.

The model with all columns fixed to them is feasible and has the start's own objective.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import eplb_opt
from eplb_opt.clock import Deadline
from eplb_opt.exact import milp
from eplb_opt.exact.cpsat import CpSatParams, build
from eplb_opt.exact.flows.formulation import FlowFormulation
from eplb_opt.exact.formulations import FORMULATIONS
from eplb_opt.exact.milp import MilpModel, MilpParams
from eplb_opt.exact.nodes import model as nodes
from eplb_opt.exact.shared.loads import plan_value
from eplb_opt.problem.problem import Problem
from eplb_opt.search.starts import first_plan

LOADS = np.random.default_rng(11).integers(1, 500, (2, 1, 8))
RULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "forbid": {"colocation": "forbid"},
    "nodes": {"num_nodes": 2, "num_groups": 4},
    "nodes, forbid": {"num_nodes": 2, "num_groups": 4, "colocation": "forbid"},
    "speeds": {"gpu_speed": [1.0, 0.75, 1.0, 1.25]},
    "uneven": {"gpu_slots": [3, 3, 3, 2]},
    "lost": {"active_gpus": [True, True, True, False]},
    "tied": {"pinned": [(3, 2)], "forbidden": [(0, 2), (1, 0)]},
    "spread": {"spread": "gpu"},
}
PROBLEMS = {
    f"{name}, {kind}, {dispatch}": (rules, kind, dispatch)
    for name, rules in RULES.items()
    for kind in ("one load", "mean", "max")
    for dispatch in ("uniform", "optimal")
}


def problem_of(key: str) -> Problem:
    rules, kind, dispatch = PROBLEMS[key]
    load = LOADS[0] if kind == "one load" else LOADS
    slots = 16 if "spread" in rules else 12
    objective = {} if kind == "one load" else {"objective": kind}
    return Problem(load, slots, 4, dispatch=dispatch, **rules, **objective)


@pytest.mark.parametrize("key", PROBLEMS)
def test_cpsat_fixed_to_its_hint_is_feasible_and_has_the_starts_objective(key: str) -> None:
    cp_model = pytest.importorskip("ortools.sat.python.cp_model")
    problem = problem_of(key)
    start = first_plan(problem)[0]
    functions = FORMULATIONS[problem.dispatch]
    upper = plan_value(problem, start)
    f = functions.formulate(
        functions.list_choices(problem, upper), Fraction(0), CpSatParams().limits
    )
    hint = functions.to_values(f, start)
    model = build(cp_model, f, hint)
    assert list(model.proto.solution_hint.vars) == list(range(len(model.proto.variables)))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.fix_variables_to_their_hinted_value = True
    assert solver.solve(model) == cp_model.OPTIMAL
    assert f.to_value(round(solver.objective_value)) == pytest.approx(upper, rel=1e-6)


@pytest.mark.parametrize("key", PROBLEMS)
def test_the_milp_gets_a_value_for_every_column_and_they_obey_every_row(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pulp")
    seen: dict[str, Any] = {}

    def run(request: dict[str, Any], seconds: float, kept: float) -> tuple[None, str]:
        seen.update(request)
        return None, ""

    monkeypatch.setattr(milp, "run_in_process", run)
    problem = problem_of(key)
    start = first_plan(problem)[0]
    MilpModel(MilpParams(seconds_at_least=0))(problem, start, Fraction(0), Deadline.after(60))
    hint = seen["hint"]
    assert len(hint) == len(seen["lower"]) == len(seen["upper"])
    limits = zip(seen["lower"], hint, seen["upper"], strict=True)
    assert all(lower <= value <= upper for lower, value, upper in limits)
    for columns, coefficients, senses in seen["rows"]:
        left = sum(hint[i] * c for i, c in zip(columns, coefficients, strict=True))
        for sense, right in senses:
            assert {-1: left <= right, 0: left == right, 1: left >= right}[sense]


def test_optimal_dispatch_has_a_model_of_its_own() -> None:
    problem = problem_of("plain, one load, optimal")
    functions = FORMULATIONS["optimal"]
    start = first_plan(problem)[0]
    choices = functions.list_choices(problem, plan_value(problem, start))
    f = functions.formulate(choices, Fraction(0), CpSatParams().limits)
    assert isinstance(f, FlowFormulation)


def test_each_node_begins_with_its_part_of_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[np.ndarray] = []

    def solve(problem: Problem, start: np.ndarray, *arguments: Any, **options: Any) -> Any:
        begun.append(start)
        return nodes.ModelAnswer(None, Fraction(0), finished=True)

    monkeypatch.setattr(nodes, "get_model", lambda name: solve)
    problem = Problem(LOADS[0], 12, 4, num_nodes=2, num_groups=4)
    start = first_plan(problem)[0]
    work = nodes.NodeDecomposition(problem, start, nodes.NodesParams(), 0)
    parts = []
    for mask, group_set in work.group_sets.items():
        work._call_models(mask, group_set, nodes.StepLimit(Deadline(), 10))
        parts.append(group_set.expert[begun[-1]].tolist())
    assert sorted(parts) == sorted(start.reshape(2, -1).tolist())


@pytest.mark.parametrize("model", ["cpsat", "milp"])
def test_models_get_the_best_start_of_each_layer(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = np.random.default_rng(2).integers(1, 500, (2, 8))
    problem = Problem(load, 12, 4)
    best = eplb_opt.plan(problem, effort=200).plan.physical_to_logical
    greedy = first_plan(problem)
    mixed = np.stack([best[0], greedy[1]])
    seen: dict[int, list[int]] = {}

    def solve(layer: Problem, start: np.ndarray, *arguments: Any, **options: Any) -> Any:
        seen[layer.load[0, 0]] = start.tolist()
        return nodes.ModelAnswer(None, Fraction(0), finished=True)

    monkeypatch.setattr("eplb_opt.exact.model_solver.get_model", lambda name: solve)
    monkeypatch.setattr("eplb_opt.planner.schedule.ORDERS", ((lambda problem: True, ("model",)),))
    result = eplb_opt.plan(problem, effort=1, starts={"mixed": mixed}, model=model)
    for layer_idx in range(2):
        first = result.plan.physical_to_logical[layer_idx]
        assert seen[load[layer_idx, 0]] == first.tolist()
    assert (result.objective <= eplb_opt.evaluate(problem, mixed).objective).all()
