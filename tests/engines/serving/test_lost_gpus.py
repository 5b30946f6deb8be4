"""Plans for the GPUs that are left, against all plans there are, and with groups on nodes."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt import Plan, Problem, ProblemError, evaluate
from eplb_opt.bench.families import family_loads
from eplb_opt.engines.serving.call import rebalance_near
from eplb_opt.engines.serving.group_homes import on_home_nodes
from eplb_opt.engines.serving.live_gpus import LiveGpus
from eplb_opt.engines.serving.near_rules import NearRules
from heuristics.layout import make_layout

#: So loose that nothing moves for the level.
ANY_LEVEL = 1e9


@st.composite
def losses(draw):
    """A layer, its map in force, and which GPUs are there; the experts have room."""
    num_gpus, room = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    active = draw(st.lists(st.booleans(), min_size=num_gpus, max_size=num_gpus).filter(any))
    num_experts = draw(st.integers(1, min(sum(active) * room, 6)))
    ids = st.integers(-1, num_experts - 1)
    held = draw(st.lists(ids, min_size=num_gpus * room, max_size=num_gpus * room))
    load = draw(st.lists(st.integers(0, 50), min_size=num_experts, max_size=num_experts))
    return np.array([load]), np.array([held]), np.array(active), room


def multiset_moves(held, placed, room):
    """Replicas that a GPU has more of than in force."""
    gpus = zip(held.reshape(-1, room).tolist(), placed.reshape(-1, room).tolist(), strict=True)
    return sum((Counter(new) - Counter(old)).total() for old, new in gpus)


def planned(load, held, active, room, tolerance, effort=200):
    sizes = held.shape[1], 1, 1, len(active)
    rules = NearRules(tolerance, active_gpus=active)
    (placed, *_), found = rebalance_near(load, *sizes, current=held, rules=rules, effort=effort)
    return placed, found


@settings(max_examples=300, deadline=None)
@given(losses())
def test_forced_moves_are_the_fewest_there_can_be(case):
    """Each expert without a live home needs one move, each empty slot too, and one may serve both.

    That no plan has fewer is plain: a move fills one slot with one expert.
    """
    load, held, active, room = case
    placed, found = planned(load, held, active, room, ANY_LEVEL)
    live = LiveGpus(active, room)
    before, after = live.cut(held)[0], live.cut(placed)[0]
    homeless = load.shape[1] - len(set(before.tolist()) - {-1})
    assert multiset_moves(before, after, room) == max(homeless, int((before < 0).sum()))
    assert found.moves[0] == multiset_moves(before, after, room)
    assert (placed.reshape(len(active), room)[~active] == -1).all()


def every_plan(num_experts, num_slots):
    """All valid maps of a tiny layer, int [num, num_slots]."""
    rows = np.array(list(product(range(num_experts), repeat=num_slots)))
    return rows[[len(set(row)) == num_experts for row in rows.tolist()]]


CASES = [np.random.default_rng(seed) for seed in range(60)]


def fewest_to(level, load, held, plans, num_gpus):
    """The fewest moves with which the largest GPU load is at most `level`, by trying all plans."""
    room = held.shape[1] // num_gpus
    loads = evaluate(Problem(np.repeat(load, len(plans), 0), held.shape[1], num_gpus), plans)
    return min(
        multiset_moves(held[0], plan, room)
        for plan, largest in zip(plans, loads.objective, strict=True)
        if largest <= level
    )


def test_after_a_loss_few_moves_more_than_the_fewest_reach_the_level():
    """3 GPUs, 2 slots, one lost of 4: the level that we reach cannot be had for much less."""
    ours = fewest = hits = 0
    plans = every_plan(4, 6)
    for rng in CASES:
        load = rng.integers(1, 100, (1, 4))
        held = eplb_opt.rebalance_experts(load, 8, 1, 1, 4, effort=50)[0]
        active = np.arange(4) != rng.integers(4)
        placed, _ = planned(load, held, active, 2, 0.05)
        live = LiveGpus(active, 2)
        cut = live.cut(placed)
        reached = evaluate(Problem(load, 6, 3), cut).objective[0]
        few = fewest_to(reached, load, live.cut(held), plans, 3)
        moved = multiset_moves(live.cut(held)[0], cut[0], 2)
        assert moved >= few
        ours, fewest, hits = ours + moved, fewest + few, hits + (moved == few)
    assert hits >= 0.8 * len(CASES)
    assert ours <= 1.15 * fewest


SIZES = 96, 6, 3, 12
LOAD = family_loads("lognormal-0.5", 4, 60, 0)
HELD = eplb_opt.rebalance_experts(LOAD, *SIZES, effort=100)[0]
ON_NODES = Problem(LOAD, 96, 12, 3, 6)


def lose(*gpus):
    active = np.ones(12, dtype=bool)
    active[list(gpus)] = False
    return active


def test_groups_stay_on_their_nodes_where_these_have_room(caplog):
    active = lose(2)
    placed = eplb_opt.rebalance_experts(LOAD, *SIZES, current=HELD, active_gpus=active)[0]
    group, node = placed // 10, np.arange(96) // 32
    for layer in range(4):
        for g in range(6):
            assert len(set(node[group[layer] == g].tolist())) == 1
    assert "leave" not in caplog.text
    back = eplb_opt.rebalance_experts(LOAD, *SIZES, current=placed, move_tolerance=0.003)[0]
    Plan(back, 12).check(ON_NODES)


@pytest.mark.parametrize("gpus", [(0, 1), (4, 5, 6, 7)], ids=["two of a node", "a whole node"])
def test_where_a_node_has_no_room_its_groups_leave_and_come_home(gpus, caplog):
    active = lose(*gpus)
    placed = eplb_opt.rebalance_experts(LOAD, *SIZES, current=HELD, active_gpus=active)[0]
    left = 32 - 8 * len(gpus)
    node = gpus[0] // 4
    assert (
        f"the GPUs that are left of node {node} have {left} slots for the 20 experts" in caplog.text
    )
    Plan(placed, 12, 60).check(Problem(LOAD, 96, 12, active_gpus=active))
    live = LiveGpus(active, 8)
    stays = (live.cut(placed) == live.cut(HELD)).mean()
    assert stays > 0.4
    back = eplb_opt.rebalance_experts(LOAD, *SIZES, current=placed, move_tolerance=0.01)[0]
    Plan(back, 12).check(ON_NODES)
    start, _ = on_home_nodes(placed, make_layout(60, *SIZES))
    must = (start < 0).sum(axis=1)
    moved = [multiset_moves(a, b, 8) for a, b in zip(placed, back, strict=True)]
    assert (moved >= must).all()
    assert np.mean(moved) < 72


def test_of_a_map_off_its_nodes_as_little_as_possible_is_let_go():
    layout = make_layout(8, 16, 4, 2, 4)
    home = [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7]
    strays = [0, 1, 2, 3, 0, 1, 2, 7, 4, 5, 6, 7, 4, 5, 6, 3]
    foreign = [0, 2, 4, 6, 1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7]
    start, is_strange = on_home_nodes(np.array([home, strays, foreign]), layout)
    assert start[0].tolist() == home
    assert start[1].tolist() == [*strays[:7], -1, *strays[8:15], -1]
    assert (start[2] >= 0).sum() == 8
    assert is_strange.tolist() == [False, False, False]


def test_groups_that_stand_nowhere_get_the_nodes_that_are_short_of_them():
    """Two of four nodes are gone: their groups come to the other two, and nothing else moves."""
    load = np.array([[40, 40, 30, 30, 20, 20, 10, 10]])
    held = np.array([[0, 1, 0, 1, 2, 3, 2, 3]])  # 4 groups of 2, nodes of 4 slots
    rules = NearRules(ANY_LEVEL)
    (placed, *_), found = rebalance_near(load, 8, 4, 2, 4, current=held, rules=rules, effort=50)
    Plan(placed, 4).check(Problem(load, 8, 4, 2, 4))
    assert found.moves.tolist() == [4]
    # The heavier group goes to the lighter node.
    assert set(placed[0, 4:].tolist()) == {2, 3, 4, 5}


def test_moves_may_be_limited_after_a_loss_too():
    active = lose(3)
    live = LiveGpus(active, 8)
    flat = 96, 1, 1, 12
    held = eplb_opt.rebalance_experts(LOAD, *flat, effort=100)[0]
    limits = {"current": held, "active_gpus": active, "effort": 100}
    must = eplb_opt.rebalance_experts(LOAD, *flat, max_moves=0, **limits)[0]
    more = eplb_opt.rebalance_experts(LOAD, *flat, max_moves=60, **limits)[0]
    problem = Problem(LOAD, 88, 11)
    first, second = (evaluate(problem, live.cut(m)).objective.sum() for m in (must, more))
    assert second < first
    moved = sum(multiset_moves(live.cut(held)[i], live.cut(more)[i], 8) for i in range(4))
    assert moved <= 60


def test_what_a_returning_gpu_holds_is_what_the_map_says():
    """-1 is filled; ids count as held, so that a GPU that kept its memory moves less."""
    flat = 96, 1, 1, 12
    held = eplb_opt.rebalance_experts(LOAD, *flat, effort=100)[0]
    lost = eplb_opt.rebalance_experts(LOAD, *flat, current=held, active_gpus=lose(5))[0]
    kept = np.where(lost < 0, held, lost)
    empty, full = (
        rebalance_near(LOAD, *flat, current=m, rules=NearRules(0.003), effort=100)[1].moves.sum()
        for m in (lost, kept)
    )
    assert full < empty


@pytest.mark.parametrize(
    ("active", "words"),
    [
        (np.arange(12) < 7, "7 GPUs are there, with 56 slots for 60 experts: at least 8 GPUs"),
        (np.zeros(12, dtype=bool), "active_gpus names none of the 12 GPUs"),
        (np.ones(11, dtype=bool), "active_gpus has type bool and shape"),
    ],
    ids=["too few", "none", "another length"],
)
def test_masks_that_nobody_can_plan_for_are_refused(active, words):
    with pytest.raises(ProblemError, match=words):
        eplb_opt.rebalance_experts(LOAD, *SIZES, current=HELD, active_gpus=active)
