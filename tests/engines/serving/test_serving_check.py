"""The compiled checker agrees with the one in words."""

import numpy as np
import pytest

import eplb_opt
from eplb_opt.core import serving
from eplb_opt.engines.serving import call as hot
from eplb_opt.placement import checker
from eplb_opt.placement.scoring import replica_counts


def offence(problem, placed):
    by_node = problem.is_hierarchical
    groups, nodes = (problem.num_groups, problem.num_nodes) if by_node else (1, 1)
    # Ids that are out of range cannot be counted; the checker stops at them first.
    counts = replica_counts(placed.clip(0, problem.num_experts - 1), problem.num_experts)
    return serving.first_offence(placed, counts, groups, nodes)


def obeys_in_words(problem, placed):
    try:
        checker.check(problem, placed)
    except eplb_opt.PlanError:
        return False
    return True


@pytest.mark.parametrize("nodes", [1, 2])
def test_both_checkers_say_the_same_of_sound_and_spoiled_plans(nodes):
    rng = np.random.default_rng(nodes)
    load = rng.integers(0, 100, (1, 8))
    problem = eplb_opt.Problem(load, 12, 4, nodes, 4)
    sound = eplb_opt.rebalance_experts(load, 12, 4 if nodes > 1 else 1, nodes, 4, effort=50)[0]
    verdicts = set()
    for _ in range(300):
        placed = sound.copy()
        for _ in range(rng.integers(0, 3)):
            placed[0, rng.integers(12)] = rng.integers(-1, 9)
        if rng.random() < 0.5:
            a, b = rng.integers(12, size=2)
            placed[0, [a, b]] = placed[0, [b, a]]
        verdict = obeys_in_words(problem, placed)
        assert (offence(problem, placed) == -1) == verdict
        verdicts.add(verdict)
    assert verdicts == {True, False}


def test_counts_that_are_not_the_plans_are_an_offence():
    placed = np.array([[0, 1], [0, 1]])
    counts = np.array([[1, 1], [2, 0]])
    assert serving.first_offence(placed, counts, 1, 1) == 1


def test_a_plan_that_breaks_a_law_never_leaves_the_serving_path(monkeypatch, caplog):
    load = np.random.default_rng(0).integers(1, 100, (3, 16))
    spoiled = np.arange(60).reshape(3, 20) % 7  # where most experts have no slot

    def keep_all(call, current, *, exactly):
        call.session.keep(current, np.ones(3, dtype=bool))

    monkeypatch.setattr(hot, "keep_current", keep_all)
    phy2log, _, logcnt = hot.rebalance(load, 20, 1, 1, 4, effort=0, current=spoiled)
    checker.check(eplb_opt.Problem(load, 20, 4), phy2log)
    assert (replica_counts(phy2log, 16) == logcnt).all()
    assert "broke a rule" in caplog.text
