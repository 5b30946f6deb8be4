"""The exact model where groups stay on nodes whose GPUs differ, against brute force."""

import pytest
from hypothesis import given, settings

from eplb_opt.exact.homes.unlike_nodes import UnlikeNodesModelSolver
from eplb_opt.placement import checker
from eplb_opt.placement.scoring import objectives
from eplb_opt.solver import Verdict
from tests.bounds.test_unlike_nodes import unlike_nodes
from tests.exact import home_tasks
from tests.homes_oracle import bound_nodes_optimum

pytest.importorskip("ortools")


@settings(max_examples=30, deadline=None)
@given(unlike_nodes())
def test_model_finds_and_proves_the_optimum(problem):
    best = None if problem is None or not problem.load.any() else bound_nodes_optimum(problem)
    if best is None:
        return
    answer = home_tasks.solved(UnlikeNodesModelSolver, problem, 100_000)
    assert answer.verdict is Verdict.FINISHED
    assert answer.bound.value == best
    checker.check(problem, answer.placed[None])
    assert objectives(problem, answer.placed[None])[0] == best
