"""What every exact model owes: true bounds, plans that fit, proofs where it finishes."""

from __future__ import annotations

import subprocess
import sys
import time
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from eplb_opt.bounds import bounds
from eplb_opt.clock import Deadline
from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.exact import MODELS, get_model
from eplb_opt.exact.cpsat import CpSatModel, CpSatParams
from eplb_opt.exact.milp import MilpModel, MilpParams
from eplb_opt.exact.shared.scaling import ScaleLimits
from eplb_opt.placement import scoring
from eplb_opt.placement.checker import check
from eplb_opt.problem.problem import Problem
from tests.exact.instances import TINY, WORKED, random_tiny, zipf
from tests.exact.starts import round_robin, simple_start
from tests.oracle import optimum

if TYPE_CHECKING:
    from eplb_opt.exact.shared.answer import ModelAnswer

#: Each run of the MILP starts a process, so it gets fewer random problems.
NUM_RANDOM = {"cpsat": 60, "milp": 9}
RANDOM = [(name, seed) for name, number in NUM_RANDOM.items() for seed in range(number)]
#: Seconds that a proof may take: CBC gets little of a busy machine.
PATIENCE = 180
ROUNDED = {
    "cpsat": CpSatModel(CpSatParams(limits=ScaleLimits(load=37))),
    "milp": MilpModel(MilpParams(limits=ScaleLimits(load=37, total=150))),
}


def value(problem: Problem, placed: np.ndarray) -> Fraction:
    return scoring.largest_gpu_loads(problem.load, placed[None, :], problem.num_gpus)[0]


def assert_true(problem: Problem, answer: ModelAnswer, best: Fraction) -> Fraction:
    """The bound is below the optimum and the plan fits; returns the value of the plan."""
    assert answer.lower_bound <= best
    assert answer.physical_to_logical is not None
    check(problem, answer.physical_to_logical[None, :])
    found = value(problem, answer.physical_to_logical)
    assert found >= best
    return found


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", TINY)
def test_model_agrees_with_brute_force(name: str, kind: str) -> None:
    problem = TINY[kind]
    best = optimum(problem)[0]
    answer = get_model(name)(problem, round_robin(problem), Fraction(0), Deadline.after(30))
    found = assert_true(problem, answer, best)
    if (
        "2**6" in kind
        or (name, kind) == ("milp", "primes")
        or (name, kind) == ("milp", "huge skew")
    ):
        # Sizes are rounded there: the bound may miss the optimum by little, but only downwards.
        assert found - answer.lower_bound <= best * Fraction(1, 1000)
    else:
        assert found == best == answer.lower_bound


@pytest.mark.parametrize(("name", "seed"), RANDOM)
def test_model_agrees_with_brute_force_on_random_problems(name: str, seed: int) -> None:
    problem = random_tiny(seed)
    best = optimum(problem)[0]
    given = bounds.fast_bounds(problem)[0].value
    answer = get_model(name)(problem, round_robin(problem), given, Deadline.after(30), seed=seed)
    assert assert_true(problem, answer, best) == best == answer.lower_bound


@pytest.mark.parametrize(
    ("name", "seed"), [("cpsat", s) for s in range(30)] + [("milp", s) for s in range(5)]
)
def test_rounded_sizes_never_make_a_false_bound(name: str, seed: int) -> None:
    # Sizes rounded up, or to the nearest, put some of these bounds above the optimum.
    problem = random_tiny(seed)
    best = optimum(problem)[0]
    given = bounds.fast_bounds(problem)[0].value
    answer = ROUNDED[name](problem, round_robin(problem), given, Deadline.after(30))
    assert_true(problem, answer, best)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("example", WORKED)
def test_worked_example_is_solved_to_its_proven_optimum(name: str, example: str) -> None:
    problem, (top, bottom) = WORKED[example]
    given = bounds.fast_bounds(problem)[0].value
    answer = get_model(name)(problem, simple_start(problem), given, Deadline.after(PATIENCE))
    assert answer.lower_bound == Fraction(top, bottom)
    assert assert_true(problem, answer, Fraction(top, bottom)) == Fraction(top, bottom)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("example", ["first, flat", "second, hierarchical"])
