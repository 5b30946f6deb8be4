"""Numbers far beyond sense, wherever one comes in: a clear error, at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import eplb_opt
from eplb_opt import Problem, ProblemError
from eplb_opt.problem.arrays import as_int, shown

if TYPE_CHECKING:
    from collections.abc import Callable

HUGE = 10**400
SMALL = Problem([[3, 1]], 2, 2)
DESIGN = Problem([[3, 1]], 2, 2, dispatch="optimal")
CURRENT = [[0, 1]]

CALLS: dict[str, Callable[[], Any]] = {
    "time_limit": lambda: eplb_opt.plan(SMALL, time_limit=HUGE),
    "time_limit of ages": lambda: eplb_opt.plan(SMALL, time_limit=1e300),
    "effort": lambda: eplb_opt.plan(SMALL, effort=10**20),
    "effort that Python does not write out": lambda: eplb_opt.plan(SMALL, effort=10**5000),
    "target_gap": lambda: eplb_opt.plan(SMALL, target_gap=HUGE),
    "seed": lambda: eplb_opt.plan(SMALL, seed=HUGE),
    "workers": lambda: eplb_opt.plan(SMALL, workers=10**20),
    "max_moves": lambda: eplb_opt.plan(SMALL, current=CURRENT, max_moves=HUGE),
    "noise": lambda: eplb_opt.plan(DESIGN, noise=HUGE),
    "noise beyond sense": lambda: eplb_opt.plan(DESIGN, noise=1e300),
    "num_slots": lambda: Problem([[3, 1]], 10**9, 1),
    "num_gpus": lambda: Problem([[3, 1]], 2, HUGE),
    "num_slots over all layers": lambda: Problem([[3, 1]] * 94, 2**20, 1),
    "rebalance_experts, time_limit": lambda: eplb_opt.rebalance_experts(
        [[3, 1]], 2, 1, 1, 2, time_limit=HUGE
    ),
    "rebalance_experts, effort": lambda: eplb_opt.rebalance_experts(
        [[3, 1]], 2, 1, 1, 2, effort=10**20
    ),
    "rebalance_experts, slots": lambda: eplb_opt.rebalance_experts(
        [[3, 1]], 10**9, 1, 1, 1, effort=1
    ),
    "rebalance_experts, GPUs": lambda: eplb_opt.rebalance_experts([[3, 1]], 2, 1, 1, HUGE),
    "frontier": lambda: eplb_opt.frontier(SMALL, CURRENT, time_limit=HUGE),
    "plan_for_loss": lambda: eplb_opt.plan_for_loss(Problem([[3, 1]], 4, 2), time_limit=HUGE),
    "lower_bound": lambda: eplb_opt.lower_bound(SMALL, time_limit=HUGE),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_number_beyond_sense_is_refused_at_the_door(name: str) -> None:
    with pytest.raises(ProblemError) as refused:
        CALLS[name]()
    assert len(str(refused.value)) < 1000


def test_the_message_tells_the_limit() -> None:
    with pytest.raises(ProblemError, match="num_slots=1000000000 is above 1048576"):
        Problem([[3, 1]], 10**9, 1)
    with pytest.raises(ProblemError, match="None is for no limit"):
        eplb_opt.plan(SMALL, time_limit=1e10)


def test_whole_numbers_up_to_the_limit_are_taken() -> None:
    assert as_int(10**9, "effort") == 10**9
    assert as_int(7, "effort", most=7) == 7


def test_numbers_of_many_digits_are_shortened_in_messages() -> None:
    assert shown(12) == "12"
    assert shown(10**30) == "100000000000... (31 digits)"
    assert shown(-(10**5000)).startswith("a number of about")
