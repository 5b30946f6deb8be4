"""Numbers of slots that messages propose are numbers that can be taken."""

import re

import numpy as np
import pytest

from eplb_opt.errors import ProblemError
from eplb_opt.problem.problem import Problem
from eplb_opt.workloads.sizing import make_sizes
from heuristics import HEURISTICS

TOO_FEW = [(250, 32), (200, 32), (255, 5), (1, 7)]


@pytest.mark.parametrize(("slots", "gpus"), TOO_FEW)
def test_too_few_slots_are_mended_by_enough_of_them(slots, gpus):
    with pytest.raises(ProblemError) as caught:
        Problem(np.ones((1, 256)), slots, gpus)
    (proposed,) = map(int, re.findall(r"take at least (\d+) slots", str(caught.value)))
    Problem(np.ones((1, 256)), proposed, gpus)
    assert "no multiple" not in str(caught.value)


@pytest.mark.parametrize(
    ("slots", "mend"), [(258, "Make num_slots 288,"), (290, "Make num_slots 288 or 320,")]
)
def test_no_multiple_below_the_experts_is_proposed(slots, mend):
    with pytest.raises(ProblemError, match=mend):
        Problem(np.ones((1, 257)), slots, 32)


@pytest.mark.parametrize(("slots", "gpus"), [(250, 32), (200, 32), (1, 7)])
def test_heuristics_and_sizes_propose_enough_too(slots, gpus):
    with pytest.raises(ValueError, match="take") as caught:
        HEURISTICS["deepseek"](np.ones((1, 256)), slots, 1, 1, gpus)
    (proposed,) = map(int, re.findall(r"take (\d+) replicas", str(caught.value)))
    assert proposed >= 256
    assert proposed % gpus == 0
    with pytest.raises(ProblemError, match="take") as caught:
        make_sizes(256, [gpus], num_slots=[slots])
    (found,) = re.findall(r"take (\d+) or (\d+)", str(caught.value))
    assert all(int(each) >= 256 and int(each) % gpus == 0 for each in found)