def test_first_solution_is_the_start(name: str, example: str) -> None:
    # Neither a GPU order that the start does not obey, nor a T cut off below it, nor an
    # incomplete hint would let the solver begin where the search ended.
    problem, _ = WORKED[example]
    start = simple_start(problem)
    answer = get_model(name)(problem, start, Fraction(0), Deadline.after(PATIENCE))
    assert answer.first_objective == value(problem, start)


@pytest.mark.parametrize("name", MODELS)
def test_start_that_meets_the_bound_is_returned(name: str) -> None:
    problem = Problem([[10, 10]], 4, 2)
    start = np.array([0, 1, 0, 1])
    answer = get_model(name)(problem, start, Fraction(10), Deadline.after(0))
    assert answer.lower_bound == 10
    assert answer.physical_to_logical is not None
    assert answer.physical_to_logical.tolist() == start.tolist()


@pytest.mark.parametrize("name", MODELS)
def test_start_that_breaks_a_rule_is_refused(name: str) -> None:
    # Its load is below any valid plan's: counts derived from it would leave the optimum out.
    problem = Problem([[12, 1, 1]], 6, 3, colocation="forbid")
    with pytest.raises(PlanError, match="GPU 0: expert 0 stands there twice"):
        get_model(name)(problem, np.array([0, 0, 0, 1, 0, 2]), Fraction(0), Deadline())


@pytest.mark.parametrize("name", MODELS)
def test_several_layers_are_refused(name: str) -> None:
    problem = Problem([[12, 1], [1, 12]], 4, 2)
    with pytest.raises(ProblemError, match="one layer, not 2"):
        get_model(name)(problem, np.array([0, 1, 0, 1]), Fraction(0), Deadline())


@pytest.mark.parametrize("name", MODELS)
def test_large_layer_is_refused_when_time_is_short(name: str) -> None:
    problem = zipf(256, 288, 32)
    begin = time.monotonic()
    answer = get_model(name)(problem, round_robin(problem), Fraction(0), Deadline.after(0.2))
    assert time.monotonic() - begin < 0.6
    assert answer.physical_to_logical is None
    assert answer.lower_bound == 0
    assert answer.refused
    assert "more than" in answer.message


@pytest.mark.parametrize("name", MODELS)
def test_deadline_holds_and_the_bound_stays_true(name: str) -> None:
    problem = zipf(32, 48, 12)
    given = bounds.fast_bounds(problem)[0].value
    start = simple_start(problem)
    begin = time.monotonic()
    answer = get_model(name)(problem, start, given, Deadline.after(2.0))
    assert time.monotonic() - begin < 2.5
    assert answer.lower_bound <= value(problem, start)
    if answer.physical_to_logical is not None:
        assert assert_true(problem, answer, given) <= value(problem, start)


@pytest.mark.parametrize(("name", "effort"), [("cpsat", 300), ("milp", 20)])
def test_effort_gives_the_same_answer_twice(name: str, effort: int) -> None:
    problem = Problem([[91, 83, 61, 47, 39, 31, 22, 17, 9, 5]], 15, 5)
    # An expired deadline: time must play no part.
    first, second = (
        get_model(name)(
            problem, round_robin(problem), Fraction(0), Deadline.after(0), effort=effort, seed=3
        )
        for _ in range(2)
    )
    assert first.message == second.message
    assert first.lower_bound == second.lower_bound
    assert first.physical_to_logical is not None
    assert second.physical_to_logical is not None
    assert first.physical_to_logical.tolist() == second.physical_to_logical.tolist()
    assert first.lower_bound < value(problem, first.physical_to_logical), "it was to stop early"


def test_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(ProblemError, match="'cpsatt' is unknown; known: cpsat, milp"):
        get_model("cpsatt")


def test_listing_the_models_loads_no_solver() -> None:
    code = "import sys, eplb_opt.exact; sys.exit(bool({'ortools', 'pulp'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
