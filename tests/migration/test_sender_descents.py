"""Plans near the one in force where every GPU sends to one copy."""

from fractions import Fraction

import numpy as np
import pytest

from eplb_opt import Problem, plan
from eplb_opt.migration.sender_descents import plans_by_exchanges
from eplb_opt.placement import checker, scoring

LOAD = (np.random.default_rng(3).lognormal(0, 1, (2, 48)) * 1000).astype(np.int64)
LATER = (LOAD * np.random.default_rng(4).lognormal(0, 0.1, LOAD.shape)).astype(np.int64)


def asked(dispatch, load=LATER, **terms):
    return Problem(load, 64, 8, 4, dispatch=dispatch, **terms)


def in_force(dispatch, **terms):
    return plan(asked(dispatch, LOAD, **terms), effort=5).plan


@pytest.mark.parametrize("dispatch", ["nearest", "rank_modulo"])
@pytest.mark.parametrize("terms", [{}, {"colocation": "forbid"}, {"num_groups": 4}])
def test_a_tolerance_moves_fewer_experts_than_a_plan_made_anew(dispatch, terms):
    held = in_force(dispatch, **terms)
    problem = asked(dispatch, **terms)
    near = plan(problem, effort=5, current=held, move_tolerance=0.05)
    anew = plan(problem, effort=5, current=held)
    checker.check(problem, near.plan.physical_to_logical)
    assert near.moves.sum() < anew.moves.sum() / 2
    assert (near.objective <= anew.objective * 1.05 * (1 + 1e-9)).all()
    assert not near.messages


def test_levels_are_reached_and_what_stays_keeps_its_slot():
    held = in_force("nearest").physical_to_logical[0]
    layer = asked("nearest").layer(0)
    level = Fraction(int(layer.load.sum()), 8) * Fraction(102, 100)
    found = plans_by_exchanges(layer, held, [level])
    worth = scoring.layer_objectives(layer.repeated(0, len(found)), np.array(found))
    assert worth[0] <= level
    assert max(worth) <= scoring.layer_objectives(layer, held[None])[0]
    for placed in found:
        gpus = zip(held.reshape(8, 8), placed.reshape(8, 8), strict=True)
        for had, has in gpus:
            once = [e for e in has if (has == e).sum() == 1 and (had == e).sum() == 1]
            assert all((has == e).argmax() == (had == e).argmax() for e in once)


def test_a_layer_without_load_has_no_near_plans():
    layer = asked("nearest", np.zeros((1, 48), np.int64))
    assert plans_by_exchanges(layer, np.arange(64) % 48, []) == []


def test_where_no_exchanges_are_made_annealing_finds_near_plans():
    held = in_force("nearest")
    problem = asked("nearest", gpu_speed=[1.0] * 7 + [0.5])
    free = plan(problem, effort=2, current=held)
    near = plan(problem, effort=2, current=held, move_tolerance=0.05)
    assert not near.messages
    assert near.moves.sum() < free.moves.sum() / 2
    assert (near.objective <= free.objective * 1.05 * (1 + 1e-9)).all()
