import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem, ProblemError
from eplb_opt.bench.families import family_loads
from eplb_opt.engines import rebalance as room
from eplb_opt.engines.every_rank import DEFAULT_EFFORT

WEIGHT = np.array([[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86]])


def test_the_drop_in_answers_in_the_callers_kind():
    torch = pytest.importorskip("torch")
    maps = eplb_opt.rebalance_experts(torch.tensor(WEIGHT), 16, 4, 2, 8, effort=0)
    assert all(isinstance(m, torch.Tensor) and m.dtype == torch.int64 for m in maps)
    arrays = eplb_opt.rebalance_experts(WEIGHT, 16, 4, 2, 8, effort=0)
    assert all(isinstance(m, np.ndarray) and m.flags.writeable for m in arrays)
    for tensor, array in zip(maps, arrays, strict=True):
        assert (tensor.numpy() == array).all()


def test_the_drop_in_is_hierarchical_only_where_groups_divide():
    nodes, flat = Problem(WEIGHT, 16, 8, 2, 4), Problem(WEIGHT, 16, 8)
    hierarchical = eplb_opt.rebalance_experts(WEIGHT, 16, 4, 2, 8, time_limit=30)
    assert eplb_opt.evaluate(nodes, hierarchical[0]).objective[0] == 151
    fallen_back = eplb_opt.rebalance_experts(WEIGHT, 16, 3, 2, 8, time_limit=30)
    assert eplb_opt.evaluate(flat, fallen_back[0]).objective[0] == 136


def test_the_maps_agree_with_each_other():
    physical, logical, count = eplb_opt.rebalance_experts(WEIGHT, 16, 1, 1, 8, effort=0)
    for expert in range(12):
        slots = [s for s in logical[0, expert].tolist() if s >= 0]
        assert len(slots) == count[0, expert]
        assert all(physical[0, s] == expert for s in slots)


def test_bad_weights_are_refused():
    with pytest.raises(ProblemError, match="negative"):
        eplb_opt.rebalance_experts(-WEIGHT, 16, 1, 1, 8)


def test_a_time_limit_and_effort_exclude_each_other():
    with pytest.raises(ProblemError, match="exclude"):
        eplb_opt.rebalance_experts(WEIGHT, 16, 1, 1, 8, time_limit=0.01, effort=3)


@pytest.mark.parametrize("time_limit", [-1, float("nan"), "5", True])
def test_a_time_limit_that_is_none_is_refused(time_limit):
    with pytest.raises(ProblemError, match="time_limit"):
        eplb_opt.rebalance_experts(WEIGHT, 16, 1, 1, 8, time_limit=time_limit)


@pytest.mark.parametrize("effort", [-1, 1.5, True])
def test_an_effort_that_is_none_is_refused(effort):
    with pytest.raises(ProblemError, match="effort"):
        eplb_opt.rebalance_experts(WEIGHT, 16, 1, 1, 8, effort=effort)


@pytest.mark.parametrize("budget", [{"time_limit": 0.004}, {"effort": 50}], ids=str)
@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16", "int32", "int64"])
def test_tensors_of_every_kind_are_planned_by_the_hot_path(kind, budget):
    torch = pytest.importorskip("torch")
    weight = torch.tensor(WEIGHT, dtype=getattr(torch, kind))
    before = weight.clone()
    maps = eplb_opt.rebalance_experts(weight, 16, 4, 2, 8, **budget)
    assert all(isinstance(m, torch.Tensor) and m.dtype == torch.int64 for m in maps)
    assert (weight == before).all()
    problem = Problem(weight.to(torch.float64).numpy(), 16, 8, 2, 4)
    eplb_opt.Plan(maps[0], 8).check(problem)


@pytest.mark.parametrize("budget", [{"time_limit": 0.004}, {"effort": 50}], ids=str)
def test_the_hot_path_too_is_hierarchical_only_where_groups_divide(budget):
    nodes = Problem(WEIGHT, 16, 8, 2, 4)
    eplb_opt.Plan(eplb_opt.rebalance_experts(WEIGHT, 16, 4, 2, 8, **budget)[0], 8).check(nodes)
    flat = eplb_opt.rebalance_experts(WEIGHT, 16, 3, 2, 8, **budget)[0]
    eplb_opt.Plan(flat, 8).check(Problem(WEIGHT, 16, 8))


