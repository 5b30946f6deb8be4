"""Seconds of a step in words."""

import numpy as np

from eplb_opt import Problem, StepCost
from eplb_opt.report.step_time import step_line, worth


def problem(**fields):
    cost = StepCost(expert_bytes=1e6, bandwidth=1e11, experts_per_token=2, **fields)
    return Problem([[3, 2], [1, 1]], 4, 2, cost=cost, batch_tokens=8)


def test_seconds_are_shown_in_microseconds_and_loads_as_they_are():
    assert worth(1.5e-6, in_seconds=True) == "1.5 µs"
    assert worth(1500.0, in_seconds=False) == "1,500"


def test_the_line_tells_what_a_better_plan_could_save():
    line = step_line(problem(), np.array([30e-6, 10e-6]), np.array([28e-6, 10e-6]))
    assert "of 8 tokens a GPU the experts take 40 µs: 2 layers, 20 µs each." in line
    assert "at most 1 µs a layer, 5 % of the experts' part of the step." in line


def test_percents_count_what_a_layer_does_besides():
    line = step_line(
        problem(other_seconds=30e-6), np.array([30e-6, 10e-6]), np.array([28e-6, 10e-6])
    )
    assert "1 µs a layer, 2 % of the step." in line
