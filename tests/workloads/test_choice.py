"""Choosing what to plan for by what happened later."""

import numpy as np
import pytest

from eplb_opt.io import Trace
from eplb_opt.problem.machine import Machine
from eplb_opt.report.replay import choice_table
from eplb_opt.workloads.replay import ReplanLimits, choose
from eplb_opt.workloads.replay.choice import followed
from eplb_opt.workloads.representatives import last, total
from tests.report.test_tables import text_of

MACHINE = Machine(num_slots=8, num_gpus=4)


def chosen(load, **methods):
    return choose(
        Trace.of(load), MACHINE, every=2, methods=methods, limits=ReplanLimits(effort=1, workers=1)
    )


def test_noise_around_one_load_is_best_summed_up():
    rng = np.random.default_rng(0)
    truth = [0.3, 0.25, 0.2, 0.15, 0.07, 0.03]
    load = rng.multinomial(30, truth, (40, 2))
    choice = chosen(load, last=last, total=total)
    assert choice.name == "total"
    assert (choice.scenarios(load).load == total(load).load).all()


def test_a_load_that_turns_is_best_taken_from_the_last_window():
    cold, hot = [10, 10, 10, 10, 400, 10], [10, 400, 10, 10, 10, 10]
    load = np.array([[cold, cold]] * 8 + [[hot, hot]] * 32)
    assert chosen(load, last=last, total=total).name == "last"


def test_the_choice_is_judged_on_windows_that_it_had_not_seen():
    # Method 0 leads after the first block, method 1 after the second.
    means = np.array([[0.9, 0.2, 0.5, 0.5], [0.7, 0.6, 0.6, 0.9]])
    assert followed(means) == pytest.approx((0.8 + 0.2 + 0.6 + 0.9) / 4)


def test_the_best_of_noise_is_not_believed():
    rng = np.random.default_rng(1)
    means = rng.uniform(0.4, 0.6, (50, 30))
    assert followed(means) < means.mean(axis=1).max() - 0.01


def test_the_table_sets_held_out_beside_every_in_sample_figure():
    choice = chosen(np.random.default_rng(0).integers(1, 50, (8, 2, 6)), last=last, total=total)
    text = text_of(choice_table(choice))
    assert "held-out" in text
    for run in choice.report.runs:
        assert f"{run.mean:.4f}" in text
    assert f"{choice.held_out:.4f}" in text
    assert choice.json()["name"] == choice.name