@pytest.mark.parametrize(
    "budget", [{"time_limit": 0.02}, {"effort": 10}, {"effort": 100}, {"effort": 5000}], ids=str
)
def test_other_partitions_of_groups_are_searched_where_the_lightest_leaves_much(budget):
    problem = Problem(WEIGHT, 16, 8, 2, 4)
    placed = eplb_opt.rebalance_experts(WEIGHT, 16, 4, 2, 8, **budget)[0]
    assert eplb_opt.evaluate(problem, placed).objective[0] == 151


def test_a_long_limit_goes_on_from_the_serving_paths_plan(monkeypatch):
    load = family_loads("lognormal-1.0", 4, 64, 0)
    problem = Problem(load, 80, 40)
    served = eplb_opt.rebalance_experts(load, 80, 1, 1, 40, effort=3000)[0]
    monkeypatch.setattr(room, "rebalance", lambda *_, **__: (served,))
    given, plan = [], eplb_opt.plan

    def plan_without_time(problem, time_limit, current, starts):
        given.append(starts)
        return plan(problem, time_limit=0, current=current, starts=starts)

    monkeypatch.setattr("eplb_opt.planner.planner.plan", plan_without_time)
    placed = eplb_opt.rebalance_experts(load, 80, 1, 1, 40, time_limit=1.0)[0]
    assert given[0]["serving call"] is served
    ours, theirs = (eplb_opt.evaluate(problem, p).objective for p in (placed, served))
    assert (ours <= theirs).all()


def test_what_the_planner_has_to_say_is_logged(monkeypatch, caplog):
    plan = eplb_opt.plan

    def plan_that_complains(problem, **_):
        result = plan(problem, time_limit=0)
        return type(result)(**{**vars(result), "messages": ("no time",)})

    monkeypatch.setattr("eplb_opt.planner.planner.plan", plan_that_complains)
    eplb_opt.rebalance_experts(WEIGHT, 16, 1, 1, 8, time_limit=0.6)
    assert "no time" in caplog.text


@pytest.mark.parametrize("budget", [{}, {"effort": 20}, {"time_limit": 0.01}], ids=str)
@pytest.mark.parametrize("slots", [72, 64, 66, 96, 128])
def test_fastdeploys_call_at_the_start_is_served_at_any_size(slots, budget):
    """One group, 8 nodes and 64 GPUs, whatever there is; then int32 arrays are filled with it."""
    ones = np.ones((3, 64), dtype=np.int32)
    physical, logical, count = eplb_opt.rebalance_experts(ones, slots, 1, 8, 64, "", **budget)
    assert physical.shape == (3, slots)
    assert logical.shape[2] <= slots - 64 + 1
    assert (count >= 1).all()
    assert (count.sum(axis=1) == slots).all()
    held = np.full((3, slots), -1, dtype=np.int32)
    held[:] = physical
    for num_gpus in (n for n in (1, 2, 8, 32) if slots % n == 0 and 64 % n == 0):
        # Equal loads, read as so many GPUs: none has more than a slot's worth above the mean.
        plan = eplb_opt.Plan(held, num_gpus, 64)
        plan.check(Problem(ones, slots, num_gpus))


def test_fastdeploys_later_calls_name_a_strategy():
    weight = np.arange(1, 65, dtype=np.int32)[None] * 10
    named = eplb_opt.rebalance_experts(weight, 72, 64, 1, 8, "")  # counted work, as on every rank
    plain = eplb_opt.rebalance_experts(weight, 72, 64, 1, 8, effort=DEFAULT_EFFORT)
    for one, other in zip(named, plain, strict=True):
        assert (one == other).all()


def test_without_a_strategy_slots_must_divide():
    with pytest.raises(ProblemError, match="72"):
        eplb_opt.rebalance_experts(np.ones((1, 64)), 72, 1, 8, 64, effort=0)
