"""The attack on every rule: nothing is wrong with our answers, and what is wrong would be seen."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from eplb_opt import Plan, Problem, ProblemError
from eplb_opt.bench import attack as attacks
from eplb_opt.bench.attack import KINDS, attack, random_case
from eplb_opt.bench.soak import soak
from eplb_opt.cli import main
from eplb_opt.result import ObjectiveBounds


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_is_wrong(kind):
    report = attack(30, seed=11, kinds=(kind,))
    assert not report.faults
    assert report.counts["planned"] > 8
    assert report.counts["compared"] > 5


def test_what_is_drawn_has_every_rule():
    cases = [random_case(np.random.default_rng(i), "all") for i in range(300)]
    for name in ("pinned", "forbidden", "spread"):
        assert any(getattr(case, name) for case in cases)
    assert {case.dispatch for case in cases} == {"uniform", "optimal"}
    assert {case.colocation for case in cases} == {"allow", "forbid"}
    assert {case.objective for case in cases} == {"mean", "max"}
    assert any(0 in case.open_slots for case in cases)
    assert any(set(case.speed) != {1.0} for case in cases)
    nodes = [random_case(np.random.default_rng(i), "nodes") for i in range(30)]
    assert all(case.is_hierarchical for case in nodes)


def with_bounds(result, objective=None, lower=None, status=None):
    pair = result.bounds[0]
    changed = ObjectiveBounds(
        pair.objective if objective is None else objective, pair.lower if lower is None else lower
    )
    known = result.layers[0]
    layer = replace(known, bounds=changed, status=status or known.status)
    return replace(result, layers=(layer,))


def closed(result):
    """The bound is claimed to meet the plan."""
    return with_bounds(result, lower=result.bounds[0].objective, status="optimal")


def too_good(result):
    return with_bounds(result, objective=result.bounds[0].objective * 2)


def broken(result):
    """One expert stands in every slot that is filled."""
    rows = np.where(result.plan.physical_to_logical >= 0, 0, -1)
    return replace(result, plan=Plan(rows, result.plan.num_gpus, result.problem.num_experts))


def half(result):
    return replace(result, messages=(*result.messages, "design failed: ZeroDivisionError"))


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (closed, 'false "optimal"'),
        (too_good, "is worth"),
        (broken, "breaks every expert"),
        (half, "ZeroDivisionError"),
    ],
)
def test_what_is_wrong_is_seen(monkeypatch, tamper, words):
    true_plan = attacks.plan

    def plan(problem, **options):
        return tamper(true_plan(problem, **{**options, "effort": 0}))

    monkeypatch.setattr(attacks, "plan", plan)
    report = attack(40, seed=3, kinds=("plain", "scenarios"))
    assert any(words in fault for fault in report.faults)
    assert report.counts["faults"] >= len(report.faults)


def test_a_crash_and_a_refusal_are_faults(monkeypatch):
    def plan(problem, **options):
        raise ZeroDivisionError("sums cancel") if problem.num_experts > 1 else ProblemError("no")

    monkeypatch.setattr(attacks, "plan", plan)
    report = attack(40, kinds=("plain",))
    assert any("ZeroDivisionError: sums cancel" in fault for fault in report.faults)
    assert any("refused though there is a plan: no" in fault for fault in report.faults)


def test_more_moves_than_allowed_are_seen(monkeypatch):
    true_plan = attacks.plan

    def plan(problem, *, max_moves=None, **options):
        return true_plan(problem, **options)

    monkeypatch.setattr(attacks, "plan", plan)
    report = attack(60, kinds=("plain",))
    assert any("are allowed" in fault for fault in report.faults)


def test_a_soak_counts_both_and_its_exit_code_tells(monkeypatch, capsys):
    report = soak(3, seed=1, plans=6)
    assert report.is_clean
    assert report.attack.counts["planned"] + report.attack.counts["refused"] == 6
    assert main(["bench", "soak", "--calls", "2", "--plans", "3"]) == 0
    assert "3 problems" in capsys.readouterr().out
    monkeypatch.setattr(attacks, "plan", lambda problem, **options: 1 / 0)
    assert main(["bench", "soak", "--calls", "2", "--plans", "3"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_case_is_the_same_problem():
    case = random_case(np.random.default_rng(5), "plain")
    problem = Problem(**case.arguments())
    assert problem.load.tolist() == [list(case.load[0])]
    assert [Fraction(s) for s in case.speed] == list(problem.speed)
