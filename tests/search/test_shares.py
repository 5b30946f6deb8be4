"""The search where copies carry unequal parts or have costs: valid, true and reproducible."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import CostTable, Problem, plan
from eplb_opt.clock import Deadline
from eplb_opt.placement import checker, scoring
from eplb_opt.search.annealing.shares import ShareSearch, ShareSolver
from eplb_opt.search.by_senders import Work, descended, descends
from eplb_opt.search.starts import first_plan
from eplb_opt.solver import Options, Task, Verdict
from tests.sender_oracle import every_plan, sent_problems


def skewed(num_layers=1, num_experts=64, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.lognormal(0, 1.2, (num_layers, num_experts)) * 1000).astype(np.int64)


def problem(dispatch, load=None, **terms):
    given = {"num_slots": 96, "num_gpus": 16, "num_nodes": 4}
    return Problem(skewed() if load is None else load, **(given | terms), dispatch=dispatch)


def costly():
    load = skewed(num_experts=24)
    count = np.arange(1, 26)
    seconds = 3e-5 + load[0][:, None] / load.sum() / count * 1e-3
    return Problem(load, 48, 8, cost=CostTable(seconds))


ASKED = {
    "nearest": lambda: problem("nearest"),
    "rank_modulo": lambda: problem("rank_modulo"),
    "groups": lambda: problem("nearest", num_groups=4),
    "apart": lambda: problem("rank_modulo", colocation="forbid"),
    "lost": lambda: problem("nearest", gpu_slots=[6] * 14 + [4, 0], num_nodes=4),
    "slow": lambda: problem("rank_modulo", gpu_speed=[1.0] * 15 + [0.5]),
    "scenarios": lambda: problem("nearest", np.stack([skewed(seed=0), skewed(seed=1)])),
    "cost": costly,
}


def mean_of(asked):
    """What the search counts in: the mean GPU load of the fastest GPUs, or 1 with scenarios."""
    if asked.has_scenarios:
        return Fraction(1)
    if asked.has_cost:
        return Fraction(int(asked.replica_cost[0, :, 1].sum()), asked.num_gpus)
    return Fraction(int(asked.load.sum())) / asked.capacity


@pytest.mark.parametrize("name", ASKED)
def test_the_search_ends_with_a_valid_plan_worth_what_it_says(name):
    asked = ASKED[name]()
    start = first_plan(asked)
    search = ShareSearch(asked, start[0], 0)
    search.run_slices(100)
    placed = search.placed()[None]
    checker.check(asked, placed)
    value = scoring.layer_objectives(asked, placed)[0] / mean_of(asked)
    assert float(value) == pytest.approx(search.best, rel=1e-6)
    assert value <= scoring.layer_objectives(asked, start)[0] / mean_of(asked)


@pytest.mark.parametrize("name", ASKED)
def test_counted_work_gives_the_same_bytes(name):
    asked = ASKED[name]()
    first, second = (plan(asked, effort=3, workers=workers) for workers in (1, 2))
    checker.check(asked, first.plan.physical_to_logical)
    assert (first.plan.physical_to_logical == second.plan.physical_to_logical).all()


@pytest.mark.parametrize("dispatch", ["nearest", "rank_modulo"])
def test_level_loads_end_close_to_the_mean(dispatch):
    asked = problem(dispatch, skewed(2, seed=4))
    result = plan(asked, effort=20)
    mean = asked.load.sum(axis=1) / asked.num_gpus
    assert (result.objective / mean < 1.01).all()
    uniform = plan(problem("uniform", asked.load), effort=20).plan
    worth = scoring.layer_objectives(asked, uniform.physical_to_logical)
    assert all(float(w) > v for w, v in zip(worth, result.objective, strict=True))


@settings(max_examples=25, deadline=None)
@given(sent_problems())
def test_tiny_problems_are_searched_to_the_best_plan_or_near_it(asked):
    start = first_plan(asked)
    answer = ShareSolver(asked, Options()).solve(task_of(asked, start))
    if answer.placed is None:
        assert answer.verdict is Verdict.FINISHED
        return
    checker.check(asked, answer.placed[None])
    worth = scoring.layer_objectives(asked, answer.placed[None])[0]
    best = min(scoring.layer_objectives(asked, row[None])[0] for row in every_plan(asked)[:300])
    assert worth <= scoring.layer_objectives(asked, start)[0]
    assert worth <= 2 * best or best == 0


def task_of(asked, start):
    return Task(
        layer_idx=0,
        problem=asked,
        start=start[0],
        objective=scoring.layer_objectives(asked, start)[0],
        lower_bound=Fraction(0),
        deadline=Deadline(),
        call_deadline=Deadline(),
        effort=2,
        seed=0,
        attempt=0,
    )


def test_exchanges_are_for_equal_gpus_and_one_load():
    assert descends(ASKED["nearest"]()) and descends(ASKED["apart"]())
    assert not any(descends(ASKED[name]()) for name in ("lost", "slow", "scenarios", "cost"))


@pytest.mark.parametrize("name", ["nearest", "rank_modulo", "groups", "apart"])
def test_exchanges_give_valid_plans_no_worse_than_the_start(name):
    asked = ASKED[name]()
    start = first_plan(asked)
    placed = descended(asked, start[0], Work(200))[None]
    checker.check(asked, placed)
    before, after = (scoring.layer_objectives(asked, p)[0] for p in (start, placed))
    assert after < before


def test_a_layer_without_load_is_finished_at_once():
    asked = problem("nearest", np.zeros((1, 64), np.int64))
    answer = ShareSolver(asked, Options()).solve(task_of(asked, first_plan(asked)))
    assert answer.verdict is Verdict.FINISHED
