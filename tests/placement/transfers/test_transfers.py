"""Transfers end in the plan, in place, and keep every rule that they are given."""

import numpy as np
import pytest
from hypothesis import given, settings

import eplb_opt
from eplb_opt import Plan, PlanError, ProblemError, Transfer, transfers
from eplb_opt.placement.transfers import played_back
from tests.placement.transfers.changes import carried_out, changes, schedule_or_none


@settings(max_examples=400, deadline=None)
@given(change=changes())
def test_played_back_in_place_every_slot_holds_the_plans_expert(change):
    current, plan, options = change
    schedule = schedule_or_none(current, plan, options)
    if schedule is None:
        return
    found = played_back(current, schedule, **options)
    memory = carried_out(current, schedule, options["num_gpus"], options["staging_slots"])
    for layer_idx, row in enumerate(plan):
        for slot, expert in enumerate(row):
            left = expert if expert >= 0 else current[layer_idx][slot]
            assert memory[layer_idx, slot] == found[layer_idx, slot] == left
    assert all(len(batch) <= (options["max_in_flight"] or 99) for batch in schedule)
    assert schedule.lower_bound <= len(schedule)
    assert all(schedule)


@settings(max_examples=200, deadline=None)
@given(change=changes())
def test_only_slots_that_change_are_written_and_each_once(change):
    current, plan, options = change
    schedule = schedule_or_none(current, plan, options)
    if schedule is None:
        return
    num_slots = len(plan[0])
    moves = [t for batch in schedule for t in batch]
    into_slots = [
        (t.layer_idx, t.destination_slot) for t in moves if t.destination_slot < num_slots
    ]
    alive = np.repeat(options["active_gpus"], num_slots // options["num_gpus"])
    before = np.where(alive, current, -1)
    changed = np.argwhere((np.array(plan) >= 0) & (np.array(plan) != before))
    assert sorted(into_slots) == list(map(tuple, changed.tolist()))
    # Storage is read once for each expert that no living GPU holds, and for no other.
    stored = [(t.layer_idx, t.expert_idx) for t in moves if t.source_gpu < 0]
    assert len(set(stored)) == len(stored)
    assert all(expert not in before[layer_idx] for layer_idx, expert in stored)


def test_a_swap_takes_a_staging_slot_that_is_named():
    schedule = transfers(Plan([[0, 1, 2, 3]], 2), Plan([[0, 2, 1, 3]], 2))
    assert schedule.staging in ([4], [5])
    assert played_back([[0, 1, 2, 3]], schedule, 2).tolist() == [[0, 2, 1, 3]]
    assert len(schedule) == schedule.lower_bound == 3


def test_a_swap_needs_no_staging_where_another_replica_serves():
    # Expert 1 stands on GPU 2, too: its slot on GPU 0 can go before GPU 1 has read it.
    current, plan = [[0, 1, 2, 3, 1, 4]], [[0, 2, 1, 3, 1, 4]]
    schedule = transfers(current, plan, 3, staging_slots=0)
    assert [t[2:] for batch in schedule for t in batch] == [(1, 2, 0, 1), (2, 4, 1, 2)]


def test_two_replicas_that_both_go_serve_a_circle_in_the_right_order():
    # Expert 0 has two replicas, and both are overwritten. If that in slot 0 goes first, the circle
    # of slots 1 and 2 is left with no other source.
    current, plan = [[0, 0, 1, 2]], [[2, 1, 0, 2]]
    schedule = transfers(current, plan, 4, staging_slots=0)
    assert played_back(current, schedule, 4, staging_slots=0).tolist() == plan


def test_copies_within_a_gpu_are_listed():
    schedule = transfers([[0, -1, 1, 2]], [[0, 0, 2, 2]], 2)
    assert schedule == [[Transfer(0, 0, 0, 0, 0, 1), Transfer(0, 2, 1, 3, 1, 2)]]


def test_a_cycle_without_staging_is_refused_with_its_layer():
    with pytest.raises(ProblemError, match=r"Slots 0, 1 of layer 1 .* staging_slots=1"):
        transfers([[0, 1], [0, 1]], [[0, 1], [1, 0]], 2, staging_slots=0)


def test_a_hot_expert_spreads_as_a_tree():
    current = [[0] + [-1] * 15]
    schedule = transfers(current, [[0] * 16], 16)
    assert list(map(len, schedule)) == [1, 2, 4, 8]
    assert (schedule.lower_bound, schedule.bound_source) == (4, "spread")


def test_the_nearest_source_is_read_and_each_node_is_entered_once():
    # Expert 0 is on GPU 0 of node 0, and wanted on all GPUs of both nodes.
    schedule = transfers([[0] + [-1] * 7], [[0] * 8], 8, num_nodes=2)
    between = [
        t for batch in schedule for t in batch if t.source_gpu // 4 != t.destination_gpu // 4
    ]
    assert len(between) == 1
    assert len(schedule) == 3


def test_equally_near_sources_share_the_work():
    # Expert 0 is on the first four GPUs; four others want it in four layers.
    schedule = transfers([[0] * 4 + [-1] * 4] * 4, [[0] * 8] * 4, 8)
    senders = [t.source_gpu for batch in schedule for t in batch]
    assert np.bincount(senders).tolist() == [4, 4, 4, 4]
    assert len(schedule) == schedule.lower_bound == 4


def test_a_lost_gpu_is_no_source_and_what_it_alone_held_comes_from_storage_once():
    current, plan = [[0, 1, 2]], [[0, 1, -1]]
    assert transfers(current, plan, 3, active_gpus=[True, True, False]) == []
    plan = [[2, 2, -1]]
    schedule = transfers(current, plan, 3, active_gpus=np.array([True, True, False]))
    first, second = (t for batch in schedule for t in batch)
    assert first == (0, 2, -1, -1, 0, 0)
    assert second == (0, 2, 0, 0, 1, 1)


def test_plans_and_arrays_may_be_mixed():
    current, plan = [[0, 1, 2, 3]], [[0, 2, 1, 3]]
    answers = [
        transfers(Plan(current, 2), Plan(plan, 2)),
        transfers(np.array(current), Plan(plan, 2)),
        transfers(Plan(current, 2), np.array(plan)),
        transfers(current, plan, num_gpus=2),
    ]
    assert all(answer == answers[0] for answer in answers)


def test_torch_tensors_are_taken():
    torch = pytest.importorskip("torch")
    current, plan = torch.tensor([[0, 1]]), torch.tensor([[0, 0]])
    assert transfers(current, plan, 2) == [[(0, 0, 0, 0, 1, 1)]]


def test_nothing_to_do_takes_no_batch():
    schedule = transfers([[0, 1]], [[0, -1]], 2)
    assert schedule == []
    assert (schedule.lower_bound, schedule.num_transfers, schedule.staging) == (0, 0, [])


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([[0, 1]], [[1, 0]]), {}, "give num_gpus="),
        (([[0, 1]], [[1, 0, 2]]), {"num_gpus": 1}, "1 layers and 2 slots, the plan has 1 and 3"),
        ((Plan([[0, 1]], 2), Plan([[0, 1]], 1)), {}, "current says 2, the plan says 1"),
        ((Plan([[0, 1]], 2), [[0, 1]]), {"num_gpus": 1}, "num_gpus says 1, current says 2"),
        (([[0, 1]], [[1, 0]]), {"num_gpus": 2, "num_nodes": 3}, "no multiple of num_nodes=3"),
        (([[0, 1]], [[1, 0]]), {"num_gpus": 2, "staging_slots": -1}, "staging_slots=-1"),
        (([[0, 1]], [[1, 0]]), {"num_gpus": 2, "max_in_flight": 0}, "max_in_flight=0"),
        (([[0, 1]], [[1, 0]]), {"num_gpus": 2, "active_gpus": [True]}, "active_gpus"),
        (
            ([[0, 1]], [[1, 0]]),
            {"num_gpus": 2, "active_gpus": [True, False]},
            "expert 0 in slot 1 of GPU 1, which active_gpus calls lost",
        ),
        (([[0, 1]], [[-1, -1]]), {"num_gpus": 2, "active_gpus": [False, False]}, "every GPU lost"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, options, words):
    with pytest.raises(ProblemError, match=words):
        transfers(*arguments, **options)


def test_a_map_that_is_none_is_refused():
    with pytest.raises(PlanError, match="fractions"):
        transfers([[0.5, 1]], [[1, 0]], 2)


def replans(num_layers=6, num_experts=64, num_slots=96, num_gpus=16, seed=0):
    """A greedy's plans for two loads of the same model: almost everything moves."""
    rng = np.random.default_rng(seed)
    before = rng.lognormal(6, 1, (num_layers, num_experts)).astype(np.int64)
    after = (before * np.exp(0.3 * rng.standard_normal(before.shape))).astype(np.int64)
    return [
        Plan(eplb_opt.rebalance_experts(w, num_slots, 1, 1, num_gpus, effort=0)[0], num_gpus)
        for w in (before, after)
    ]


@pytest.mark.parametrize("num_nodes", [1, 4])
def test_a_plan_made_anew_takes_hardly_more_batches_than_the_bound(num_nodes):
    for seed in range(3):
        schedule = transfers(*replans(seed=seed), num_nodes=num_nodes)
        assert len(schedule) <= 1.1 * schedule.lower_bound


def test_the_same_plans_give_the_same_transfers():
    plans = replans(seed=7)
    assert transfers(*plans) == transfers(*plans)
