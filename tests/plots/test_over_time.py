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


@pytest.fixture(scope="module")
def replayed():
    from eplb_opt.io import Trace
    from eplb_opt.problem.machine import Machine
    from eplb_opt.workloads.replay import POLICIES, ReplanLimits, heuristic, replay

    load = np.random.default_rng(0).integers(1, 100, (11, 2, 6))
    policies = {name: POLICIES[name] for name in ("last", "static")}
    policies |= {name: heuristic(name) for name in ("greedy", "cpu_lpt_slotted")}
    return replay(
        Trace.of(load), Machine(8, 4), policies, every=3, limits=ReplanLimits(effort=1, workers=1)
    )


def test_the_replay_draws_each_policy_with_its_block_means(replayed):
    from matplotlib.patches import StepPatch

    ax = plots.replay(replayed)
    drawn = {patch.get_label(): patch.get_data() for patch in ax.patches}
    assert all(isinstance(patch, StepPatch) for patch in ax.patches)
    for run in replayed.runs:
        if run.is_heuristic:
            continue
        values, edges, _ = drawn[f"{run.name} ({run.mean:.3f})"]
        assert edges.tolist() == [3, 6, 9, 11]
        wanted = [run.held_out[at : at + 3].mean() for at in (0, 3, 6)]
        assert values == pytest.approx(wanted)
    band = drawn["2 heuristics, worst to best"]
    assert (band.baseline <= band.values).all()
    assert ax.get_ylim()[0] <= band.baseline.min()


def test_the_replay_draws_on_the_axes_it_is_given(replayed):
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert plots.replay(replayed, ax) is ax


def test_a_replay_without_figures_is_refused(replayed):
    from dataclasses import replace

    failed = replace(replayed, runs=tuple(replace(run, problem="no") for run in replayed.runs))
    with pytest.raises(ValueError, match="no policy has figures"):
        plots.replay(failed)
