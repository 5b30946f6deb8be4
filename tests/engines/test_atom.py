import numpy as np
import pytest

from eplb_opt import ProblemError
from eplb_opt.engines.atom import rebalance_layer

LOAD = np.array([90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86])


def test_ranks_number_an_experts_replicas_from_zero_on():
    placed, rank, count = rebalance_layer(LOAD, 16, 8)
    assert placed.shape == rank.shape == (16,)
    for expert in range(12):
        assert rank[placed == expert].tolist() == list(range(count[expert]))


def test_survivors_keep_their_slot():
    placed = rebalance_layer(LOAD, 16, 8)[0]
    turned = placed.reshape(8, 2)[:, ::-1].ravel()
    kept, rank, _ = rebalance_layer(LOAD, 16, 8, turned)
    assert (kept == turned).all()
    assert rank[kept == 5].tolist() == [0, 1]


def test_the_answer_is_of_the_callers_kind():
    torch = pytest.importorskip("torch")
    tensors, arrays = rebalance_layer(torch.from_numpy(LOAD), 16, 8), rebalance_layer(LOAD, 16, 8)
    for tensor, array in zip(tensors, arrays, strict=True):
        assert tensor.dtype == torch.int64
        assert isinstance(array, np.ndarray)
        assert (tensor.numpy() == array).all()


def test_more_than_a_layer_is_refused():
    with pytest.raises(ProblemError, match=r"must be \[num_experts\]"):
        rebalance_layer(LOAD[None], 16, 8)
