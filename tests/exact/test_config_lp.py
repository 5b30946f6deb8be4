"""The configuration LP: its bound holds, reaches what it should, and stops in time."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest

from eplb_opt.bench.families import family_loads
from eplb_opt.bounds.bounds import flat_bounds
from eplb_opt.certificates import verify
from eplb_opt.clock import Deadline
from eplb_opt.exact.config_lp.model import ConfigLpModel, ConfigLpParams, FlatConfigLp
from eplb_opt.placement import scoring
from eplb_opt.problem.problem import Problem
from eplb_opt.search.local import LayerSearch
from eplb_opt.search.starts import first_plan
from tests.exact.instances import TINY, zipf
from tests.exact.starts import round_robin, simple_start
from tests.oracle import optimum

MODEL = ConfigLpModel()
SHAPES = [(1, 3), (2, 2), (2, 3), (2, 4), (2, 5), (3, 2), (3, 3), (4, 2), (4, 1)]


def random_flat(seed: int) -> Problem:
    """Tiny, with heavy heads, ties and zeros; colocation="forbid" every third time."""
    rng = np.random.default_rng(seed)
    num_gpus, slots_per_gpu = SHAPES[rng.integers(len(SHAPES))]
    colocation = "forbid" if seed % 3 == 0 else "allow"
    fewest = slots_per_gpu if colocation == "forbid" else 1
    num_experts = int(rng.integers(fewest, min(num_gpus * slots_per_gpu, 6) + 1))
    load = rng.integers(0, int(rng.choice([4, 30, 1000])), num_experts) ** int(rng.integers(1, 4))
    return Problem(load[None, :], num_gpus * slots_per_gpu, num_gpus, colocation=colocation)


def heavy_layer() -> Problem:
    """The water level is a fifth above the mean, and six percent below what is true."""
    weight = np.arange(1, 257) ** -1.2
    return Problem([np.floor(1e6 * weight / weight.sum())], 288, 72)


def start_of(problem: Problem) -> np.ndarray:
    return simple_start(problem)


@pytest.mark.parametrize("first_seed", range(0, 3000, 500))
def test_bound_never_exceeds_optimum_and_is_proven(first_seed: int) -> None:
    raised = 0
    for seed in range(first_seed, first_seed + 500):
        problem = random_flat(seed)
        answer = MODEL(problem, start_of(problem), Fraction(0), Deadline(), effort=30)
        assert answer.lower_bound <= optimum(problem)[0], seed
        if answer.certificate is not None:
            raised += 1
            assert verify(problem, answer.certificate) == answer.lower_bound
    assert raised > 50


@pytest.mark.parametrize("name", [n for n, p in TINY.items() if not p.is_hierarchical])
def test_bound_reaches_mean_and_water_level(name: str) -> None:
    problem = TINY[name]
    answer = MODEL(problem, start_of(problem), Fraction(0), Deadline(), effort=200)
    assert flat_bounds(problem)[0].value <= answer.lower_bound <= optimum(problem)[0]


def test_heavy_layer_is_closed_to_half_a_percent() -> None:
    problem = heavy_layer()
    known = flat_bounds(problem)[0].value
    answer = MODEL(problem, start_of(problem), known, Deadline(), effort=400)
    assert answer.lower_bound > known * Fraction(106, 100)
    assert answer.certificate is not None


def test_two_slots_a_gpu_are_closed() -> None:
    problem = zipf(64, 80, 40)
    known = flat_bounds(problem)[0].value
    answer = MODEL(problem, start_of(problem), known, Deadline(), effort=400)
    placed = start_of(problem)[None, :]
    upper = scoring.largest_gpu_loads(problem.load, placed, problem.num_gpus)[0]
    assert known < answer.lower_bound <= upper


def test_bound_that_cannot_rise_is_left_and_said_so() -> None:
    problem = zipf(32, 48, 6)
    known = flat_bounds(problem)[0].value
    answer = MODEL(problem, round_robin(problem), known, Deadline(), effort=400)
    assert "the LP is feasible at" in answer.message
    assert answer.lower_bound == known
    assert answer.certificate is None


def test_given_bound_is_kept() -> None:
    problem = Problem([[90, 41, 17, 8, 3]], 8, 4)
    best = optimum(problem)[0]
    answer = MODEL(problem, start_of(problem), best, Deadline())
    assert answer.lower_bound == best


def test_effort_is_reproducible_and_ignores_the_clock() -> None:
    problem = heavy_layer()
    first, second = (
        MODEL(problem, start_of(problem), Fraction(1), deadline, effort=120)
        for deadline in (Deadline(), Deadline.after(0))
    )
    assert first.lower_bound == second.lower_bound > 1
    assert first.certificate is not None
    assert second.certificate is not None
    assert first.certificate.data == second.certificate.data


def test_deadline_is_kept_and_what_is_proven_until_then_returned() -> None:
    problem = heavy_layer()
    known = flat_bounds(problem)[0].value
    MODEL(problem, start_of(problem), known, Deadline(), effort=5)  # compiles
    begin = time.monotonic()
    answer = MODEL(problem, start_of(problem), known, Deadline.after(0.25))
    assert time.monotonic() - begin < 1.0  # another process may hold the core for a while
    assert answer.lower_bound > known


def test_no_time_at_all_returns_the_given_bound() -> None:
    problem = zipf(64, 80, 20)
    answer = MODEL(problem, start_of(problem), Fraction(7), Deadline.after(0))
    assert answer.lower_bound == flat_bounds(problem)[0].value
    assert "no time" in answer.message


def test_doubling_large_loads_doubles_the_bound() -> None:
    load = np.array([[2**59 + 11, 2**58 + 5, 2**57 - 3, 2**55, 2**54, 5]])
    answers = []
    for scaled in (load, 2 * load):
        problem = Problem(scaled, 12, 4)
        answers.append(MODEL(problem, start_of(problem), Fraction(1), Deadline(), effort=50))
    assert answers[0].lower_bound > 2**57
    assert float(answers[1].lower_bound / answers[0].lower_bound) == pytest.approx(2, rel=1e-4)


def test_a_flat_problem_is_bounded_without_a_plan() -> None:
    load = np.array([900, 300, 200, 100, 50, 20, 10, 5])
    work = FlatConfigLp(load, 12, 4, None, ConfigLpParams())
    found = work.run(Fraction(1), Fraction(900), Deadline(), effort=50)
    assert found.certificate is not None
    assert Fraction(1585, 4) * (1 - Fraction(1, 1000)) <= found.bound
    assert found.bound <= optimum(Problem(load[None, :], 12, 4))[0]


def node_of_a_heavy_expert() -> Problem:
    """One expert of five mean GPU loads, which the LP gives two counts."""
    load = family_loads("zipf-1.2", 24, 256, 0)[23, 160:192]
    return Problem(load[None, :], 40, 8)


def searched(problem: Problem) -> tuple[np.ndarray, Fraction]:
    search = LayerSearch(problem, first_plan(problem)[0], Fraction(1), seed=0)
    search.run_steps(3000)
    placed = search.placed()
    return placed, scoring.largest_gpu_loads(problem.load, placed[None, :], problem.num_gpus)[0]


def test_branching_on_counts_closes_what_the_lp_alone_leaves_open() -> None:
    problem = node_of_a_heavy_expert()
    start, upper = searched(problem)
    alone, tree = (
        FlatConfigLp.of(problem, start, params).run(Fraction(1), upper, Deadline(), 1000)
        for params in (ConfigLpParams(patience=0), ConfigLpParams())
    )
    assert tree.bound > alone.bound * Fraction(1005, 1000)
    assert tree.certificate is not None
    assert tree.certificate.kind == "config_lp_tree"
    assert verify(problem, tree.certificate) == tree.bound


def test_short_runs_in_a_row_prove_more_and_more() -> None:
    problem = node_of_a_heavy_expert()
    start, upper = searched(problem)
    work = FlatConfigLp.of(problem, start)
    found = [work.run(Fraction(1), upper, Deadline(), 20) for _ in range(30)]
    bounds = [each.bound for each in found]
    assert bounds == sorted(bounds)
    assert bounds[0] < bounds[-1] <= upper
    assert found[-1].certificate is not None
    assert verify(problem, found[-1].certificate) == bounds[-1]


def test_better_bound_from_elsewhere_is_kept_and_the_certificate_says_what_it_proves() -> None:
    problem = node_of_a_heavy_expert()
    start, upper = searched(problem)
    work = FlatConfigLp.of(problem, start)
    own = work.run(Fraction(1), upper, Deadline(), 60)
    given = upper * Fraction(9999, 10000)
    found = work.run(given, upper, Deadline(), 60)
    assert found.bound >= given > own.bound
    assert found.certificate is not None
    assert verify(problem, found.certificate) == found.certificate.bound <= found.bound


def test_hierarchical_problem_is_refused() -> None:
    problem = Problem([[9, 1, 4, 6]], 6, 2, num_nodes=2, num_groups=2)
    answer = MODEL(problem, start_of(problem), Fraction(0), Deadline())
    assert answer.refused
    assert "nodes" in answer.message


def test_too_many_experts_are_left_alone() -> None:
    problem = zipf(32, 40, 8)
    model = ConfigLpModel(ConfigLpParams(max_experts=31))
    answer = model(problem, start_of(problem), Fraction(3), Deadline())
    assert answer.lower_bound == flat_bounds(problem)[0].value
    assert "32 experts" in answer.message
