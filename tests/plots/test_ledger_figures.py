"""Figures of measurements show what was measured."""

import numpy as np
import pytest

from eplb_opt import plots

pytest.importorskip("matplotlib")

GAPS = {"ours": [0.0, 0.0, 0.01], "greedy": [0.02, np.inf, 0.0]}


def test_a_profile_rises_with_the_cases_that_a_method_comes_near():
    ours, greedy = plots.profile(GAPS).get_lines()
    assert ours.get_xdata()[:-1].tolist() == pytest.approx([0, 0, 0, 1.0])
    assert ours.get_ydata().tolist() == pytest.approx([0, 100 / 3, 200 / 3, 100, 100])
    assert greedy.get_ydata().max() == pytest.approx(200 / 3)  # one case has no plan
    assert [line.get_label() for line in (ours, greedy)] == list(GAPS)


def test_anytime_has_a_point_a_limit():
    points = {"ours": [(0.1, 0.02), (1.0, 0.01)], "greedy": [(0.001, 0.05)]}
    ours, greedy = plots.anytime(points).get_lines()
    assert ours.get_xdata().tolist() == [0.1, 1.0]
    assert ours.get_ydata().tolist() == pytest.approx([2, 1])
    assert greedy.get_ydata().tolist() == pytest.approx([5])


@pytest.mark.parametrize("draw", [plots.profile, plots.anytime])
@pytest.mark.parametrize("nothing", [{}, {"ours": []}])
def test_nothing_to_draw_is_refused_with_words(draw, nothing):
    with pytest.raises(ValueError, match="no measurements"):
        draw(nothing)


def test_they_draw_on_the_axes_they_are_given():
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert plots.profile(GAPS, ax) is ax
