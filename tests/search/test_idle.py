"""When a search gives up."""

from eplb_opt.clock import Deadline
from eplb_opt.search.idle import IdleTurns
from eplb_opt.solver import Verdict


def said(turns, deadline):
    idle = IdleTurns()
    return [idle.verdict(improved, 2, deadline) is Verdict.FINISHED for improved in turns]


def test_turns_in_a_row_without_a_better_plan_end_a_call_without_limit():
    turns = [False, True, False, False]
    assert said(turns, Deadline()) == [False, False, False, True]


def test_a_call_with_a_limit_goes_on():
    assert not any(said([False] * 9, Deadline.after(60)))
