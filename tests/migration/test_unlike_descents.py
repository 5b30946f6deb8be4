"""Descents from the plan in force where nodes matter and their GPUs differ."""

import numpy as np
import pytest

from eplb_opt import Problem, Topology
from eplb_opt.clock import Deadline
from eplb_opt.migration.descents import plans_at_price, plans_on_nodes
from eplb_opt.placement import checker, scoring
from eplb_opt.search.starts import first_plan

RNG = np.random.default_rng(5)
LOAD = (RNG.lognormal(0, 1, (1, 64)) * 1000).astype(np.int64)
DRIFTED = (LOAD * RNG.lognormal(0, 0.3, LOAD.shape)).astype(np.int64)
OPEN = Deadline.after(None)
SLOTS = [6, 6, 5] + [6] * 13


def problem(load, topology, **terms):
    given = {"gpu_speed": [1, 0.5] * 8} | terms
    return Problem(load, 96, 16, 4, 8, topology=topology, **given)


RULES = [
    (Topology(0.3), {}),
    (Topology(0.3), {"gpu_slots": SLOTS}),
    (Topology(0.3), {"gpu_speed": None, "gpu_slots": SLOTS}),
    (Topology(0.3, anchored=True), {}),
    (Topology(0.0, max_off_home=0.3), {}),
    (Topology(0.3), {"colocation": "forbid"}),
    (Topology(0.3, nodes=[0] * 5 + [1] * 3 + [2] * 4 + [3] * 4), {"gpu_speed": None}),
    (None, {}),
    (None, {"gpu_slots": SLOTS}),
    (None, {"colocation": "forbid"}),
]


@pytest.mark.parametrize(("rules", "terms"), RULES, ids=str)
def test_plans_on_the_way_obey_the_rules_and_get_better(rules, terms):
    held = first_plan(problem(LOAD, rules, **terms))[0]
    asked = problem(DRIFTED, rules, **terms)
    if rules is None:
        rows = plans_on_nodes(asked, held, OPEN)
    else:
        rows = plans_at_price(asked, held, held, OPEN)
    assert len(rows) >= 3
    for row in rows:
        checker.check(asked, row[None])
    worth = [float(scoring.objectives(asked, row[None])[0]) for row in (held, *rows)]
    assert min(worth[1:4]) < worth[0]
    assert worth[-1] == pytest.approx(min(worth), rel=0.02)
    # Each plan is one or two slots from the one before.
    changed = [(a != b).sum() for a, b in zip((held, *rows), rows, strict=False)]
    assert max(changed) <= 2


def test_a_deadline_that_is_over_leaves_no_plan():
    asked = problem(DRIFTED, Topology(0.3))
    held = first_plan(problem(LOAD, Topology(0.3)))[0]
    assert plans_at_price(asked, held, held, Deadline.after(0.0)) == []


def test_a_layer_without_load_has_no_way_down():
    asked = problem(np.zeros_like(LOAD), Topology(0.3))
    assert plans_at_price(asked, first_plan(asked)[0], first_plan(asked)[0], OPEN) == []
