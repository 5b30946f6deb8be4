"""What the engines' own test files check of a policy, in our words, for every drop-in of ours.

Each test names the engine and the file that its invariant comes from (late 2026). `test_peers` has
what all of them share: shapes, ids, counts, equal loads, the published example, refusals.
"""

from collections import Counter

import numpy as np
import pytest

from eplb_opt import Plan, Problem, ProblemError, evaluate, transfers
from eplb_opt.engines import ascend, sglang
from eplb_opt.engines.every_rank import GAIN_VARIABLE, TOLERANCE_VARIABLE
from eplb_opt.engines.survivors import keep_slots
from eplb_opt.engines.vllm import EplbOptPolicy, ThreeMapsPolicy
from eplb_opt.placement.transfers import played_back
from tests.engines.drop_ins import ALL, FLAT, HIERARCHICAL

torch = pytest.importorskip("torch")

every = pytest.mark.parametrize("drop_in", ALL.values(), ids=ALL)
flat = pytest.mark.parametrize("drop_in", FLAT.values(), ids=FLAT)
hierarchical = pytest.mark.parametrize("drop_in", HIERARCHICAL.values(), ids=HIERARCHICAL)


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    for variable in (TOLERANCE_VARIABLE, GAIN_VARIABLE, "EPLB_OPT_EFFORT"):
        monkeypatch.delenv(variable, raising=False)


def counts(placed, num_gpus, num_experts):
    return Plan(placed, num_gpus, num_experts).logical_count


# vLLM, tests/distributed/test_eplb_algo.py


@hierarchical
@pytest.mark.parametrize(
    ("rows", "numbers", "least"),
    [
        ([[1000, 1, 1, 1, 1, 1, 1, 1]], (12, 2, 2, 4), 2),
        ([[100, 50, 200, 75, 150, 25, 300, 80]], (12, 4, 2, 4), 2),
        ([[200, 150, 100, 50, 25, 12], [12, 25, 50, 100, 150, 200]], (10, 3, 1, 2), 2),
        ([[10, 20, 30, 40, 50, 60], [60, 50, 40, 30, 20, 10], [25] * 6], (8, 2, 2, 4), 1),
        ([[50, 100, 75, 120, 90, 60, 80, 110, 40, 70, 95, 85, 65, 55, 45, 35]], (24, 8, 4, 8), 1),
    ],
    ids=["extreme", "small", "two orders", "layers that differ", "four nodes"],
)
def test_vllm_hot_experts_get_replicas_in_every_layer_by_itself(drop_in, rows, numbers, least):
    weight = torch.tensor(rows)
    count = counts(drop_in(weight, *numbers), numbers[3], weight.shape[1])
    assert (count >= 1).all()
    assert (count.sum(axis=1) == numbers[0]).all()
    hottest = weight.argmax(dim=1).numpy()
    assert (count[np.arange(len(rows)), hottest] >= least).all()
    for i, row in enumerate(rows):  # a layer alone gets the plan that it gets among others
        alone = counts(drop_in(torch.tensor([row]), *numbers), numbers[3], weight.shape[1])
        assert (alone[0] == count[i]).all()


@pytest.mark.parametrize(
    ("num_ranks", "old", "new"),
    [
        (2, [0, 1, 2, 3, 4, 5, 6, 7], [1, 5, 0, 4, 6, 2, 7, 3]),
        (2, [0, 1, 0, 2, 3, 4, 5, 6, 1, 2], [0, 5, 4, 0, 1, 6, 2, 3, 2, 1]),
        (3, [0, 1, 2, 3] * 3, [0] * 8 + [1, 2, 3, 0]),
    ],
    ids=["plain", "duplicates", "one expert on two ranks"],
)
def test_vllm_a_rank_keeps_its_experts_and_one_that_stays_its_old_slot(num_ranks, old, new):
    for kept in (
        keep_slots(np.array([new]), np.array([old]), num_ranks),
        EplbOptPolicy.preserve_intragpu_slots(np.array([new]), num_ranks, np.array([old])),
    ):
        for before, given, after in zip(
            *(np.reshape(m, (num_ranks, -1)).tolist() for m in (old, new, kept)), strict=True
        ):
            assert Counter(after) == Counter(given)
            for expert in set(before) & set(given):
                assert after[before.index(expert)] == expert


