"""What crosses nodes where GPUs send: as in a simulation of every sender's choice."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Problem, Topology
from eplb_opt.errors import PlanError
from eplb_opt.placement import scoring
from eplb_opt.placement.crossing import crossing, crossing_senders
from eplb_opt.placement.plan import Plan
from eplb_opt.planner.evaluate import evaluate
from tests.crossing_oracle import crossing_problems, share_that_crosses, worth
from tests.sender_oracle import every_plan, targets


def problem(dispatch="nearest", load=(8, 4, 2, 2), **rules):
    """Two nodes of two GPUs with two slots each."""
    return Problem([load], 8, 4, 2, dispatch=dispatch, topology=Topology(0.5, **rules))


# Expert 0 on both nodes, 1 twice on node 0, 2 and 3 on node 1.
PLACED = np.array([[0, 1, 1, 1, 0, 2, 3, 3]])


def test_a_copy_on_a_node_serves_all_of_the_node_under_nearest_copy():
    assert crossing_senders(problem(), PLACED).tolist() == [[0, 2, 2, 2]]
    assert crossing(problem(), PLACED) == [Fraction(4 + 2 + 2, 2 * 16)]


def test_under_rank_modulo_the_numbers_decide():
    # Expert 0: GPUs 0 and 2 take the copy on node 0, 1 and 3 the one on node 1: half of them cross.
    found = crossing_senders(problem("rank_modulo"), PLACED)
    assert found.tolist() == [[2, 2, 2, 2]]


@settings(max_examples=80, deadline=None)
@given(crossing_problems(max_off_home=(None,)))
def test_crossing_and_objective_are_those_of_a_simulation(asked):
    if asked is None:
        return
    rows = every_plan(asked)
    rows = rows[np.random.default_rng(int(asked.load.sum())).permutation(len(rows))[:20]]
    for row in rows:
        placed = row[None]
        load, layer = asked.load[0].tolist(), targets(asked, placed.tolist())[0]
        if sum(load):
            assert crossing(asked, placed) == [share_that_crosses(asked, load, layer)]
        assert scoring.objectives(asked, placed) == worth(asked, placed.tolist())
        assert scoring.layer_objectives(asked, placed)[0] >= scoring.objectives(asked, placed)[0]


def test_a_plan_is_scored_by_load_and_crossing():
    score = evaluate(problem(), PLACED)
    ratio = scoring.load_ratios(problem(), PLACED)[0]
    assert score.objective[0] == pytest.approx(float(ratio + Fraction(1, 2) * Fraction(1, 4)))
    assert score.balancedness[0] == pytest.approx(float(1 / ratio))


def test_lost_gpus_send_nothing():
    asked = Problem(
        [[8, 4, 2, 2]],
        8,
        4,
        2,
        active_gpus=[True, True, True, False],
        dispatch="nearest",
        topology=Topology(0.5),
    )
    placed = np.array([[0, 1, 1, 2, 0, 3, -1, -1]])
    assert crossing_senders(asked, placed).tolist() == [[0, 1, 1, 2]]


def test_a_layer_without_load_crosses_nothing():
    empty = problem(load=(0, 0, 0, 0))
    assert crossing(empty, PLACED) == [0]
    assert scoring.objectives(empty, PLACED) == [1]


def test_too_much_that_crosses_breaks_the_limit():
    Plan(PLACED, 4).check(problem(max_off_home=0.25))
    with pytest.raises(PlanError, match=r"0\.250000 of the assignments"):
        Plan(PLACED, 4).check(problem(max_off_home=0.24))


def test_rounded_loads_count_with_what_they_may_lack():
    rough = problem()
    rough.set_field("rounded", np.array([True]))
    assert crossing(rough, PLACED) == [Fraction(4 + 4, 16)]
