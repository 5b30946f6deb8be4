"""First turns of all layers in one go: who gets them, what comes of them, what a fault costs."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem
from eplb_opt.bounds.bounds import flat_bounds
from eplb_opt.clock import Budget, Deadline, Pace
from eplb_opt.planner.incumbents import Incumbents
from eplb_opt.planner.portfolio import Portfolio
from eplb_opt.planner.schedule import schedule
from eplb_opt.search.starts import first_plan
from eplb_opt.solver import Answer, Options, Verdict
from tests.planner.stages import MadeStage

LOAD = np.rint(1e5 * np.random.default_rng(0).lognormal(0, 1, (4, 48))).astype(np.int64)
PROBLEM = Problem(LOAD, 64, 16)
PROBLEM_START = first_plan(PROBLEM)


def portfolio(table, seconds=60.0, **budget):
    incumbents = Incumbents(PROBLEM, PROBLEM_START, flat_bounds(PROBLEM))
    return Portfolio(incumbents, table, Budget(Deadline.after(seconds), **budget))


def answering(name, seen, placed=None, **options):
    """A stage that notes its layers, and has nothing to say but a plan where one is given."""

    def solve(task):
        seen.append((name, task.layer_idx))
        if placed is None:
            return Answer(verdict=Verdict.FINISHED)
        return Answer(placed(task.layer_idx))

    return MadeStage(name, solve, **options)


def test_all_layers_have_their_first_turn_before_any_other_stage():
    seen = []
    late = answering("late", seen, PROBLEM_START.__getitem__, pace=Pace(most=2), all_at_first=True)
    run = portfolio([answering("early", seen), late])
    run.run()
    assert sorted(seen[:4]) == [("late", layer_idx) for layer_idx in range(4)]
    assert {name for name, _ in seen[4:]} == {"early", "late"}
    assert run.worked_on() == {0, 1, 2, 3}


def test_the_layer_with_the_largest_gap_comes_first():
    seen = []
    run = portfolio([answering("late", seen, all_at_first=True)])
    gaps = [run.incumbents.gap(layer_idx) for layer_idx in range(4)]
    run.run()
    assert seen == [("late", i) for i in sorted(range(4), key=lambda i: -gaps[i])]


def test_first_turns_end_before_most_of_a_short_call_is_gone():
    ends = []

    def solve(task):
        ends.append(task.deadline.remaining)
        return Answer(verdict=Verdict.FINISHED)

    portfolio([MadeStage("late", solve, all_at_first=True)], 100.0).run()
    assert ends.pop(0) <= 0.5
    ends.clear()
    portfolio([MadeStage("late", solve, all_at_first=True)], 0.4).run()
    assert ends.pop(0) <= 0.8 * 0.4


def test_counted_effort_has_no_first_turns():
    efforts = []

    def solve(task):
        efforts.append(task.effort)
        return Answer(verdict=Verdict.FINISHED)

    portfolio([MadeStage("late", solve, all_at_first=True)], effort=1).run()
    assert efforts == [1] * 4


def test_counted_effort_has_no_stages_that_a_clock_alone_can_end():
    seen = []
    timed = answering("timed", seen, pace=Pace(with_effort=False))
    portfolio([timed, answering("counted", seen)], effort=1).run()
    assert {name for name, _ in seen} == {"counted"}


def test_a_fault_in_first_turns_costs_nothing_but_them():
    calls = []

    def solve(task):
        calls.append(task.layer_idx)
        if len(calls) == 2:
            raise OSError("no luck")
        return Answer(verdict=Verdict.FINISHED)

    run = portfolio([MadeStage("late", solve, all_at_first=True)])
    run.run()
    assert sorted(calls) == sorted([*range(4), *calls[:2]])
    assert run.messages == ["late failed: OSError: no luck"]


def test_a_plan_of_first_turns_is_checked():
    bad = answering("late", [], lambda i: np.zeros(64, dtype=np.int64), all_at_first=True)
    run = portfolio([bad])
    run.run()
    assert "late failed" in run.messages[0]
    assert (run.incumbents.placed == PROBLEM_START).all()


@pytest.mark.parametrize(
    ("problem", "has_them"),
    [
        (PROBLEM, True),
        (Problem(LOAD, 64, 32), False),  # the exact engine is first there
        (Problem(LOAD, 64, 16, num_nodes=4, num_groups=8), True),
    ],
)
def test_the_search_has_first_turns_where_it_comes_first(problem, has_them):
    table = {stage.name: stage for stage in schedule(problem, Options())}
    assert table["search"].all_at_first == has_them


def only_search():
    return [stage for stage in schedule(PROBLEM, Options()) if stage.name == "search"]


def test_first_turns_bring_every_layer_to_a_local_optimum():
    run = portfolio(only_search())
    before = [pair.objective for pair in run.incumbents.pairs()]
    found = {}
    run._make_first(only_search()[0], Deadline.after(60), found)
    assert sorted(found) == [0, 1, 2, 3]
    for layer_idx, answer in found.items():
        placed = answer.placed[None, :]
        reached = eplb_opt.evaluate(PROBLEM.layer(layer_idx), placed).objective[0]
        assert reached < before[layer_idx]


def test_layers_that_first_turns_had_no_time_for_come_next():
    run, found = portfolio(only_search()), {}
    run._make_first(only_search()[0], Deadline.after(0.0), found)
    assert found == {}


def test_stages_of_one_solver_share_what_it_has_found():
    made = []

    class Counting(MadeStage):
        solver = "shared"

        def make(self, problem, options):
            made.append(self.name)
            return super().make(problem, options)

    seen = []
    first, second = answering("first", seen, PROBLEM_START.__getitem__), answering("second", seen)
    table = [Counting(stage.name, stage.solve, pace=Pace(most=1)) for stage in (first, second)]
    portfolio(table).run()
    assert len(made) == 4
    assert len(seen) == 8


def test_what_no_search_answered_for_is_not_blamed_on_the_clock_where_work_is_counted():
    def fail(task):
        raise OSError("no luck")

    run = portfolio([MadeStage("late", fail)], effort=1)
    run.run()
    assert "4 of 4 layers" in run.messages[-1]
    assert "no search had an answer for them" in run.messages[-1]
    assert "time" not in run.messages[-1]
