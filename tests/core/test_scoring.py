"""The core's exact levels are those of `min_max_flow`, whose proofs are of any size."""

from fractions import Fraction

import numpy as np
import pytest

from eplb_opt import core
from eplb_opt.placement import scoring
from eplb_opt.placement.level_flow import least_level


def random_layer(rng, most):
    num_experts, num_gpus = int(rng.integers(1, 12)), int(rng.integers(1, 7))
    slots = -(-num_experts // num_gpus) + int(rng.integers(0, 4))
    extra = rng.integers(-1, num_experts, num_gpus * slots - num_experts)
    placed = rng.permutation(np.concatenate([np.arange(num_experts), extra]))[None]
    return rng.integers(0, most, (1, num_experts)), placed, num_gpus


@pytest.mark.parametrize("most", [2, 10, 10**6, 2**55, 2**58])
@pytest.mark.parametrize("has_speeds", [False, True])
def test_levels_are_exact(most, has_speeds):
    rng = np.random.default_rng(most % 1000)
    for _ in range(150):
        load, placed, num_gpus = random_layer(rng, most)
        speed = None
        if has_speeds:
            speed = tuple(Fraction(s) for s in rng.uniform(0.1, 10, num_gpus).tolist())
        hosts = scoring.expert_hosts(placed[0], load.shape[1], num_gpus)
        expected = least_level(load[0].tolist(), hosts, num_gpus, speed).level
        assert scoring.least_levels(load, placed, num_gpus, speed) == [expected]


def test_speeds_too_far_apart_for_the_core_are_scored_all_the_same():
    speed = (Fraction(2.0**-60), Fraction(3.0), Fraction(2.0**60))
    load, placed = np.array([[2**50, 7]]), np.array([[0, 0, 1]])
    tokens, tight = np.empty(1, np.int64), np.zeros((1, 3), dtype=bool)
    rate = np.array([1, 2**61, 2**61], dtype=np.int64)
    core.scoring.least_levels(np.array([[2**62, 7]]), placed, rate, tokens, tight)
    assert tokens[0] == -1
    hosts = [[0, 1], [2]]
    expected = least_level(load[0].tolist(), hosts, 3, speed).level
    assert scoring.least_levels(load, placed, 3, speed) == [expected]


def test_a_long_chain_of_gpus_needs_no_deep_recursion():
    # Expert e is on GPUs e and e + 1, in a ring, so what is too much on one moves on along all.
    num = 3000
    placed = np.roll(np.repeat(np.arange(num), 2), 1)[None]
    load = np.ones((1, num), dtype=np.int64)
    load[0, 0] = 5
    # The first expert's GPUs carry it together with what cannot leave them: nothing.
    assert scoring.least_levels(load, placed, num) == [Fraction(5, 2)]
    load[0, 0] = 2
    assert scoring.least_levels(load, placed, num) == [Fraction(num + 1, num)]


def test_an_expert_that_stands_nowhere_is_refused():
    tokens, tight = np.empty(1, np.int64), np.zeros((1, 1), dtype=bool)
    with pytest.raises(ValueError, match="nowhere"):
        core.scoring.least_levels(
            np.array([[1, 2]]), np.array([[0, 0]]), np.ones(1, np.int64), tokens, tight
        )
