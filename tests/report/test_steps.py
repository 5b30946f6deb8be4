"""What steps see is told for every dispatch and size, with advice that follows from the figures."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt.errors import PlanError
from eplb_opt.report.step_advice import advice
from eplb_opt.report.step_tables import step_columns, strong_rows
from eplb_opt.report.steps import Batch, BatchNoise, mixed_load, step_report
from eplb_opt.workloads.forecast import DISPATCHES, Forecast, forecast
from tests.workloads.forecast.cases import machine

LOAD, PLAN = machine(40, 8, 32, 4)
PROBLEM = eplb_opt.Problem(LOAD, 40, 8)
SIZES = [Batch(64, 4), Batch(512, 4)]


def test_the_first_plan_has_all_dispatches_and_others_what_steps_see():
    report = step_report(PROBLEM, {"ours": PLAN, "old": PLAN, "broken": [[0] * 40] * 3}, SIZES)
    rows = [(row.plan, row.dispatch, row.batch_tokens) for row in report.rows]
    ours = [("ours", name, tokens) for name in DISPATCHES for tokens in (64, 512)]
    assert rows == [*ours, ("old", "drawn", 64), ("old", "drawn", 512)]
    assert report.seen == "drawn"
    assert [report.rows[at].dispatch for at in strong_rows(report)] == ["drawn", "drawn"]
    known = forecast(LOAD, PLAN, 8, (64, 512), 4, "drawn")
    assert report.rows[2].balancedness == pytest.approx(known.balancedness[0].mean())
    assert report.noise == BatchNoise(512, pytest.approx(known.std[1].mean()))


def test_the_advised_plan_must_keep_the_rules():
    with pytest.raises(PlanError):
        step_report(PROBLEM, {"ours": [[0] * 40] * 3}, SIZES)


def test_the_cells_say_what_the_rows_hold():
    columns = step_columns(step_report(PROBLEM, {"ours": PLAN}, SIZES))
    assert [column.heading for column in columns][:4] == [
        *("plan", "dispatch", "tokens a GPU", "balancedness")
    ]
    assert not any("traffic" in column.heading for column in columns)
    assert len({len(column.cells) for column in columns}) == 1


def test_steps_bring_a_column_of_their_own():
    steps = np.random.default_rng(0).poisson(LOAD / 1e4, (6, *LOAD.shape))
    report = step_report(PROBLEM, {"ours": PLAN}, SIZES, steps=steps)
    assert report.dispersion > 0
    assert "to varying traffic" in [column.heading for column in step_columns(report)]
    assert "to varying traffic" in report.advice


def test_of_several_loads_each_counts_by_its_shares():
    loads = np.array([LOAD, 1000 * LOAD[:, ::-1]])
    mixed = mixed_load(eplb_opt.Problem(loads, 40, 8))
    shares = LOAD / LOAD.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mixed, (shares + shares[:, ::-1]) / 2, rtol=1e-6)


def test_a_gap_is_marked_where_no_step_shows_it():
    noise = BatchNoise(256, 0.009)
    assert [noise.mark(gap) for gap in (0.0, 0.005, 0.02)] == ["", " *", ""]
    assert noise.note.startswith("* below the noise of 256-token batches")


def test_seconds_are_told_where_the_problem_has_a_cost():
    cost = eplb_opt.StepCost.preset("H100", "deepseek-v3", experts_per_token=4)
    problem = eplb_opt.Problem(LOAD, 40, 8, cost=cost, batch_tokens=64)
    report = step_report(problem, {"ours": PLAN}, SIZES[:1])
    assert report.noise is None  # its gaps are of seconds, and no star is about these
    assert "slowest GPU, a layer" in [column.heading for column in step_columns(report)]
    row = next(row for row in report.rows if row.dispatch == "drawn")
    assert 0 < row.mean_seconds < row.step_seconds
    assert f"takes {1e6 * row.step_seconds:,.1f} µs on the slowest GPU" in report.advice


def seen(balancedness, plan_part, dispatch="drawn"):
    one = np.array([[balancedness]])
    noise = 1 - one - plan_part
    zero = np.zeros((1, 1))
    return Forecast(
        one, np.array([plan_part]), noise, None, zero, zero, None, None, (64,), 8, dispatch
    )


@pytest.mark.parametrize(
    ("now", "plan_part", "optimal", "larger", "gap", "words"),
    [
        (0.995, 0.0, 0.999, 0.997, 0.0, "Leave it: the GPUs are level"),
        (0.985, 0.0, 0.987, 0.989, 0.0, "Leave it: no plan"),
        (0.92, 0.0, 0.96, 0.94, 0.0, "Split each step anew (SGLang"),
        (0.92, 0.0, 0.93, 0.96, 0.0, "256 tokens a GPU gain 4.0 %"),
        (0.80, 0.15, 0.82, 0.83, 0.12, "Plan anew"),
        (0.80, 0.15, 0.82, 0.83, 0.0, "Add slots or drop a rule"),
    ],
)
def test_the_advice_is_what_gains_most(now, plan_part, optimal, larger, gap, words):
    text = advice(
        seen(now, plan_part), seen(optimal, 0.0, "optimal_drawn"), seen(larger, plan_part), gap
    )
    assert words in text
    assert f"a step loses {100 * (1 - now):.1f} %" in text
