"""Scenarios of a recording."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt.workloads.representatives import (
    METHODS,
    Scenarios,
    clusters,
    exponential,
    last,
    recent,
    shrinkage,
    shrunk,
    total,
    windows,
)

RNG = np.random.default_rng(0)
TRACE = RNG.integers(0, 50, (10, 2, 6))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_layers_experts_and_finite_loads(name):
    scenarios = METHODS[name](TRACE)
    assert scenarios.load.shape[1:] == (2, 6)
    assert len(scenarios.weights) == scenarios.num_scenarios >= 1
    assert np.isfinite(scenarios.load).all()
    assert (scenarios.load >= 0).all()
    eplb_opt.Problem(scenarios.load, 8, 4, scenario_weights=scenarios.weights)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_a_single_step_and_layers_without_load(name):
    step = np.array([[[3, 1, 0, 0], [0, 0, 0, 0]]])
    scenarios = METHODS[name](step)
    assert (scenarios.load == step).all()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_the_same_answer_twice_and_leaves_its_input_alone(name):
    before = TRACE.copy()
    first, again = (METHODS[name](TRACE) for _ in range(2))
    assert (first.load == again.load).all()
    assert (before == TRACE).all()


def test_windows_add_up_to_the_recording_and_differ_by_a_step_at_most():
    scenarios = windows(TRACE, 4)
    assert (scenarios.load.sum(axis=0) == TRACE.sum(axis=0)).all()
    assert (scenarios.load[0] == TRACE[:2].sum(axis=0)).all()
    assert windows(TRACE, 99).num_scenarios == 10
    assert (total(TRACE).load[0] == TRACE.sum(axis=0)).all()
    assert (last(TRACE).load == TRACE[-1:]).all()
    assert (recent(TRACE, 3).load == TRACE[-3:]).all()
    assert recent(TRACE, 3).weights.tolist() == [1, 1, 1]


def test_a_step_of_one_half_life_counts_half():
    steps = np.zeros((4, 1, 4))
    steps[np.arange(4), 0, np.arange(4)] = 8
    assert exponential(steps, 1).load.tolist() == [[[1, 2, 4, 8]]]
    assert recent(steps, 3, 1).weights.tolist() == [0.25, 0.5, 1]
    assert recent(steps, 3, 1).load.tolist() == steps[1:].tolist()
    with pytest.raises(eplb_opt.ProblemError, match="half_life=0"):
        exponential(steps, 0)


def test_clusters_find_workloads_that_alternate():
    kinds = np.array([[[90, 5, 5, 0]], [[0, 5, 5, 90]], [[25, 25, 25, 25]]])
    order = [0, 1, 0, 0, 2, 1, 0, 2]
    trace = np.array([RNG.multinomial(5000, kinds[k, 0] / 100)[None] for k in order])
    scenarios = clusters(trace, 3)
    assert scenarios.weights.tolist() == [4, 2, 2]
    for found, k in zip(scenarios.load, (0, 1, 2), strict=True):
        assert (found == trace[np.array(order) == k].sum(axis=0)).all()


def test_no_more_clusters_than_kinds_of_steps():
    trace = np.array([[[1, 2]], [[1, 2]], [[5, 0]], [[10, 20]]])
    assert clusters(trace, 4).num_scenarios == 2


def test_long_recordings_are_pooled_before_they_are_clustered():
    kinds = np.repeat([[[30, 1]], [[1, 30]]], 400, axis=0)
    scenarios = clusters(kinds, 2)
    assert scenarios.load.sum() == kinds.sum()
    assert scenarios.weights.sum() == 800


def test_pure_noise_is_drawn_to_the_mean_and_comes_closer_to_the_truth():
    truth = RNG.dirichlet(np.ones(32), 20)
    noisy = np.array([[RNG.multinomial(200, p) for p in truth] for _ in range(8)])
    scenarios = Scenarios(noisy, np.ones(8))
    closer = shrunk(scenarios).load / 200

    def error(shares):
        return ((shares - truth) ** 2).sum(axis=-1).mean()

    assert np.median(shrinkage(scenarios)) > 0.8
    assert error(closer) < 0.35 * error(noisy / 200)


def test_windows_that_truly_differ_and_are_long_stay_what_they_are():
    truth = RNG.dirichlet(np.ones(32), (8, 20))
    counted = np.array([[RNG.multinomial(10**6, p) for p in layers] for layers in truth])
    scenarios = Scenarios(counted, np.ones(8))
    assert shrinkage(scenarios).max() < 1e-3
    assert shrunk(scenarios).load == pytest.approx(counted, rel=0.02, abs=50)


def test_of_noisy_windows_that_differ_the_estimate_beats_both_extremes():
    centre = RNG.dirichlet(np.ones(32), 20)
    truth = np.array([[RNG.dirichlet(100 * p + 1e-3) for p in centre] for _ in range(12)])
    noisy = np.array([[RNG.multinomial(100, p) for p in layers] for layers in truth])
    scenarios = Scenarios(noisy, np.ones(12))

    def error(factor):
        shares = shrunk(scenarios, factor).load / 100
        return ((shares - truth) ** 2).sum(axis=-1).mean()

    assert error(None) < min(error(0), error(1))


def test_a_short_window_is_drawn_further_than_a_long_one():
    truth = RNG.dirichlet(np.ones(32), 4)
    counted = np.array([[RNG.multinomial(n, truth[k])] for k, n in enumerate([30, 3000] * 2)])
    pull = shrinkage(Scenarios(counted, np.ones(4)))[:, 0]
    assert pull[0] > 5 * pull[1]


def test_shrinking_keeps_the_tokens_of_each_layer_and_by_hand():
    scenarios = Scenarios(np.array([[[4, 0]], [[0, 8]]]), np.array([3.0, 1.0]))
    assert shrunk(scenarios, 0).load.tolist() == [[[4, 0]], [[0, 8]]]
    assert shrunk(scenarios, 1).load.tolist() == [[[3, 1]], [[6, 2]]]
    assert shrunk(scenarios, 0.5).load.tolist() == [[[3.5, 0.5]], [[3, 5]]]
    assert shrunk(scenarios).load.sum(axis=-1).tolist() == [[4], [8]]


def test_the_pull_is_limited_where_asked():
    noisy = np.array([[RNG.multinomial(50, np.ones(8) / 8)] for _ in range(6)])
    scenarios = Scenarios(noisy, np.ones(6))
    assert (shrinkage(scenarios) > 0.25).all()
    assert shrunk(scenarios, most=0.25).load == pytest.approx(shrunk(scenarios, 0.25).load)
    assert shrunk(scenarios, most=0).load == pytest.approx(noisy)


def test_what_is_no_recording_is_refused():
    with pytest.raises(eplb_opt.ProblemError, match="num_steps, num_layers, num_experts"):
        windows([[1, 2]], 2)
    with pytest.raises(eplb_opt.ProblemError, match="factor=2"):
        shrunk(windows(TRACE, 2), 2)
    with pytest.raises(eplb_opt.ProblemError, match="most=-1"):
        shrunk(windows(TRACE, 2), most=-1)
    with pytest.raises(eplb_opt.ProblemError, match="num=0"):
        windows(TRACE, 0)
