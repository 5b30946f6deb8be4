"""Figures show what the result holds."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt import plots
from eplb_opt.bench.families import family_loads

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def result():
    problem = eplb_opt.Problem(family_loads("zipf-1.2", 2, 16, 0), num_slots=24, num_gpus=8)
    return eplb_opt.plan(problem, effort=2)


def test_the_history_ends_at_the_plan_and_at_the_bound(result):
    ax = plots.history(result)
    upper, lower = (line.get_ydata() for line in ax.get_lines()[:2])
    assert upper[-1] == pytest.approx(100 * result.model_gap, abs=1e-9)
    assert lower[-1] == 0
    assert len(upper) == len(lower) == len(result.history)


def test_the_incumbent_only_falls_and_the_bound_only_rises(result):
    upper, lower = (line.get_ydata() for line in plots.history(result).get_lines()[:2])
    assert (np.diff(upper) <= 0).all()
    assert (np.diff(lower) >= 0).all()
    assert (upper >= lower).all()


def test_it_draws_on_the_axes_it_is_given(result):
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert plots.history(result, ax) is ax


def test_a_result_without_load_is_refused_with_words():
    empty = eplb_opt.plan(eplb_opt.Problem(np.zeros((1, 4), dtype=int), 4, 2), effort=0)
    with pytest.raises(ValueError, match="no history of bounds"):
        plots.history(empty)
