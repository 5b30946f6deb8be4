"""CP-SAT: the warm start, fixed and found, and a missing package."""

from __future__ import annotations

import sys
from fractions import Fraction

import pytest

from eplb_opt.clock import Deadline
from eplb_opt.errors import MissingDependency
from eplb_opt.exact.counts.formulation import formulate, list_choices
from eplb_opt.exact.counts.values import to_values
from eplb_opt.exact.cpsat import CpSatModel, CpSatParams, build
from eplb_opt.exact.shared.formulation import LARGEST_LOAD
from eplb_opt.placement import scoring
from eplb_opt.problem.problem import Problem
from tests.exact.instances import WORKED, zipf
from tests.exact.starts import simple_start


@pytest.mark.parametrize("example", WORKED)
def test_model_fixed_to_the_start_has_its_objective(example: str) -> None:
    from ortools.sat.python import cp_model

    problem, _ = WORKED[example]
    start = simple_start(problem)
    upper = scoring.largest_gpu_loads(problem.load, start[None, :], problem.num_gpus)[0]
    f = formulate(list_choices(problem, upper), Fraction(0), CpSatParams().limits)
    hint = to_values(f, start)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.fix_variables_to_their_hinted_value = True
    assert solver.solve(build(cp_model, f, hint)) == cp_model.OPTIMAL
    assert solver.objective_value == hint[LARGEST_LOAD] == upper * f.scale.value


def test_large_layer_begins_at_its_start() -> None:
    # Presolve alone takes ten seconds here.
    problem = zipf(128, 160, 32)
    start = simple_start(problem)
    params = CpSatParams(large_columns=1, seconds_per_column=0)
    answer = CpSatModel(params)(problem, start, Fraction(0), Deadline.after(2.5))
    assert answer.first_objective is not None
    upper = scoring.largest_gpu_loads(problem.load, start[None, :], problem.num_gpus)[0]
    assert abs(answer.first_objective / upper - 1) < 1e-6


def test_model_beyond_the_size_limit_is_refused_without_a_deadline() -> None:
    problem = zipf(32, 48, 12)
    model = CpSatModel(CpSatParams(max_columns=1000))
    answer = model(problem, simple_start(problem), Fraction(0), Deadline(), effort=5)
    assert "max_columns=1000" in answer.message
    assert answer.physical_to_logical is None


def test_missing_ortools_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ortools.sat.python.cp_model", None)
    problem = Problem([[8, 6, 4, 2]], 6, 3)
    with pytest.raises(MissingDependency, match=r"ortools .*eplb-opt\[cpsat\]"):
        CpSatModel()(problem, simple_start(problem), Fraction(0), Deadline())
