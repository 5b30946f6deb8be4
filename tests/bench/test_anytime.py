"""The curve of the serving call."""

import numpy as np

from eplb_opt.bench import anytime


def test_every_limit_is_measured_on_every_machine():
    rows = list(anytime.anytime_rows(["288x32", "288x32/4/8"], [0.01, 0.001], 2))
    assert [(r.machine, r.time_limit) for r in rows] == [
        ("288x32", 0.001),
        ("288x32", 0.01),
        ("288x32/4/8", 0.001),
        ("288x32/4/8", 0.01),
    ]
    assert all(r.gap >= 0 and r.seconds > 0 for r in rows)


def test_a_rise_is_what_a_gap_is_above_the_least_of_shorter_limits(monkeypatch):
    efforts = iter([300, 0, 3000])

    def worse_in_the_middle(load, *sizes, **budget):
        effort = 1 if "effort" in budget else next(efforts)
        return plan(load, *sizes, effort=effort)

    plan = anytime.rebalance_experts
    monkeypatch.setattr(anytime, "rebalance_experts", worse_in_the_middle)
    rows = list(anytime.anytime_rows(["288x32"], [0.001, 0.002, 0.003], 2))
    rises = [row.rise for row in rows]
    assert rises[0] == rises[2] == 0
    assert np.isclose(rises[1], rows[1].gap - rows[0].gap)
