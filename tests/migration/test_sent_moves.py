"""Few moves with a price on what crosses nodes, where every GPU sends to one copy."""

from fractions import Fraction

import numpy as np
import pytest

import eplb_opt
from eplb_opt import MoveCost, Problem, Topology
from eplb_opt.clock import Deadline
from eplb_opt.placement import scoring
from eplb_opt.placement.moves import move_price
from eplb_opt.search.annealing.sent_moves import counts_of_moves, plans_near
from tests.crossing_oracle import exact_price, share_that_crosses
from tests.homes_oracle import nodes_of_gpus
from tests.sender_oracle import draws, every_plan, senders_of, targets, worth_of_draw

LOAD = (np.random.default_rng(3).lognormal(0, 1, (2, 32)) * 1000).astype(np.int64)
LATER = (LOAD * np.random.default_rng(4).lognormal(0, 0.25, LOAD.shape)).astype(np.int64)
DISPATCHES = ("nearest", "rank_modulo")


def asked(dispatch, load=LATER, rules=None, **terms):
    given = {"num_slots": 48, "num_gpus": 8, "num_nodes": 4} | terms
    return Problem(load, **given, dispatch=dispatch, topology=rules or Topology(0.3))


@pytest.fixture(scope="module", params=DISPATCHES)
def in_force(request):
    return request.param, eplb_opt.plan(asked(request.param, LOAD), effort=5).plan