def test_vllm_slots_that_hold_nothing_are_named_by_no_expert():
    plan = Plan([[0, 1, -1, 2, 3, -1], [3, -1, 2, 1, 0, -1]], 2, 4)
    assert (plan.logical_count == 1).all()
    assert plan.logical_to_physical[0, :, 0].tolist() == [0, 1, 3, 4]
    assert plan.logical_to_physical[1, :, 0].tolist() == [4, 3, 2, 0]


# vLLM, tests/distributed/test_eplb_execute.py; SGLang, test/registered/ep/
# test_expert_location_updater.py: weights follow the maps, whatever both are.


@pytest.mark.parametrize("policy", [EplbOptPolicy, ThreeMapsPolicy])
def test_vllm_and_sglang_every_slot_gets_its_expert_from_a_rank_that_has_it(policy):
    rng = np.random.default_rng(3)
    load = torch.from_numpy(rng.integers(1, 1000, (3, 40)))
    old = np.stack([rng.permutation(np.arange(48) % 40) for _ in range(3)])
    answer = policy.rebalance_experts(load, 48, 1, 1, 8, torch.from_numpy(old))
    new = np.asarray(answer[0] if isinstance(answer, tuple) else answer)
    batches = transfers(Plan(old, 8, 40), Plan(new, 8, 40))
    assert (played_back(old, batches, 8) == new).all()


# vLLM, tests/distributed/test_eplb_migration_scheduler.py


def test_vllm_no_rank_is_in_two_transfers_of_a_batch_and_all_changes_are_made_once():
    rng = np.random.default_rng(5)
    old, new = (np.stack([rng.permutation(24)]) for _ in range(2))
    batches = transfers(Plan(old, 8, 24), Plan(new, 8, 24))
    for batch in batches:
        ends = [gpu for move in batch for gpu in {move.source_gpu, move.destination_gpu}]
        assert len(set(ends)) == len(ends)
    places = Counter(move.destination_slot for batch in batches for move in batch)
    places = {slot: times for slot, times in places.items() if slot < 24}  # others are for staging
    assert set(places.values()) <= {1}
    assert set(places) == set(np.flatnonzero(old[0] != new[0]).tolist())


# TensorRT-LLM, cpp/tests/unit_tests/runtime/moeLoadBalancerTest.cpp and
# tests/unittest/_torch/modules/test_moe_load_balancer.py


@flat
@pytest.mark.parametrize(
    ("load", "room", "ranks"),
    [
        ([1, 2, 3, 4], 2, 2),
        ([0, 0, 0, 0], 3, 2),
        ([1, 4, 2, 1], 4, 2),
        ([10, 5, 2, 15, 8], 3, 3),
        ([0, 10, 0], 2, 2),
    ],
    ids=str,
)
def test_trtllm_replicas_fill_the_slots_and_more_load_never_has_fewer(drop_in, load, room, ranks):
    placed = drop_in(torch.tensor([load]), room * ranks, 1, 1, ranks)
    count = counts(placed, ranks, len(load))[0]
    assert count.sum() == room * ranks
    assert (count >= 1).all()
    if not any(load):  # without load nobody is preferred by much
        assert count.max() - count.min() <= room
    most = np.argmax(load)
    assert count[most] == count.max() or not any(load)


@flat
@pytest.mark.parametrize(
    ("load", "room", "ranks", "spread"),
    [
        ([1, 1, 1, 1], 2, 2, 0.001),
        ([1, 3, 2, 1], 3, 2, 0.01),
        ([10, 5, 2, 15, 8], 3, 3, 2.0),
        ([1, 100, 10], 2, 2, 9.0),
        ([2, 3, 4, 5, 6, 7], 3, 2, 1.0),
    ],
    ids=str,
)
def test_trtllm_no_rank_is_farther_above_the_mean_than_its_spread(
    drop_in, load, room, ranks, spread
):
    placed = np.asarray(drop_in(torch.tensor([load]), room * ranks, 1, 1, ranks))
    largest = evaluate(Problem([load], room * ranks, ranks), placed).objective[0]
    assert largest <= sum(load) / ranks + spread


