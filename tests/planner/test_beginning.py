"""What a call begins with, and what is made better of it where there is time."""

import numpy as np
import pytest

from eplb_opt import Problem, Topology, plan
from eplb_opt.bounds.bounds import first_bounds, flat_bounds
from eplb_opt.placement import checker, scoring
from eplb_opt.planner import beginning
from eplb_opt.search import starts

NODES = {"num_nodes": 4, "num_groups": 8}
SPEEDS = [1, 0.5] * 4
LINKS = {"rank_costs": np.where(np.eye(4) > 0, 0.0, [1, 2, 3, 4])}


def load(*shape, seed=5):
    rng = np.random.default_rng(seed)
    return (rng.lognormal(0, 1.2, (*shape, 3, 32)) * 1000).astype(np.int64)


def problem(*shape, price=0.3, terms=None, **rules):
    return Problem(load(*shape), 48, 8, **NODES, topology=Topology(price, **rules), **(terms or {}))


KINDS = {
    "priced": problem(),
    "anchored": problem(anchored=True),
    "limit": problem(max_off_home=0.1),
    "given homes": problem(homes=np.arange(32) % 4),
    "apart": problem(terms={"colocation": "forbid"}),
    "unlike": problem(terms={"gpu_speed": SPEEDS}),
    "unlike, anchored": problem(terms={"gpu_speed": SPEEDS}, anchored=True),
    "unlike slots, apart": problem(
        terms={"gpu_slots": [6, 4, 6, 6, 5, 6, 6, 6], "colocation": "forbid"}
    ),
    "unlike, strict": Problem(load(), 48, 8, **NODES, gpu_speed=SPEEDS),
    "links": problem(**LINKS),
    "sources": problem(sources=np.random.default_rng(1).integers(0, 9, (4, 32))),
    "nearest": problem(terms={"dispatch": "nearest"}),
    "rank modulo": problem(terms={"dispatch": "rank_modulo"}),
    "two loads": problem(2),
    "two loads, anchored": problem(2, anchored=True),
}


@pytest.mark.parametrize("asked", KINDS.values(), ids=KINDS)
def test_a_call_without_time_is_worth_no_more_than_any_of_its_first_plans(asked):
    first = starts.first_plan(asked)
    checker.check(asked, first)
    result = plan(asked, time_limit=0)
    if not asked.splits_by_sender:  # which are scored as dealt, a first plan for the worst draw
        best = scoring.objectives(asked, first)
        assert all(p.objective <= b for p, b in zip(result.bounds, best, strict=True))
    assert result.lower_bound.min() > 0
    assert (result.lower_bound <= result.objective).all()


@pytest.mark.parametrize("limit, is_offered", [(0, True), (1e-6, False), (None, True)])
def test_better_first_plans_are_made_only_while_there_is_time(monkeypatch, limit, is_offered):
    asked, seen = KINDS["links"], []

    def offered(problem, placed, until):
        seen.append(until)
        yield starts.first_plan(problem.flat())

    monkeypatch.setattr(beginning.starts, "better_plans", offered)
    result = plan(asked, effort=0) if limit is None else plan(asked, time_limit=limit)
    assert bool(seen) == is_offered
    told = any("was over before the search began" in message for message in result.messages)
    assert told == (limit == 1e-6)


def test_bounds_of_several_loads_are_means_where_time_is_short():
    asked = problem(2)
    short, whole = first_bounds(asked, 0.0), first_bounds(asked)
    assert whole == flat_bounds(asked)
    for few, best in zip(short, whole, strict=True):
        assert 0.99 < few.value <= best.value


def test_hot_experts_of_slow_gpus_are_levelled_by_speed():
    asked = problem(price=0.0, terms={"gpu_speed": SPEEDS})
    loads = scoring.load_ratios(asked, starts.first_plan(asked))
    alike = scoring.load_ratios(asked, starts.first_plan(problem(price=0.0)))
    # A plan for GPUs that are alike gives the slow ones as much as the fast ones.
    assert max(loads) < 1.25 < min(alike)