def moved(problem, before, after, across):
    """What the moves of a plan count, slot by slot."""
    size, nodes = problem.num_slots // problem.num_gpus, nodes_of_gpus(problem)
    count = 0
    for slot, expert in enumerate(after):
        stood = {s // size for s, held in enumerate(before) if held == expert}
        if expert < 0 or slot // size in stood:
            continue
        is_near = nodes[slot // size] in {nodes[gpu] for gpu in stood}
        count += 1 if is_near else across
    return count


def worst_worth(problem, row):
    """Load and price of a plan in the worst draw."""
    load = problem.load[0].tolist()
    peak = max(worth_of_draw(problem, load, row, way) for way in draws(problem, row))
    crossed = share_that_crosses(problem, load, targets(problem, [row])[0])
    ratio = peak * len(senders_of(problem)) / sum(load)
    return ratio + exact_price(problem) * crossed


def tiny(seed):
    """A problem of one layer, and one of all its plans to be in force."""
    rng = np.random.default_rng(seed)
    num_gpus, num_nodes = [(2, 2), (3, 2), (4, 2), (3, 3)][seed % 4]
    num_slots = num_gpus * int(rng.integers(1, 4 if num_gpus == 2 else 3))
    num_experts = int(rng.integers(1, min(5 - (num_gpus == 4), num_slots + 1)))
    problem = Problem(
        rng.integers(1, 31, (1, num_experts)),
        num_slots,
        num_gpus,
        num_nodes,
        dispatch=DISPATCHES[seed // 4 % 2],
        topology=Topology([0.05, 0.3, 1][seed % 3]),
    )
    rows = every_plan(problem).tolist()
    return problem, rows, rows[rng.integers(len(rows))]


@pytest.mark.parametrize("seed", range(16))
def test_no_plan_with_so_few_moves_is_better_on_tiny_problems(seed):
    problem, rows, held = tiny(seed)
    across = [1, 3][seed % 2]
    frontier = eplb_opt.frontier(problem, [held], effort=20, cross_node_price=across).layers[0]
    for point in frontier:
        row = point.placed.tolist()
        assert point.moves == moved(problem, held, row, across)
        assert point.objective == worst_worth(problem, row)
    scored = [(moved(problem, held, row, across), worst_worth(problem, row)) for row in rows]
    for most in range(problem.num_slots * across + 1):
        best = min(worth for moves, worth in scored if moves <= most)
        assert min(point.objective for point in frontier if point.moves <= most) == best


@pytest.mark.parametrize("most", [0, 3, 8, [4, 0]], ids=str)
def test_max_moves_is_kept_and_what_it_allows_is_used(in_force, most):
    dispatch, held = in_force
    problem = asked(dispatch)
    result = eplb_opt.plan(problem, effort=5, current=held, max_moves=most)
    assert (result.moves <= most).all() if isinstance(most, list) else result.moves.sum() <= most
    before = eplb_opt.evaluate(problem, held).objective
    assert (result.objective <= before + 1e-9).all()
    if most != 0:
        assert result.objective.sum() < before.sum()
    assert not result.messages


def test_more_moves_or_more_work_are_never_worse(in_force):
    dispatch, held = in_force
    layer, row = asked(dispatch).layer(0), held.physical_to_logical[0]
    best = eplb_opt.plan(layer, effort=5).plan.physical_to_logical[0]
    before = None
    for slices in (24, 100, 500):
        rows = np.array(plans_near(layer, row, best, 0.1, 0, Deadline.after(np.inf), slices))
        worth = scoring.layer_objectives(layer.repeated(0, len(rows)), rows)
        moves = [moved(layer, row.tolist(), placed.tolist(), 1) for placed in rows]
        reached = [
            min((w for m, w in zip(moves, worth, strict=True) if m <= most), default=Fraction(9))
            for most in range(layer.num_slots + 1)
        ]
        assert reached == sorted(reached, reverse=True)
        if before is not None:
            assert all(now <= then for now, then in zip(reached, before, strict=True))
        before = reached


def test_few_moves_reach_a_tolerance_and_dear_ones_stay_on_their_nodes(in_force):
    dispatch, held = in_force
    problem = asked(dispatch)
    free = eplb_opt.plan(problem, effort=5, current=held)
    near = eplb_opt.plan(problem, effort=5, current=held, move_tolerance=0.03)
    assert (near.objective <= free.objective * 1.03 * (1 + 1e-9)).all()
    assert near.moves.sum() < free.moves.sum() / 2
    terms = {"current": held, "move_tolerance": 0.03, "cross_node_price": 20}
    dear = eplb_opt.plan(problem, effort=5, **terms)
    assert (dear.objective <= free.objective * 1.03 * (1 + 1e-9)).all()
    counted = [int(r.moves.sum() + 19 * r.moves_across.sum()) for r in (dear, free)]
    assert counted[0] < counted[1] / 3


def test_a_limit_on_what_crosses_holds_near_a_plan_in_force(in_force):
    dispatch, _ = in_force
    rules = Topology(0.0, max_off_home=0.7, nodes=[0, 0, 0, 1, 1, 1, 1, 2])
    terms = {"rules": rules, "num_nodes": 3, "colocation": "forbid"}
    held = eplb_opt.plan(asked(dispatch, LOAD, **terms), effort=5).plan
    problem = asked(dispatch, **terms)
    frontier = eplb_opt.frontier(problem, held, effort=5)
    assert len(frontier.moves) > 3
    for limit in frontier.moves.tolist():
        frontier.plan(limit).check(problem)


def test_a_move_cost_reads_load_and_price_as_time(in_force):
    dispatch, held = in_force
    for steps in (1, 10**6):
        cost = MoveCost(10**7, 1e9, 0.05, 0.5, steps)
        found = eplb_opt.plan(asked(dispatch), effort=5, current=held, move_cost=cost)
        assert (cost.assess(asked(dispatch), held, found.plan).net >= -1e-9).all()
        assert (found.moves.sum() > 0) == (steps > 1)


def test_lost_gpus_get_nothing(in_force):
    dispatch, held = in_force
    rows = held.physical_to_logical.copy()
    rows[:, :6] = -1
    for row in rows:  # experts that stood there alone take second copies' slots
        counts = np.bincount(row[6:], minlength=32)
        for expert in np.flatnonzero(counts == 0):
            slot = next(s for s in range(6, 48) if counts[row[s]] > 1)
            counts[row[slot]] -= 1
            row[slot] = expert
    problem = asked(dispatch, active_gpus=np.arange(8) > 0)
    result = eplb_opt.plan(problem, effort=5, current=rows, max_moves=6)
    assert result.moves.sum() <= 6
    assert (result.plan.physical_to_logical[:, :6] == -1).all()
    assert result.objective.sum() < eplb_opt.evaluate(problem, rows).objective.sum()


def test_moves_count_by_gpu_and_node():
    layer = asked("nearest", num_slots=32, num_gpus=8).layer(0)
    row = np.arange(32)
    counts = counts_of_moves(layer, row, move_price(layer, 5))
    assert counts[0, :5].tolist() == [0, 0, 0, 0, 1]
    assert counts[0, 8] == 5
    assert counts_of_moves(layer, row)[0, 8] == 1


def test_where_every_expert_is_on_every_gpu_nothing_is_looked_for():
    problem = Problem(np.array([[3, 1]]), 4, 2, 2, dispatch="rank_modulo", topology=Topology(0.3))
    row = np.array([0, 1, 0, 1])
    assert plans_near(problem, row, row, 0.1, 0, Deadline(), slices=20) == []
