"""Figures of layers, GPUs, experts and loads show what the result holds."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt import plots
from eplb_opt.bench.families import family_loads

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def problem():
    return eplb_opt.Problem(family_loads("zipf-1.2", 3, 16, 0), num_slots=24, num_gpus=8)


@pytest.fixture(scope="module")
def greedy(problem):
    return eplb_opt.plan(problem, time_limit=0).plan


@pytest.fixture(scope="module")
def result(problem, greedy):
    return eplb_opt.plan(problem, effort=2, current=greedy)


def test_gaps_are_those_of_every_plan_and_0_has_a_place(problem, result, greedy):
    ax = plots.gaps(result, plans={"old": greedy})
    ours, old = ax.get_lines()
    assert (ours.get_label(), old.get_label()) == ("eplb-opt", "old")
    assert ours.get_ydata() == pytest.approx(100 * result.gap)
    worth = eplb_opt.evaluate(problem, greedy).objective
    assert old.get_ydata() == pytest.approx(100 * (worth / result.lower_bound - 1))
    assert ax.get_ylim()[0] == 0
    assert np.isfinite(ax.transData.transform((0, 0))).all()


def test_the_heat_map_peaks_where_the_objective_says(problem, result):
    (image,) = plots.heat_map(result).get_images()
    ratios = np.asarray(image.get_array())
    assert ratios.shape == (3, 8)
    mean = problem.load.sum(axis=1) / 8
    assert ratios.max(axis=1) * mean == pytest.approx(result.objective)
    assert ratios.mean(axis=1) == pytest.approx(np.ones(3))


def test_the_heat_map_shows_another_plan_on_the_scale_that_is_given(problem, result, greedy):
    (image,) = plots.heat_map(result, plan=greedy, limits=(0.5, 2.0)).get_images()
    mean = problem.load.sum(axis=1) / 8
    worth = eplb_opt.evaluate(problem, greedy).objective
    assert np.asarray(image.get_array()).max(axis=1) * mean == pytest.approx(worth)
    assert image.get_clim() == (0.5, 2.0)


def test_loads_of_fast_gpus_count_less():
    speed = np.array([2.0, 1.0])
    problem = eplb_opt.Problem([[4, 4, 4, 4]], 4, 2, gpu_speed=speed)
    result = eplb_opt.plan(problem, effort=1)
    (image,) = plots.heat_map(result).get_images()
    mean = problem.load.sum() / speed.sum()
    assert np.asarray(image.get_array()).max() * mean == pytest.approx(result.objective[0])


def test_under_optimal_dispatch_the_heat_map_shows_what_that_makes():
    # Replicas of experts 0 and 1 share a GPU with 2 and 3: the tokens of 0 go where 3 is light.
    problem = eplb_opt.Problem([[6, 6, 5, 1]], 6, 2, dispatch="optimal")
    placed = np.array([[0, 1, 2, 0, 1, 3]])
    result = eplb_opt.plan(problem, effort=1)
    ratios = np.asarray(plots.heat_map(result, plan=placed).get_images()[0].get_array())
    assert ratios[0] * 9 == pytest.approx([9, 9])


def test_replicas_are_those_of_the_hottest_experts(problem, result):
    (image,) = plots.replica_counts(result, num_experts=5).get_images()
    shown = np.asarray(image.get_array())
    assert shown.shape == (3, 5)
    for layer_idx, counts in enumerate(result.plan.logical_count):
        hottest = np.argsort(-problem.load[layer_idx], kind="stable")[:5]
        assert shown[layer_idx].tolist() == counts[hottest].tolist()


def test_moves_are_a_bar_a_layer(result):
    ax = plots.moves(result)
    assert [bar.get_height() for bar in ax.patches] == result.moves.tolist()


def test_moves_without_a_plan_in_force_are_refused(problem):
    with pytest.raises(ValueError, match="plan with current="):
        plots.moves(eplb_opt.plan(problem, time_limit=0))


def test_scenarios_show_loads_seen_and_held_out(problem, result):
    other = np.asarray(problem.load)[:, ::-1]
    ax = plots.scenarios(result, held_out={"mirrored": other})
    heights = [bar.get_height() for bar in ax.patches]
    unseen = eplb_opt.evaluate(problem.with_load(other), result.plan)
    means = problem.load.sum() / 8
    assert heights == pytest.approx(
        [means / result.objective.sum(), means / unseen.objective.sum()]
    )
    assert [label.get_text() for label in ax.get_xticklabels()] == ["planned for", "mirrored"]


def test_every_scenario_has_a_bar():
    loads = np.random.default_rng(0).integers(1, 99, (3, 2, 6))
    result = eplb_opt.plan(eplb_opt.Problem(loads, 8, 4), effort=1)
    heights = [bar.get_height() for bar in plots.scenarios(result).patches]
    assert len(heights) == 3
    low, high = result.scenario_balancedness.min(axis=1), result.scenario_balancedness.max(axis=1)
    assert (low - 1e-9 <= heights).all()
    assert (heights <= high + 1e-9).all()


def test_a_held_out_load_of_another_shape_is_refused(result):
    with pytest.raises(eplb_opt.ProblemError, match=r"small has shape \[3, 4\].*\[3, 16\]"):
        plots.scenarios(result, held_out={"small": np.ones((3, 4))})


@pytest.mark.parametrize(
    "figure", [plots.gaps, plots.heat_map, plots.replica_counts, plots.moves, plots.scenarios]
)
def test_it_draws_on_the_axes_it_is_given_and_saves(result, figure, tmp_path):
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert figure(result, ax) is ax
    plots.save(ax, tmp_path / "figure.svg")
    assert b"<svg" in (tmp_path / "figure.svg").read_bytes()
