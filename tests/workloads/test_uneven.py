import itertools

import numpy as np
import pytest

from eplb_opt import Problem, evaluate
from eplb_opt.errors import ProblemError
from eplb_opt.workloads.sizing import make_sizes, spread_budgets, spread_sizes, sweep

RNG = np.random.default_rng(3)
#: One flat layer, which gains nothing from slots, and two of growing skew.
LOAD = np.array([[60] * 8, [300, 60, 60, 60, 40, 30, 20, 10], RNG.integers(1, 100, 8)])


@pytest.fixture(scope="module")
def report():
    return sweep(LOAD, make_sizes(8, [4], slots_per_gpu=[2, 3, 4, 6]), effort=3, workers=1)


def every_choice(report, budget):
    rows = report.of("uniform", 4)
    for choice in itertools.product(rows, repeat=len(LOAD)):
        if sum(row.size.num_slots for row in choice) <= budget:
            yield choice


@pytest.mark.parametrize("budget", [24, 27, 28, 36, 40, 72, 1000])
def test_no_choice_of_sizes_within_the_budget_has_a_smaller_sum(report, budget):
    (spread,) = spread_budgets(report.of("uniform", 4), [budget])
    sums, bounds = [], []
    for choice in every_choice(report, budget):
        sums.append(sum(row.result.objective[i] for i, row in enumerate(choice)))
        bounds.append(sum(row.result.lower_bound[i] for i, row in enumerate(choice)))
    assert spread.objective == pytest.approx(min(sums), rel=1e-12)
    assert spread.lower_bound == pytest.approx(min(bounds), rel=1e-12)
    assert spread.lower_bound <= min(bounds)
    assert spread.num_slots.sum() <= budget


def test_uneven_is_never_worse_than_even_in_the_same_memory(report):
    spreads = spread_sizes(report, "uniform", 4)
    for row, spread in zip(report.of("uniform", 4), spreads, strict=True):
        assert spread.objective <= row.objective * (1 + 1e-12)
        assert spread.budget == row.size.num_slots * 3
    assert spreads[1].objective < report.rows[1].objective * 0.999
    assert spreads[1].num_slots[0] == 8  # the flat layer gives its slots away


def test_the_layers_plans_are_worth_what_the_spread_says(report):
    (spread,) = spread_budgets(report.of("uniform", 4), [36])
    found = [
        evaluate(Problem(LOAD[i : i + 1], len(row), 4), row[None]).objective[0]
        for i, row in enumerate(spread.physical_to_logical)
    ]
    assert sum(found) == pytest.approx(spread.objective)


def test_a_budget_below_the_smallest_size_is_refused(report):
    with pytest.raises(ProblemError, match="take 24 or more"):
        spread_budgets(report.of("uniform", 4), [23])
    with pytest.raises(ProblemError, match="sizes that have been planned"):
        spread_budgets(report.of("uniform", 5), [36])
