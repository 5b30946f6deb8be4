import numpy as np
import pytest

from eplb_opt.workloads.sizing import make_sizes, sweep

pytest.importorskip("matplotlib")

from eplb_opt.report import size_plot

LOAD = np.array([[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86], [50] * 12])


@pytest.fixture(scope="module")
def report():
    return sweep(
        LOAD,
        make_sizes(12, [4, 6], slots_per_gpu=[3, 4]),
        held_out={"reversed": LOAD[:, ::-1], "same": LOAD},
        target_balancedness=0.97,
        effort=2,
        workers=1,
    )


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_the_frontier_draws_every_plan_over_the_mean_against_memory(report):
    drawn = lines(size_plot.trade_off(report))
    for gpus in (4, 6):
        rows = report.of("uniform", gpus)
        line = drawn[f"{gpus} GPUs"]
        assert line.get_xdata().tolist() == [row.size.slots_per_gpu for row in rows]
        assert line.get_ydata().tolist() == [1 / row.balancedness for row in rows]


def test_the_band_reaches_down_to_the_proven_bounds(report):
    ax = size_plot.trade_off(report)
    for gpus, band in zip((4, 6), ax.collections, strict=True):
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(
            min(1 / row.best_possible for row in report.of("uniform", gpus))
        )


def test_the_smallest_size_that_meets_is_a_star(report):
    ax = size_plot.trade_off(report)
    (star,) = [line for line in ax.get_lines() if line.get_marker() == "*"]
    smallest = report.smallest("uniform")
    assert star.get_xdata().tolist() == [smallest.size.slots_per_gpu]
    assert f"{smallest.size.num_slots} slots" in star.get_label()


def test_held_out_means_are_drawn_against_redundant_slots(report):
    drawn = lines(size_plot.held_out(report))
    rows = report.of("uniform", 6)
    line = drawn["6 GPUs, static"]
    assert line.get_xdata().tolist() == [1.0, 2.0]
    for value, row in zip(line.get_ydata(), rows, strict=True):
        assert value == pytest.approx(np.mean([score.static for score in row.held_out]))
    assert (drawn["6 GPUs, re-planned"].get_ydata() >= line.get_ydata()).all()


def test_both_share_a_figure_and_a_given_axes_is_used(report):
    ax = size_plot.sizes(report)
    assert len(ax.get_figure().axes) == 2
    assert size_plot.trade_off(report, ax) is ax


def test_without_held_out_workloads_there_is_nothing_to_draw():
    plain = sweep(LOAD, make_sizes(12, [4], slots_per_gpu=[3]), effort=0)
    with pytest.raises(ValueError, match="no held-out"):
        size_plot.held_out(plain)
