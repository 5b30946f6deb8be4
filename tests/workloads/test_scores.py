"""Scores of many steps at once."""

import numpy as np
import pytest

from eplb_opt.placement.plan import Plan
from eplb_opt.placement.scoring import largest_gpu_loads
from eplb_opt.problem.problem import Problem
from eplb_opt.workloads.replay import scores
from eplb_opt.workloads.replay.scores import Placed, Steps

RNG = np.random.default_rng(0)
PLACED = np.array([[0, 1, 2, 3, 0, 0], [3, 2, 1, 0, 1, 2]])


def test_scores_match_exact_ones_step_by_step():
    steps = RNG.integers(0, 100, (7, 2, 4))
    gpu, slot = Placed(PLACED, 3, 4).balancedness(Steps.of(steps))
    for step, found, found_slots in zip(steps, gpu, slot, strict=True):
        peaks = largest_gpu_loads(Problem(step, 6, 3).load, PLACED, 3)
        assert found == pytest.approx(float(step.sum() / 3 / sum(peaks)))
        slots = (step / np.array([[3, 1, 1, 1], [1, 2, 2, 1]])).max(axis=1).sum()
        assert found_slots == pytest.approx(step.sum() / 6 / slots)


def test_by_hand():
    gpu, slot = Placed(np.array([[0, 1, 1, 2]]), 2, 3).balancedness(
        Steps.of(np.array([[[6, 4, 2]]]))
    )
    assert gpu[0] == pytest.approx(6 / 8)
    assert slot[0] == pytest.approx(3 / 6)


def test_a_step_without_load_has_no_balancedness():
    gpu, slot = Placed(PLACED, 3, 4).balancedness(Steps.of(np.zeros((2, 2, 4))))
    assert np.isnan(gpu).all()
    assert np.isnan(slot).all()


@pytest.mark.parametrize("at_once", [1, 2**22])
def test_optimal_dispatch_splits_every_step_as_the_exact_scoring_does(monkeypatch, at_once):
    monkeypatch.setattr(scores, "MAX_WEIGHTS", at_once)
    steps = RNG.integers(0, 100, (5, 2, 4))
    placed = np.array([[0, 1, 2, 3, 0, 2], [3, 2, 1, 0, 1, 2]])
    gpu, slot = Placed(placed, 3, 4, "optimal").balancedness(Steps.of(steps))
    for step, found, found_slots in zip(steps, gpu, slot, strict=True):
        problem = Problem(step, 6, 3, dispatch="optimal")
        peaks = Plan(placed, 3, 4).objectives(problem)
        assert found == pytest.approx(float(step.sum() / 3 / sum(peaks)), rel=1e-8)
        assert 0 < found_slots <= 1
    assert (gpu >= Placed(placed, 3, 4).balancedness(Steps.of(steps))[0] - 1e-9).all()


def test_slots_under_optimal_dispatch_by_hand():
    # Expert 1's 6 tokens go where expert 2 is, so that both GPUs carry 6.
    gpu, slot = Placed(np.array([[0, 1, 1, 2]]), 2, 3, "optimal").balancedness(
        Steps.of(np.array([[[5, 6, 1]]]))
    )
    assert gpu[0] == pytest.approx(1)
    assert slot[0] == pytest.approx(12 / 4 / 5)


@pytest.mark.parametrize(("dispatch", "num_nodes"), [("nearest", 2), ("rank_modulo", 1)])
def test_steps_are_split_as_the_senders_do(dispatch, num_nodes):
    steps = RNG.integers(0, 100, (5, 2, 4))
    placed = np.array([[0, 1, 2, 3, 0, 0, 0, 1], [3, 2, 1, 0, 1, 2, 1, 2]])
    gpu, slot = Placed(placed, 4, 4, dispatch, num_nodes).balancedness(Steps.of(steps))
    for step, found, found_slots in zip(steps, gpu, slot, strict=True):
        problem = Problem(step, 8, 4, num_nodes, dispatch=dispatch)
        peaks = Plan(placed, 4, 4).objectives(problem)
        assert found == pytest.approx(float(step.sum() / 4 / sum(peaks)))
        assert 0 < found_slots <= 1
