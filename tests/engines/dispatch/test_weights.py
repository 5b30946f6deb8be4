"""Weights beside an engine's map, and as whole tokens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt import Plan, ProblemError
from eplb_opt.engines.dispatch.weights import from_log2phy_prob, log2phy_prob, token_splits


def drawn(seed=0, num_layers=3):
    rng = np.random.default_rng(seed)
    rows = np.array([rng.permutation([*range(16), *rng.choice(16, 8)]) for _ in range(num_layers)])
    return Plan(rows, 8), rng.integers(0, 1000, (2, num_layers, 16))


def test_probabilities_stand_where_the_map_has_the_slots_and_come_back():
    plan, load = drawn()
    weights = eplb_opt.dispatch(plan, load)
    slots = np.pad(
        plan.logical_to_physical[:, :, ::-1], ((0, 0), (0, 0), (0, 2)), constant_values=-1
    )
    prob = log2phy_prob(weights, slots)
    assert prob.shape == (2, *slots.shape)
    np.testing.assert_allclose(prob.sum(-1), 1)
    assert not prob[:, slots < 0].any()
    layer, expert, place = np.argwhere(slots >= 0)[7]
    assert prob[1, layer, expert, place] == weights[1, layer, slots[layer, expert, place]]
    np.testing.assert_allclose(from_log2phy_prob(prob * 7, slots, plan.num_slots), weights)


def test_experts_without_any_probability_are_split_evenly():
    slots = np.array([[[0, 2, -1], [1, -1, -1]]])
    weights = from_log2phy_prob(np.zeros((1, 2, 3)), slots, 3)
    np.testing.assert_array_equal(weights, [[0.5, 1, 0.5]])


def test_forms_of_tensors_are_tensors():
    torch = pytest.importorskip("torch")
    plan, load = drawn()
    weights = eplb_opt.dispatch(plan, torch.tensor(load))
    prob = log2phy_prob(weights, torch.tensor(plan.logical_to_physical))
    parts = token_splits(weights, plan.physical_to_logical, torch.tensor(load))
    assert prob.dtype == torch.float64
    assert parts.dtype == torch.int64


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1, 7, 2**40]))
def test_whole_tokens_add_up_and_stay_within_one_of_their_quota(seed, scale):
    plan, load = drawn(seed, num_layers=1)
    tokens = load * scale + load % 3
    weights = eplb_opt.dispatch(plan, tokens)
    parts = token_splits(weights, plan.physical_to_logical, tokens)
    assert parts.min() >= 0
    for scenario in range(2):
        row = plan.physical_to_logical[0]
        sums = np.bincount(row, parts[scenario, 0], minlength=16)
        np.testing.assert_array_equal(sums, tokens[scenario, 0])
        quota = weights[scenario, 0] * tokens[scenario, 0][row]
        assert (np.abs(parts[scenario, 0] - quota) <= 1 + 1e-12 * quota).all()


def test_the_largest_remainders_get_what_is_left_and_the_lower_slot_of_equals():
    placed = np.array([[0, 0, 0, -1, 1, 1]])
    weights = np.array([[0.25, 0.45, 0.30, 0, 0.5, 0.5]])
    parts = token_splits(weights, placed, np.array([[5, 3]]))  # quotas 1.25 2.25 1.5, 1.5 1.5
    np.testing.assert_array_equal(parts, [[1, 2, 2, 0, 2, 1]])


def test_rounded_weights_cost_and_make_no_token():
    placed = np.zeros((1, 3), dtype=int)
    for weights in (
        [[1 / 3, 1 / 3, 1 / 3]],
        [[0.3, 0.3, 0.3]],
        [[1 / 3 + 1e-16, 2 / 3 + 1e-16, 0]],
    ):
        for tokens in (3, 10**6, 2**53 - 1):
            parts = token_splits(np.array(weights), placed, np.array([[tokens]]))
            assert parts.sum() == tokens
            assert parts.min() >= 0


def test_what_does_not_fit_is_refused():
    plan, load = drawn()
    weights = eplb_opt.dispatch(plan, load)
    with pytest.raises(ProblemError, match="shape"):
        log2phy_prob(weights, plan.physical_to_logical)
    with pytest.raises(ProblemError, match="up to 24"):
        log2phy_prob(weights, np.full((3, 16, 2), 24))
    with pytest.raises(ProblemError, match="shape"):
        from_log2phy_prob(weights, plan.logical_to_physical, 24)
    with pytest.raises(ProblemError, match="whole"):
        token_splits(weights, plan.physical_to_logical, load + 0.5)
    with pytest.raises(ProblemError, match="shape"):
        token_splits(weights, plan.physical_to_logical[:, :12], load)
    with pytest.raises(ProblemError, match="15 experts"):
        token_splits(weights, plan.physical_to_logical, load[..., :15])
    with pytest.raises(ProblemError, match="sum to 0"):
        token_splits(np.array([[0.0]]), np.array([[0]]), np.array([[1]]))
    with pytest.raises(ProblemError, match="no slot"):
        token_splits(np.array([[1.0]]), np.array([[0]]), np.array([[1, 2]]))
