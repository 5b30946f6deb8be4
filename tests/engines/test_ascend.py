import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eplb_opt import Problem, ProblemError, evaluate
from eplb_opt.engines.ascend import fold, rebalance_experts


def refusals(old, new):
    """Layers that the engine's worker would refuse, with its reason: our own reading of it."""
    for layer_idx, (before, after) in enumerate(zip(old, new, strict=True)):
        if len(np.unique(after)) < len(np.unique(before)):
            yield layer_idx, "an expert is missing"
        for device_before, device_after in zip(before, after, strict=True):
            if len(np.unique(device_after)) < len(device_after):
                yield layer_idx, "an expert stands twice on a device"
            stays = np.isin(device_after, device_before)
            if (device_after[stays] != device_before[stays]).any():
                yield layer_idx, "an expert that stays changed its slot"


@st.composite
def calls(draw):
    """A table without an expert twice on a device, and loads of its slots."""
    num_devices, room = draw(st.integers(2, 5)), draw(st.integers(1, 4))
    num_slots = num_devices * room
    num_experts = draw(st.integers(max(room, num_slots // 2), num_slots))
    num_layers = draw(st.integers(1, 3))
    order = np.arange(num_slots) % num_experts
    shuffle = [draw(st.permutations(range(num_experts))) for _ in range(num_layers)]
    table = np.array([np.array(p)[order] for p in shuffle]).reshape(num_layers, num_devices, room)
    load = draw(st.lists(st.integers(-1, 99), min_size=table.size, max_size=table.size))
    return table, np.array(load).reshape(table.shape)


@settings(max_examples=150, deadline=None)
@given(calls(), st.sampled_from([0.0, 0.05, 1.0]))
def test_the_worker_would_refuse_nothing(call, least_gain):
    table, load = call
    changed, priority, new = rebalance_experts(table, load, least_gain=least_gain)
    assert list(refusals(table, new)) == []
    assert changed == int((new != table).any())
    assert sorted(priority) == list(range(len(table)))
    assert new.dtype == np.int64


@settings(max_examples=80, deadline=None)
@given(calls())
def test_no_layer_gets_worse_and_the_largest_gain_comes_first(call):
    table, load = call
    _, priority, new = rebalance_experts(table, load, least_gain=0.0)
    flat, slots = table.reshape(len(table), -1), np.maximum(load, 0).reshape(len(table), -1)
    problem = Problem(fold(flat, slots), flat.shape[1], table.shape[1], dispatch="rank_modulo")
    before, after = (evaluate(problem, t.reshape(flat.shape)).objective for t in (table, new))
    assert (after <= before).all()
    ratio = np.where(before > 0, after / np.where(before > 0, before, 1), 1)[priority]
    assert (np.diff(ratio) >= -1e-12).all()


HOT = np.array([[[0, 1, 2], [3, 4, 5], [6, 7, 0]]])
HOT_LOAD = np.array([[[400, 10, 10], [10, 10, 10], [10, 10, 200]]])


def test_loads_of_slots_are_added_up_by_the_table():
    load = fold(HOT.reshape(1, 9), HOT_LOAD.reshape(1, 9))
    assert load.tolist() == [[600, 10, 10, 10, 10, 10, 10, 10]]


def test_a_hot_expert_is_spread():
    table = np.array([[[0, 1], [2, 3], [4, 1]]])
    changed, priority, new = rebalance_experts(table, [[[600, 20], [30, 40], [50, 30]]])
    assert (changed, priority) == (1, [0])
    assert (new == 0).sum() == 2
    assert list(refusals(table, new)) == []


def test_a_gain_that_is_too_small_moves_nothing():
    table = np.array([[[0, 1], [2, 3]]])
    load = np.array([[[50, 52], [51, 49]]])  # swapping 0 and 3 evens it out
    assert rebalance_experts(table, load)[0] == 0
    assert (rebalance_experts(table, load)[2] == table).all()
    changed, _, new = rebalance_experts(table, load, least_gain=0.0)
    assert changed == 1
    assert (new != table).any()


def test_stages_are_added_and_slots_that_recorded_nothing_count_as_none():
    stages = np.stack([HOT_LOAD, np.full_like(HOT_LOAD, -1)])
    for ours, theirs in zip(
        rebalance_experts(HOT, stages), rebalance_experts(HOT, HOT_LOAD), strict=True
    ):
        assert np.array_equal(ours, theirs)


def test_float_loads_are_exact():
    changed, priority, new = rebalance_experts(HOT, HOT_LOAD / 4)
    plain = rebalance_experts(HOT, HOT_LOAD)
    assert (changed, priority) == plain[:2]
    assert (new == plain[2]).all()


def test_a_table_that_breaks_the_rules_is_replaced_whatever_it_gains():
    table = np.array([[[0, 0], [1, 2]]])
    changed, _, new = rebalance_experts(table, np.ones((1, 2, 2), dtype=int), least_gain=0.9)
    assert changed == 1
    problem = Problem([[2, 1, 1]], 4, 2, colocation="forbid")
    assert evaluate(problem, new.reshape(1, 4)).objective[0] == 2


def test_tensors_are_taken():
    torch = pytest.importorskip("torch")
    ours = rebalance_experts(torch.from_numpy(HOT), torch.from_numpy(HOT_LOAD))
    assert (torch.tensor(ours[2]) == torch.from_numpy(rebalance_experts(HOT, HOT_LOAD)[2])).all()


def test_tables_and_loads_that_do_not_fit_are_refused():
    with pytest.raises(ProblemError, match=r"every slot must hold"):
        rebalance_experts([[[0, -2]]], [[[1, 1]]])
    with pytest.raises(ProblemError, match=r"shape \[2\]"):
        rebalance_experts([0, 1], [1, 1])
    with pytest.raises(ProblemError, match=r"expert_workload has shape \[1, 1, 3\]"):
        rebalance_experts([[[0, 1]]], [[[1, 1, 1]]])


def test_by_default_the_worker_plans_better_than_the_greedy(monkeypatch):
    monkeypatch.delenv("EPLB_OPT_EFFORT", raising=False)
    rng = np.random.default_rng(2)
    table = np.stack([rng.permutation(np.arange(48) % 40).reshape(8, 6) for _ in range(2)])
    load = rng.lognormal(5, 1, table.shape).astype(np.int64)
    flat = table.reshape(2, -1)
    problem = Problem(fold(flat, load.reshape(2, -1)), 48, 8)
    plain, ours = (
        evaluate(problem, rebalance_experts(table, load, **kind)[2].reshape(2, -1)).objective
        for kind in ({"effort": 0}, {})
    )
    assert (ours <= plain).all()
    assert ours.sum() < plain.sum()
