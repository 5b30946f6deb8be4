"""First turns of all layers in one go: who gets them, what comes of them, what a fault costs."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem
from eplb_opt.bounds.bounds import flat_bounds
from eplb_opt.clock import Deadline
from eplb_opt.planner import steps
from eplb_opt.planner.incumbents import Incumbents
from eplb_opt.planner.portfolio import Portfolio
from eplb_opt.search.starts import first_plan
from eplb_opt.solver import Budget, Outcome, Step

LOAD = np.rint(1e5 * np.random.default_rng(0).lognormal(0, 1, (4, 48))).astype(np.int64)
PROBLEM = Problem(LOAD, 64, 16)
PROBLEM_START = first_plan(PROBLEM)


def portfolio(table, seconds=60.0, **budget):
    incumbents = Incumbents(PROBLEM, PROBLEM_START, flat_bounds(PROBLEM))
    return Portfolio(incumbents, table, Budget(Deadline.after(seconds), **budget))


def answering(name, seen, **options):
    """A step that notes its layers and has nothing to say."""

    def run(task):
        seen.append((name, task.layer_idx))
        return Outcome(finished=True)

    return Step(name, run, **options)


def test_all_layers_have_their_first_turn_before_any_other_step():
    seen = []

    def first_turns(tasks, deadline):
        seen.extend(("first", task.layer_idx) for task in tasks)
        return {layer_idx: Outcome(PROBLEM_START[layer_idx]) for layer_idx in range(4)}

    table = [answering("early", seen), answering("late", seen, first_turns=first_turns)]
    run = portfolio(table)
    run.run()
    assert sorted(seen[:4]) == [("first", layer_idx) for layer_idx in range(4)]
    assert {name for name, _ in seen[4:]} == {"early", "late"}
    assert run.worked_on() == {0, 1, 2, 3}


def test_the_layer_with_the_largest_gap_comes_first():
    seen = []

    def first_turns(tasks, deadline):
        seen.extend(task.layer_idx for task in tasks)
        return {}

    run = portfolio([answering("late", [], first_turns=first_turns)])
    gaps = [run.incumbents.gap(layer_idx) for layer_idx in range(4)]
    run.run()
    assert seen == sorted(range(4), key=lambda layer_idx: -gaps[layer_idx])


def test_first_turns_end_before_most_of_a_short_call_is_gone():
    ends = []

    def first_turns(tasks, deadline):
        ends.append(deadline.remaining)
        return {}

    portfolio([answering("late", [], first_turns=first_turns)], 100.0).run()
    portfolio([answering("late", [], first_turns=first_turns)], 0.4).run()
    assert ends[0] <= 0.5
    assert ends[1] <= 0.8 * 0.4


def test_counted_effort_has_no_first_turns():
    def first_turns(tasks, deadline):
        raise AssertionError("under effort every layer has its own turns")

    seen = []
    portfolio([answering("late", seen, first_turns=first_turns)], effort=1).run()
    assert len(seen) == 4


def test_a_fault_in_first_turns_costs_nothing_but_them():
    def first_turns(tasks, deadline):
        raise OSError("no luck")

    seen = []
    run = portfolio([answering("late", seen, first_turns=first_turns)])
    run.run()
    assert len(seen) == 4
    assert run.messages == ["late failed: OSError: no luck"]


def test_a_plan_of_first_turns_is_checked():
    def first_turns(tasks, deadline):
        return {0: Outcome(np.zeros(64, dtype=np.int64))}

    run = portfolio([answering("late", [], first_turns=first_turns)])
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
    table = {step.name: step for step in steps.make_steps(problem, "cpsat")}
    assert (table["search"].first_turns is not None) == has_them


def test_first_turns_bring_every_layer_to_a_local_optimum():
    (search,) = (step for step in steps.make_steps(PROBLEM, "cpsat") if step.name == "search")
    run = portfolio([search])
    before = [pair.objective for pair in run.incumbents.pairs()]
    tasks = [run._task(layer_idx, search) for layer_idx in range(4)]
    found = search.first_turns(iter(tasks), Deadline.after(60))
    assert sorted(found) == [0, 1, 2, 3]
    for layer_idx, outcome in found.items():
        placed = outcome.placed[None, :]
        reached = eplb_opt.evaluate(PROBLEM.layer(layer_idx), placed).objective[0]
        assert reached < before[layer_idx]


def test_layers_that_first_turns_had_no_time_for_come_next():
    (search,) = (step for step in steps.make_steps(PROBLEM, "cpsat") if step.name == "search")
    run = portfolio([search])
    tasks = [run._task(layer_idx, search) for layer_idx in range(4)]
    assert search.first_turns(iter(tasks), Deadline.after(0.0)) == {}
