"""Small problems that take the drivers through the whole core; effort is counted, no clock decides."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

import eplb_opt
from eplb_opt import Problem
from eplb_opt.deadline import Deadline
from eplb_opt.models.config_lp import NodeLp
from eplb_opt.search.anneal_layer import AnnealSearch
from eplb_opt.search.design_layer import DesignSearch
from eplb_opt.search.layer import LayerSearch
from eplb_opt.search.loss_layer import least_load_after_loss
from eplb_opt.search.starts import first_plan

if TYPE_CHECKING:
    from collections.abc import Callable

LOAD = np.array([[5000, *range(1, 16)], [700, 600, *range(90, 104)]])
HEAVY = np.array([np.floor(1e5 / np.arange(1, 25) ** 1.2)])


def flat() -> None:
    """Exchanges, descent, triples and kicks of one layer."""
    problem = Problem(LOAD[:1], 20, 5)
    search = LayerSearch(problem, first_plan(problem)[0], Fraction(1), seed=0)
    search.run_steps(60)
    eplb_opt.plan(Problem(LOAD, 24, 6), effort=2, workers=1)


def apart() -> None:
    eplb_opt.plan(Problem(LOAD, 24, 6, colocation="forbid"), effort=2, workers=1)


def nodes() -> None:
    eplb_opt.plan(Problem(LOAD, 24, 6, num_nodes=2, num_groups=4), effort=2, workers=1)


def pairs() -> None:
    eplb_opt.plan(Problem(LOAD, 20, 10), effort=40, workers=1)


def configurations() -> None:
    problem = Problem(HEAVY, 32, 8)
    start = first_plan(problem)[0]
    NodeLp.of(problem, start).run(Fraction(1), Fraction(10**6), Deadline(), 40)


def scenarios() -> None:
    problem = Problem(np.stack([LOAD, LOAD[:, ::-1]]), 24, 6)
    AnnealSearch(problem.layer(0), first_plan(problem)[0], seed=0).run_slices(1)
    eplb_opt.plan(problem, effort=2, workers=1)
    # Counts that are to blame: transfers with their mends.
    wide = Problem(np.array([[[9, 1, 1]], [[1, 9, 1]]]), 4, 2)
    AnnealSearch(wide, first_plan(wide)[0], seed=0).run_slices(1)


def rules() -> None:
    speed = np.array([1.0, 1.0, 0.5, 1.0, 2.0, 1.0])
    few = LOAD[:, :10]
    eplb_opt.plan(Problem(few, 24, 6, gpu_speed=speed, spread="gpu"), effort=2, workers=1)
    pinned, forbidden = [(0, 1), (3, 2)], [(5, 0)]
    ties = Problem(LOAD, 24, 6, pinned=pinned, forbidden=forbidden)
    eplb_opt.plan(ties, effort=2, workers=1)


def designs() -> None:
    problem = Problem(LOAD[:1], 20, 5, dispatch="optimal")
    DesignSearch(problem, first_plan(problem)[0], seed=0).run_slices(1)
    eplb_opt.plan(Problem(LOAD, 24, 6, dispatch="optimal"), effort=1, noise=0.1, workers=1)


def losses() -> None:
    problem = Problem(LOAD[:1], 20, 5)
    guarded = np.zeros(16, dtype=bool)
    start = first_plan(problem)[0]
    least_load_after_loss(problem, start, guarded, 1, Deadline(), calls=1)


def moves() -> None:
    problem = Problem(LOAD, 24, 6)
    held = eplb_opt.plan(problem, effort=0, workers=1).plan
    later = Problem(LOAD[:, ::-1], 24, 6)
    eplb_opt.plan(later, current=held, max_moves=5, effort=2, workers=1)
    eplb_opt.frontier(later, held, effort=1, workers=1)


def dispatch() -> None:
    plan = eplb_opt.plan(Problem(LOAD, 24, 6), effort=0, workers=1).plan
    eplb_opt.dispatch(plan, LOAD)
    eplb_opt.dispatch(plan, LOAD.astype(float), gpu_speed=np.array([1.0, 1, 1, 1, 1, 0.5]))


def serving() -> None:
    for shape in ((24, 1, 1, 6), (24, 4, 2, 6), (20, 1, 1, 10)):
        for effort in (None, 0, 30):
            eplb_opt.rebalance_experts(LOAD, *shape, effort=effort)


SCENES: tuple[Callable[[], None], ...] = (
    flat, apart, nodes, pairs, configurations, scenarios, rules, designs, losses, moves, dispatch,
    serving,
)  # fmt: skip


def play() -> None:
    """All of them."""
    for scene in SCENES:
        scene()
