"""Warm starts: who takes part, what they are worth, and where they are made."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Plan, PlanError, Problem, ProblemError
from eplb_opt.planner import warm_starts
from eplb_opt.search import starts as room
from heuristics import HEURISTICS
from heuristics.table import Heuristic

LOADS = np.random.default_rng(3).integers(1, 10**5, (4, 24))
PROBLEM = Problem(LOADS, 32, 8)
IN_TURN = [[*range(24), *range(8)]] * 4
GOOD = eplb_opt.plan(PROBLEM, effort=30).plan


def names(result):
    return [start.name for start in result.starts]


def test_names_plans_and_maps_are_starts():
    result = eplb_opt.plan(PROBLEM, effort=0, starts=["cpu_lpt_slotted", GOOD, IN_TURN])
    assert names(result) == ["greedy", "cpu_lpt_slotted", "start 0", "start 1"]
    placed = [HEURISTICS["cpu_lpt_slotted"](LOADS, 32, 1, 1, 8)[0], GOOD, IN_TURN]
    for start, plan in zip(result.starts[1:], placed, strict=True):
        worth = eplb_opt.evaluate(PROBLEM, plan).objective
        assert start.objective.tolist() == worth.tolist()
        assert [float(value) for value in start.exact] == pytest.approx(worth.tolist())
        assert all(isinstance(value, Fraction) for value in start.exact)
        assert (result.objective <= worth).all()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("deepseek", ["deepseek"]),
        (GOOD, ["start 0"]),
        (IN_TURN, ["start 0"]),
        (np.array(IN_TURN), ["start 0"]),
        (np.array([IN_TURN, IN_TURN]), ["start 0", "start 1"]),
        ({"old.json": IN_TURN, "best": "deepseek"}, ["old.json", "best"]),
        ((), []),
        (["greedy"], []),  # it competes in any case
    ],
)
def test_a_single_start_needs_no_list_and_a_mapping_gives_names(given, named):
    assert names(eplb_opt.plan(PROBLEM, effort=0, starts=given)) == ["greedy", *named]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (["depseek"], ProblemError, "'depseek', which is no heuristic; known: greedy, deepseek"),
        (["deepseek", "deepseek"], ProblemError, "twice"),
        (7, ProblemError, "7"),
        ([[[0, 1]]], PlanError, "start 0"),
        (
            {"old.json": [row[:16] for row in IN_TURN]},
            PlanError,
            "old.json: it has 4 layers and 16",
        ),
        ({"old.json": np.zeros((4, 32), dtype=int)}, PlanError, "old.json: "),
    ],
)
def test_what_is_no_start_is_refused_by_its_name(given, error, words):
    with pytest.raises(error) as caught:
        eplb_opt.plan(PROBLEM, effort=0, starts=given)
    assert words in str(caught.value)


def test_a_heuristic_that_breaks_a_rule_costs_a_message_alone():
    problem = Problem([[90, 1, 1, 1, 1, 1]], 12, 4, colocation="forbid", pinned=[(5, 3)])
    result = eplb_opt.plan(problem, effort=0, starts=["deepseek"])
    assert names(result) == ["greedy"]
    assert any(message.startswith("deepseek is no start: ") for message in result.messages)


def test_a_start_has_the_slots_of_lost_gpus_too():
    active = [True] * 8 + [False] * 2
    problem = Problem(LOADS, 40, 10, active_gpus=active)
    placed = np.full((4, 40), -1)
    placed[:, :32] = GOOD.physical_to_logical
    result = eplb_opt.plan(problem, effort=0, starts=[Plan(placed, 10, 24)])
    best = eplb_opt.evaluate(PROBLEM, GOOD).objective
    assert result.starts[1].objective.tolist() == best.tolist()
    assert (result.objective <= best).all()


def test_the_history_begins_with_the_starts_and_what_each_is_worth():
    result = eplb_opt.plan(PROBLEM, effort=1, current=IN_TURN, starts={"good": GOOD})
    first = result.history[:3]
    assert [point.stage for point in first] == ["greedy", "current", "good"] == names(result)
    sums = [start.objective.sum() for start in result.starts]
    assert [point.start_objective for point in first] == pytest.approx(sums)
    assert first[1].objective == min(sums[:2])
    assert all(point.start_objective is None for point in result.history[3:])


def test_the_table_says_what_the_search_made_of_each_start():
    result = eplb_opt.plan(PROBLEM, effort=0, starts={"in turn": IN_TURN, "good": GOOD})
    greedy, in_turn, good = result.starts
    lower, final = result.lower_bound.sum(), result.objective.sum()
    for start in result.starts:
        worth = start.objective.sum()
        assert start.gap == pytest.approx(worth / lower - 1)
        if start.share_closed is not None:
            assert start.share_closed == pytest.approx((worth - final) / (worth - lower))
    assert good.num_best == 4
    assert (greedy.num_best, in_turn.num_best) == (0, 0)
    assert good.share_closed in (0.0, None)
    assert in_turn.share_closed > 0


def test_equal_starts_count_once_for_each_layer():
    result = eplb_opt.plan(PROBLEM, effort=0, starts=["deepseek", "cpu_lpt_slotted"])
    assert sum(start.num_best for start in result.starts) == 4
    assert result.starts[1].num_best == 0  # the greedy's own plan, and it was first


def test_counted_work_has_the_same_starts_on_every_machine(monkeypatch):
    limit = 50 * 32 // 10
    counted = ["greedy", "deepseek", "cpu_lpt_slotted"]
    assert names(eplb_opt.plan(PROBLEM, effort=limit - 1)) == ["greedy"]
    before = eplb_opt.plan(PROBLEM, effort=limit, workers=1)
    monkeypatch.setattr(room, "torch_is_loaded", lambda: False)
    monkeypatch.setattr(warm_starts, "expected_seconds", lambda name, problem: 1e9)
    after = eplb_opt.plan(PROBLEM, effort=limit, workers=3)
    assert names(before) == names(after) == counted
    assert before.plan.physical_to_logical.tobytes() == after.plan.physical_to_logical.tobytes()


class Clock:
    """A clock that the heuristics move, each by its own seconds."""

    def __init__(self, monkeypatch, takes, expected):
        self.now, self.asked = 0.0, []
        self.takes = takes
        fake = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(warm_starts, "time", fake)
        monkeypatch.setattr(warm_starts, "expected_seconds", lambda name, _: expected[name])
        monkeypatch.setattr(room, "published_names", lambda: list(expected))
        monkeypatch.setattr(room, "needs_torch", lambda name: name.startswith("torch"))
        monkeypatch.setattr(room, "heuristic_calls", lambda problem: dict.fromkeys(expected))

    def run(self, seconds, scoring=0.0):
        for start in warm_starts.cheap_starts(PROBLEM, seconds, scoring):
            self.asked.append(start.name)
            self.now += self.takes[start.name]
        return self.asked


def test_what_takes_less_than_a_fiftieth_takes_part_cheapest_first(monkeypatch):
    expected = {"dear": 0.201, "slow": 0.19, "quick": 0.01}
    assert Clock(monkeypatch, expected, expected).run(10.0) == ["quick", "slow"]
    assert Clock(monkeypatch, expected, expected).run(11.0) == ["quick", "slow", "dear"]
    assert Clock(monkeypatch, expected, expected).run(0.4) == []
    assert Clock(monkeypatch, expected, expected).run(None) == ["quick", "slow"]
    assert Clock(monkeypatch, expected, expected).run(10.0, scoring=0.05) == ["quick"]


def test_on_a_slow_machine_fewer_take_part(monkeypatch):
    expected = {"first": 0.01, "second": 0.1}
    takes = {"first": 0.03, "second": 0.1}
    assert Clock(monkeypatch, takes, expected).run(10.0) == ["first"]


def test_all_together_take_no_more_than_a_tenth(monkeypatch):
    expected = {f"each {i}": 0.19 for i in range(20)}
    assert len(Clock(monkeypatch, expected, expected).run(10.0)) == 5


def test_torch_is_imported_where_that_too_is_cheap(monkeypatch):
    expected = {"torch": 0.1, "numpy": 0.1}
    loaded = []
    monkeypatch.setattr(room, "torch_is_loaded", lambda: bool(loaded))
    monkeypatch.setattr(warm_starts, "load_module", loaded.append)
    monkeypatch.setattr(warm_starts, "find_spec", lambda name: name)
    assert Clock(monkeypatch, expected, expected).run(100.0) == ["numpy"]
    assert not loaded
    assert Clock(monkeypatch, expected, expected).run(200.0) == ["torch", "numpy"]
    assert loaded == ["torch"]
    loaded.clear()
    monkeypatch.setattr(warm_starts, "find_spec", lambda name: None)
    assert Clock(monkeypatch, expected, expected).run(200.0) == ["numpy"]


def test_a_proven_plan_needs_no_starts():
    result = eplb_opt.plan(Problem([[4, 4, 4, 4]], 4, 4), time_limit=10)
    assert names(result) == ["greedy"]


def test_a_heuristic_that_would_be_late_is_left_out_and_said(monkeypatch):
    monkeypatch.setattr(warm_starts, "expected_seconds", lambda name, problem: 100.0)
    result = eplb_opt.plan(PROBLEM, time_limit=0.1, starts=["deepseek"])
    assert names(result) == ["greedy"]
    assert "deepseek is no start: it may take 1e+02 s" in result.messages[0]


def test_a_heuristic_that_fails_costs_nothing_but_itself(monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("no luck")

    monkeypatch.setitem(HEURISTICS, "deepseek", broken)
    result = eplb_opt.plan(PROBLEM, effort=0, starts=["deepseek", GOOD])
    assert names(result) == ["greedy", "start 0"]
    assert result.messages[0] == "deepseek failed: ZeroDivisionError: no luck"


class OnDevice:
    """Loads on a device, which count how often they are copied away from it."""

    device = SimpleNamespace(type="cuda")
    dtype = "torch.int64"

    def __init__(self, values, copied=None):
        self.values, self.copied = np.array(values), [] if copied is None else copied

    def detach(self):
        return self

    def clone(self):
        return OnDevice(self.values, self.copied)

    def cpu(self):
        self.copied.append(self.values.shape)
        return self.values


def test_loads_on_a_device_reach_the_heuristics_there(monkeypatch):
    seen = []

    class Recording(Heuristic):
        def __call__(self, weight, *sizes):
            seen.append((self.backend, type(weight), len(load.copied)))
            return OnDevice(GOOD.physical_to_logical), None, None

    for name in ("swap_refine", "deepseek"):
        row = HEURISTICS[name]
        monkeypatch.setitem(HEURISTICS, name, Recording(row.module, row.backend))
    load = OnDevice(LOADS)
    problem = Problem(load, 32, 8)
    assert len(load.copied) == 1
    result = eplb_opt.plan(problem, effort=0, starts=["swap_refine", "deepseek"])
    # Only what computes in numpy gets the host's copy, which the problem has made.
    assert seen == [("torch", OnDevice, 1), ("numpy", np.ndarray, 1)]
    assert (
        result.starts[1].objective.tolist() == eplb_opt.evaluate(PROBLEM, GOOD).objective.tolist()
    )


def test_the_callers_tensor_may_change_once_the_problem_is_made():
    load = OnDevice(LOADS)
    problem = Problem(load, 32, 8)
    assert problem.load_on_device is not load
    assert problem.layer(1).load_on_device is None
    assert problem.with_dispatch("optimal").load_on_device is problem.load_on_device
    assert Problem(LOADS, 32, 8).load_on_device is None


def test_tensors_in_the_hosts_memory_are_not_kept():
    torch = pytest.importorskip("torch")
    assert Problem(torch.tensor(LOADS), 32, 8).load_on_device is None
