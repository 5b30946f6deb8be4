"""Plans where every GPU sends an expert's tokens to one replica, and what goes with that."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt.certificates import CertificateError, verify
from eplb_opt.clock import Deadline
from eplb_opt.errors import ProblemError
from eplb_opt.exact.fewest_moves import fewest_moves
from eplb_opt.placement import scoring
from eplb_opt.placement.after_loss import loads_after_loss
from eplb_opt.planner.schedule import schedule
from eplb_opt.solver import Options

LOAD = np.random.default_rng(3).lognormal(4, 1, (3, 16)).astype(int)
SENDERS = ["nearest", "rank_modulo"]


def problem_of(dispatch, **rules):
    sizes = {"num_slots": 24, "num_gpus": 8, "num_nodes": 2} | rules
    return eplb_opt.Problem(LOAD, dispatch=dispatch, **sizes)


@pytest.mark.parametrize("dispatch", SENDERS)
@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"num_groups": 4},
        {"colocation": "forbid"},
        {"gpu_speed": [1, 1, 1, 1, 1, 1, 1, 0.5]},
        {"active_gpus": [True] * 6 + [False] * 2},
        {"active_gpus": [True, True, True, False] * 2},
        {"active_gpus": [True, True, True, False] * 2, "num_groups": 4},
        {"pinned": [(0, 7)], "forbidden": [(1, 0)]},
        {"spread": "node", "num_slots": 40},
    ],
)
def test_plans_obey_the_rules_and_are_scored_as_a_whole_model(dispatch, rules):
    problem = problem_of(dispatch, **rules)
    result = eplb_opt.plan(problem, effort=3)
    result.plan.check(problem)
    assert [pair.objective for pair in result.bounds] == result.plan.objectives(problem)
    assert (result.lower_bound <= result.objective).all()
    first = eplb_opt.plan(problem, effort=0, starts=[])
    assert result.objective.sum() <= first.objective.sum() * (1 + 1e-9) or dispatch == "nearest"
    assert all("no search" not in text for text in result.messages)


@pytest.mark.parametrize("dispatch", SENDERS)
def test_lost_gpus_are_planned_as_they_are_scored(dispatch):
    # What is planned without the lost GPUs is worth as much with their empty slots.
    problem = problem_of(dispatch, active_gpus=[True, True, True, False] * 2)
    left = problem.without_lost_gpus()
    assert (left.num_gpus, left.num_nodes) == (6, 2 if dispatch == "nearest" else 1)
    result = eplb_opt.plan(problem, effort=2)
    inner = result.plan.physical_to_logical[:, problem.is_open]
    assert scoring.objectives(left, inner) == scoring.objectives(
        problem, result.plan.physical_to_logical
    )


def test_nodes_that_lost_unequally_many_gpus_are_kept_for_nearest_copy():
    unequal = {"active_gpus": [True] * 6 + [False] * 2}
    assert problem_of("nearest", **unequal).without_lost_gpus() is None
    assert problem_of("rank_modulo", **unequal).without_lost_gpus() is not None


@pytest.mark.parametrize("dispatch", SENDERS)
def test_a_plan_in_force_keeps_its_gpus_and_is_not_made_worse(dispatch):
    problem = problem_of(dispatch)
    current = eplb_opt.plan(problem, effort=1).plan
    result = eplb_opt.plan(problem, effort=3, current=current)
    before = scoring.layer_objectives(problem, current.physical_to_logical)
    after = scoring.layer_objectives(problem, result.plan.physical_to_logical)
    assert all(a <= b for a, b in zip(after, before, strict=True))
    few = eplb_opt.plan(problem, effort=2, current=current, max_moves=3)
    assert few.moves.sum() <= 3
    near = scoring.layer_objectives(problem, few.plan.physical_to_logical)
    assert all(a <= b for a, b in zip(near, before, strict=True))


@pytest.mark.parametrize("dispatch", SENDERS)
def test_scenarios_count_each_with_its_mean(dispatch):
    loads = np.stack([LOAD, LOAD[:, ::-1]])
    problem = eplb_opt.Problem(loads, 24, 8, 2, dispatch=dispatch)
    result = eplb_opt.plan(problem, effort=3)
    placed = result.plan.physical_to_logical
    ratios = [
        np.array(scoring.objectives(problem.scenario(r), placed)) * 8 / loads[r].sum(axis=1)
        for r in range(2)
    ]
    wanted = [float(sum(pair) / 2) for pair in zip(*ratios, strict=True)]
    assert result.objective == pytest.approx(wanted)
    assert (result.lower_bound <= result.objective).all()


@pytest.mark.parametrize("dispatch", SENDERS)
def test_bounds_of_the_uniform_split_are_not_taken(dispatch):
    uniform = eplb_opt.Problem([[600, 560, 120, 120, 20, 10, 10, 10]], 16, 8)
    known = eplb_opt.plan(uniform, effort=5).certificates[0]
    problem = uniform.with_dispatch(dispatch)
    with pytest.raises(CertificateError, match="uniform split alone"):
        verify(problem, known)
    names = {stage.name for stage in schedule(problem, Options())}
    assert names <= {"senders_first", "sender_pairs", "sender_model", "senders"}
    with pytest.raises(ProblemError, match="dispatch"):
        fewest_moves(problem, np.arange(16) % 8, 10**9, Deadline.after(1.0))


def test_what_is_not_known_under_senders_is_refused():
    problem = problem_of("nearest")
    plan = eplb_opt.plan(problem, effort=0).plan
    with pytest.raises(ProblemError, match="A loss is planned for"):
        eplb_opt.plan_for_loss(problem, effort=1)
    with pytest.raises(ProblemError, match="What a loss makes of"):
        loads_after_loss(problem, plan)
    with pytest.raises(ProblemError, match="homes means nothing under"):
        problem_of("nearest", topology=eplb_opt.Topology(homes=np.zeros(8, int)))
    with pytest.raises(ProblemError, match="known: uniform, optimal, nearest, rank_modulo"):
        problem_of("farthest")
