"""The MILP: solvers by name, logs, deadlines and what is left behind."""

from __future__ import annotations

import subprocess
import tempfile
import time
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from eplb_opt.clock import Deadline
from eplb_opt.errors import MissingDependency, ProblemError
from eplb_opt.exact import milp
from eplb_opt.exact.counts.formulation import formulate, list_choices
from eplb_opt.exact.counts.rules import RULES
from eplb_opt.exact.counts.values import to_plan, to_values
from eplb_opt.exact.milp import MilpModel, MilpParams
from eplb_opt.exact.shared.backend_log import LogFacts, read_cbc, read_log
from eplb_opt.placement import scoring
from eplb_opt.problem.problem import Problem
from tests.exact.instances import WORKED, zipf
from tests.exact.starts import simple_start
from tests.oracle import optimum

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Problem([[8, 6, 4, 2]], 6, 3)


@pytest.mark.parametrize(
    ("solver", "message"),
    [("CBCC", r"'CBCC' is unknown to PuLP; known: .*PULP_CBC_CMD"), ("MIPCL_CMD", "not installed")],
)
def test_solver_that_is_not_there_is_refused_by_name(solver: str, message: str) -> None:
    model = MilpModel(MilpParams(solver=solver))
    with pytest.raises(ProblemError, match=message):
        model(SMALL, simple_start(SMALL), Fraction(0), Deadline())


def test_solver_is_ended_at_the_deadline_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The solver is told to go on for a minute, as one that looks at no clock would.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    problem = zipf(16, 24, 8)
    model = MilpModel(MilpParams(seconds_to_return=-60))
    begin = time.monotonic()
    answer = model(problem, simple_start(problem), Fraction(0), Deadline.after(1.5))
    assert time.monotonic() - begin < 2.0
    assert answer.physical_to_logical is None
    assert answer.lower_bound == 0
    assert "ended at the deadline" in answer.message
    assert list(tmp_path.iterdir()) == []
    left = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=False)
    assert str(tmp_path) not in left.stdout


def test_nothing_is_left_after_a_solution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answer = MilpModel()(SMALL, simple_start(SMALL), Fraction(0), Deadline.after(20))
    assert answer.lower_bound == optimum(SMALL)[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("effort", [1, 3, 10, 40])
def test_bound_of_a_stopped_run_is_true(effort: int) -> None:
    problem, (top, bottom) = WORKED["first, flat"]
    answer = MilpModel()(problem, simple_start(problem), Fraction(0), Deadline(), effort=effort)
    assert answer.lower_bound <= Fraction(top, bottom)


def test_optimal_log_gives_its_objective_as_the_bound() -> None:
    log = (
        "Cbc0045I MIPStart provided solution with cost 2297\n\n"
        "Result - Optimal solution found\n\n"
        "Objective value:                1967.00000000\nEnumerated nodes:  0\n"
    )
    assert read_cbc(log) == LogFacts(1967.0, 2297.0, "CBC: Optimal solution found")


@pytest.mark.parametrize(
    "outcome",
    [
        "Stopped on time limit",
        "Stopped on node limit",
        "Optimal solution found (within gap tolerance)",
    ],
)
def test_objective_of_a_stopped_run_is_no_bound(outcome: str) -> None:
    log = (
        f"Result - {outcome}\n\nObjective value:                1967.00000000\n"
        "Lower bound:                    1959.000\nGap:                            0.00\n"
    )
    assert read_cbc(log).bound == 1959.0


@pytest.mark.parametrize(
    "log",
    [
        "Cbc0010I After 1000 nodes, 474 on tree, 1976 best solution, best possible 1959 (0.9 s)\n",
        "Result - Problem proven infeasible\n\nNo feasible solution found\n",
        "Result - Stopped on time limit\n\nNo feasible solution found\n",
        "",
    ],
)
def test_log_without_a_proof_gives_no_bound(log: str) -> None:
    assert read_cbc(log).bound is None


def test_log_of_another_solver_proves_nothing() -> None:
    assert read_log("GLPK_CMD", "Objective value: 3\nResult - Optimal solution found").bound is None


def test_bound_is_lowered_by_the_margin_before_it_is_rounded() -> None:
    f = formulate(list_choices(SMALL, Fraction(10)), Fraction(0), MilpParams().limits)
    proven = {v: MilpModel()._proven(f, LogFacts(bound=v)) for v in (7.001, 7.3, 7.0, 6.999)}
    assert proven[7.001] == proven[7.0] == proven[6.999] == f.scale.to_bound(7)
    assert proven[7.3] == f.scale.to_bound(8)
    assert MilpModel()._proven(f, LogFacts(bound=None)) == 0
    assert MilpModel()._proven(f, LogFacts(bound=float("-inf"))) == 0


def test_plan_that_breaks_a_rule_is_not_passed_on() -> None:
    # CBC has been seen to return points off its constraints when stopped.
    start = simple_start(SMALL)
    upper = scoring.largest_gpu_loads(SMALL.load, start[None, :], SMALL.num_gpus)[0]
    f = formulate(list_choices(SMALL, upper), Fraction(0), MilpParams().limits)
    rules = [rule(f) for rule in RULES]
    values = to_values(f, start).astype(np.float64)
    good = milp._checked_plan(f, rules, list(values + 1e-7))
    assert good is not None
    assert good.tolist() == to_plan(f, to_values(f, start)).tolist()
    values[f.placed[0, 0]] += 1
    assert milp._checked_plan(f, rules, list(values)) is None
    assert milp._checked_plan(f, rules, None) is None


def test_missing_pulp_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milp, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"pulp .*eplb-opt\[milp\]"):
        MilpModel()(SMALL, simple_start(SMALL), Fraction(0), Deadline())


def test_process_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MilpModel, "_request", lambda *args: {"solver": None, "max_nodes": None})
    with pytest.raises(RuntimeError, match="KeyError"):
        MilpModel()(SMALL, simple_start(SMALL), Fraction(0), Deadline.after(20))
