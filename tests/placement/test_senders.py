"""How many GPUs send to each slot, beside GPU-by-GPU simulation, and every way to draw."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eplb_opt.placement import scoring
from eplb_opt.placement.senders import LEAST, MOST, senders
from eplb_opt.problem.problem import Problem
from tests import sender_oracle


@st.composite
def sent_plans(draw, max_layers=3, max_gpus=6, max_slots=12, with_loss=True):
    """A problem under one of the two dispatches, and any plan of it."""
    num_nodes, per_node = draw(st.sampled_from([(1, 2), (1, 3), (1, 5), (2, 2), (2, 3), (3, 2)]))
    num_gpus = num_nodes * per_node
    size = draw(st.integers(1, max(max_slots // num_gpus, 1)))
    lost = draw(st.sampled_from([None, 0, num_gpus - 1])) if with_loss else None
    active = None if lost is None else np.arange(num_gpus) != lost
    is_open = np.repeat(np.ones(num_gpus, bool) if active is None else active, size)
    num_experts = draw(st.integers(1, min(int(is_open.sum()), 5)))
    layers = draw(st.integers(1, max_layers))
    row = st.lists(st.integers(0, 50), min_size=num_experts, max_size=num_experts)
    load = draw(st.lists(row, min_size=layers, max_size=layers))
    speed = draw(st.sampled_from([None, [1] * (num_gpus - 1) + [0.5]]))
    problem = Problem(
        load,
        num_gpus * size,
        num_gpus,
        num_nodes,
        active_gpus=active,
        gpu_speed=speed,
        dispatch=draw(st.sampled_from(["nearest", "rank_modulo"])),
    )
    placed = np.full((layers, num_gpus * size), -1)
    spare = int(is_open.sum()) - num_experts
    for held in placed:
        more = draw(st.lists(st.integers(0, num_experts - 1), min_size=spare, max_size=spare))
        held[is_open] = draw(st.permutations([*range(num_experts), *more]))
    return problem, placed


@settings(max_examples=200, deadline=None)
@given(sent_plans())
def test_every_gpu_is_counted_where_it_sends(case):
    problem, placed = case
    sent = senders(problem, placed)
    for layer_idx, layer in enumerate(sender_oracle.targets(problem, placed.tolist())):
        counted = np.bincount(np.ravel(layer), minlength=problem.num_slots)
        assert sent[layer_idx].tolist() == counted.tolist()


@settings(max_examples=100, deadline=None)
@given(sent_plans())
def test_a_plan_is_worth_what_the_gpus_send(case):
    problem, placed = case
    layers = sender_oracle.targets(problem, placed.tolist())
    wanted = [
        max(sender_oracle.gpu_loads(problem, load, layer))
        for load, layer in zip(problem.load.tolist(), layers, strict=True)
    ]
    assert scoring.objectives(problem, placed) == wanted


@settings(max_examples=150, deadline=None)
@given(sent_plans(max_layers=1, max_slots=8))
def test_the_most_is_the_worst_of_all_draws_and_no_draw_is_below_the_least(case):
    problem, placed = case
    load, row = problem.load[0].tolist(), placed[0].tolist()
    worths = [
        sender_oracle.worth_of_draw(problem, load, row, way)
        for way in sender_oracle.draws(problem, row)
    ]
    assert scoring.objectives(problem, placed, MOST) == [max(worths)]
    assert scoring.objectives(problem, placed, LEAST)[0] <= min(worths)


def test_rank_modulo_by_hand():
    # Expert 0 in three slots of five GPUs: GPUs 0 and 3, 1 and 4, 2.
    problem = Problem([[5, 1, 1]], num_slots=5, num_gpus=5, dispatch="rank_modulo")
    placed = np.array([[1, 0, 0, 2, 0]])
    assert senders(problem, placed).tolist() == [[5, 2, 2, 5, 1]]
    assert scoring.objectives(problem, placed) == [2]


def test_more_replicas_than_gpus_leave_some_without_senders():
    problem = Problem([[6]], num_slots=4, num_gpus=2, dispatch="rank_modulo")
    assert senders(problem, np.array([[0, 0, 0, 0]])).tolist() == [[1, 1, 0, 0]]


def test_the_only_copy_serves_every_gpu():
    problem = Problem([[1, 1, 1, 1]], num_slots=4, num_gpus=2, dispatch="nearest")
    assert senders(problem, np.array([[0, 1, 2, 3]])).tolist() == [[2, 2, 2, 2]]


def test_a_copy_on_the_gpu_itself_comes_first_and_the_first_of_two_there():
    problem = Problem([[1, 1, 1]], num_slots=6, num_gpus=2, dispatch="nearest")
    assert senders(problem, np.array([[0, 0, 1, 1, 0, 2]]))[0, [0, 1, 4]].tolist() == [1, 0, 1]


def test_a_copy_on_the_node_comes_before_the_rest_and_its_first_takes_all():
    # Nodes: GPUs 0, 1 and 2, 3. Expert 0 stands on GPUs 0 and 2, expert 1 on both of node 1.
    problem = Problem([[1] * 6], num_slots=8, num_gpus=4, num_nodes=2, dispatch="nearest")
    sent = senders(problem, np.array([[0, 2, 3, 4, 0, 1, 5, 1]]))[0]
    assert sent[[0, 4]].tolist() == [2, 2]
    # Node 1 holds all replicas of expert 1, so node 0 is dealt: one of its GPUs to each.
    assert sent[[5, 7]].tolist() == [2, 2]


def test_gpus_without_a_copy_are_dealt_evenly():
    # Expert 0 has replicas on GPUs 0, 1, 2 of eight: five GPUs are left for three replicas.
    problem = Problem([[1] * 6], num_slots=8, num_gpus=8, dispatch="nearest")
    placed = np.array([[0, 0, 0, 1, 2, 3, 4, 5]])
    assert sorted(senders(problem, placed)[0, :3].tolist()) == [2, 3, 3]
    assert senders(problem, placed, MOST)[0, :3].tolist() == [3, 3, 3]
    assert senders(problem, placed, LEAST)[0, :3].tolist() == [2, 2, 2]


def test_the_dealing_is_the_same_at_every_call_and_follows_the_seed():
    problem = Problem([[1] * 6] * 20, num_slots=8, num_gpus=8, dispatch="nearest")
    placed = np.tile([0, 0, 0, 1, 2, 3, 4, 5], (20, 1))
    assert (senders(problem, placed) == senders(problem, placed)).all()
    assert (senders(problem, placed) != senders(problem, placed, seed=1)).any()


def test_a_layer_is_drawn_after_those_before_it():
    # One sequence for the whole model: what stands in layer 0 changes the draws of layer 1.
    problem = Problem([[1] * 6] * 20, num_slots=8, num_gpus=8, dispatch="nearest")
    placed = np.tile([0, 0, 0, 1, 2, 3, 4, 5], (20, 1))
    other = placed.copy()
    other[0] = [0, 1, 1, 2, 2, 3, 4, 5]
    assert (senders(problem, placed)[1:] != senders(problem, other)[1:]).any()
    assert (senders(problem, placed, MOST)[1:] == senders(problem, other, MOST)[1:]).all()


@pytest.mark.parametrize("dispatch", ["nearest", "rank_modulo"])
def test_lost_gpus_send_nothing(dispatch):
    active = np.array([True, True, False])
    problem = Problem([[12, 4]], 6, 3, active_gpus=active, dispatch=dispatch)
    assert senders(problem, np.array([[0, 1, 0, 0, -1, -1]])).sum() == 2 * 2


def test_loads_beyond_53_bits_stay_exact():
    problem = Problem([[2**60 + 1, 1, 0]], num_slots=6, num_gpus=3, dispatch="rank_modulo")
    (peak,) = scoring.objectives(problem, np.array([[0, 1, 0, 2, 0, 2]]))
    assert peak * 3 == 2**60 + 1 + 3


def test_slots_within_a_gpu_may_change_places():
    problem = Problem([[9, 5, 4, 2]], num_slots=9, num_gpus=3, dispatch="nearest")
    rows = np.array([[[0, 1, 0], [2, 0, 3], [1, 2, 3]], [[0, 0, 1], [3, 2, 0], [3, 1, 2]]])
    for dispatch in ("nearest", "rank_modulo"):
        worth = [
            scoring.objectives(problem.with_dispatch(dispatch), row.reshape(1, -1)) for row in rows
        ]
        assert all(a == b for a, b in pairwise(worth))
