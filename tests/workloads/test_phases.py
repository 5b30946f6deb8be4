"""Prefill and decode are told apart by the size of their steps."""

import numpy as np
import pytest

from eplb_opt.errors import ProblemError
from eplb_opt.workloads.phases import phases


def steps_of(sizes, seed=0):
    source = np.random.default_rng(seed)
    shares = {True: source.dirichlet(np.ones(8), 2), False: source.dirichlet(np.ones(8), 2)}
    return np.array([source.multinomial(n, shares[n > 2000]) for n in sizes])


def test_small_steps_are_decode_and_large_ones_prefill():
    sizes = [64, 8192, 60, 70, 4096, 58, 0, 64]
    steps = steps_of(sizes)
    found = phases(steps)
    assert (found.num_prefill, found.num_decode) == (2, 5)
    np.testing.assert_array_equal(found.prefill, steps[[1, 4]].sum(axis=0))
    np.testing.assert_array_equal(found.decode, steps.sum(axis=0) - found.prefill)
    assert found.least_prefill == 2 * 4096
    assert [len(found.loads(name)) for name in ("prefill", "decode", "both")] == [1, 1, 2]


@pytest.mark.parametrize("sizes", [[64, 65, 66, 70], [64]])
def test_steps_of_one_size_are_of_one_phase(sizes):
    with pytest.raises(ProblemError, match="phase"):
        phases(steps_of(sizes))