def on_ranks(placed, room, dead, load, monkeypatch):
    """SGLang's elastic algorithm from a map in force, so loosely that only what must moves."""
    monkeypatch.setenv(TOLERANCE_VARIABLE, "1e9")
    num_slots = len(placed)
    active = [rank != dead for rank in range(num_slots // room)]
    numbers = num_slots, room, None, 1
    return sglang.rebalance_experts(
        torch.tensor([[load]]), *numbers, "elasticity_aware",
        current=np.array([placed]), active_ranks=active,
    )  # fmt: skip


def test_trtllm_where_every_expert_has_a_live_replica_masking_a_rank_moves_nothing(monkeypatch):
    placed = [0, 1, 0, 2, 1, 3, 2, 3]
    answer, logical, count = on_ranks(placed, 2, 2, [4, 3, 2, 1], monkeypatch)
    assert np.delete(np.asarray(answer[0]), [4, 5]).tolist() == [0, 1, 0, 2, 2, 3]
    assert count.tolist() == [[2, 1, 2, 1]]
    assert not np.isin(logical, [4, 5]).any()


def test_trtllm_the_last_replica_of_an_expert_is_never_given_up(monkeypatch):
    with pytest.raises(ProblemError, match="3 GPUs are there, with 3 slots for 4 experts"):
        on_ranks([0, 1, 2, 3], 1, 2, [1, 1, 1, 1], monkeypatch)


# vllm-ascend, tests/ut/eplb/core/policy/*.py


def test_ascend_experts_that_stay_on_a_device_are_put_back_into_their_slots():
    kept = keep_slots(np.array([[1, 0, 3, 2]]), np.array([[0, 1, 2, 3]]), 2)
    assert kept.tolist() == [[0, 1, 2, 3]]


def test_ascend_slot_loads_are_added_by_expert():
    table = np.array([[[0, 1], [1, 0]]]).reshape(1, -1)
    assert ascend.fold(table, np.array([[2, 3, 4, 1]])).tolist() == [[3, 7]]


@pytest.mark.parametrize(
    ("loads", "changes"),
    [([[1, 1, 1, 1]], []), ([[10, 9, 1, 1], [1, 1, 1, 1]], [0]), ([[10, 9, 1, 1]], [0])],
    ids=["level", "one of two", "one"],
)
def test_ascend_layers_that_gain_nothing_keep_their_table(loads, changes):
    table = np.tile(np.array([[[0, 1], [2, 3]]]), (len(loads), 1, 1))
    slot_load = np.array(loads)[:, [[0, 1], [2, 3]]]
    changed, priority, new = ascend.rebalance_experts(table, slot_load)
    assert bool(changed) == bool(changes)
    for layer in range(len(loads)):
        assert (new[layer] != table[layer]).any() == (layer in changes)
    if changes:
        assert priority[0] == changes[0]
    assert new.shape == table.shape


def test_ascend_tables_without_devices_are_refused():
    with pytest.raises(ProblemError, match="current_expert_table has shape"):
        ascend.rebalance_experts(np.zeros((1, 0, 0), dtype=int), np.zeros((1, 0, 0), dtype=int))


@every
@pytest.mark.parametrize("ranks", [2, 3])
def test_ascend_replicas_of_an_expert_carry_its_load_together(drop_in, ranks):
    """Its share a replica, times their number, is the load: nothing is lost by replication."""
    load = np.array([[120, 7, 5]])
    placed = np.asarray(drop_in(torch.from_numpy(load), 2 * ranks, 1, 1, ranks))
    shares = load / counts(placed, ranks, 3)
    assert np.isclose(shares[0][placed[0]].sum(), 132)
