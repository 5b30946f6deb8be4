"""The core's exact levels are those of `min_max_flow`, whose proofs are of any size."""

import random
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


def plans_of_any_size(rng, num_experts, num_slots):
    """Layers in which every expert stands somewhere, int64 [5, num_slots]."""
    spare = num_slots - num_experts
    rows = [[*range(num_experts), *rng.integers(0, num_experts, spare)] for _ in range(5)]
    return rng.permuted(np.array(rows), axis=1)


@pytest.mark.parametrize("most", [3, 2**40, 2**55])
@pytest.mark.parametrize(("num_experts", "num_slots"), [(2, 60), (7, 12), (12, 12), (3, 24)])
@pytest.mark.parametrize("has_speeds", [False, True])
def test_largest_loads_are_exact_whatever_int64_holds(most, num_experts, num_slots, has_speeds):
    rng = np.random.default_rng(most % 1000 + num_slots)
    load = rng.integers(0, most, (5, num_experts))
    placed = plans_of_any_size(rng, num_experts, num_slots)
    speed = [Fraction(1), Fraction(1, 3), Fraction(5, 2)] if has_speeds else [Fraction(1)] * 3
    wanted = []
    for weight, row in zip(load.tolist(), placed.tolist(), strict=True):
        part = [Fraction(w, row.count(expert)) for expert, w in enumerate(weight)]
        size = num_slots // 3
        gpus = [row[gpu * size : (gpu + 1) * size] for gpu in range(3)]
        sums = [sum(part[e] for e in held) for held in gpus]
        wanted.append(max(value / by for value, by in zip(sums, speed, strict=True)))
    assert scoring.largest_gpu_loads(load, placed, 3, tuple(speed)) == wanted
    if not has_speeds:
        assert scoring.largest_gpu_loads(load, placed, 3) == wanted


def test_odd_senders_are_dealt_as_python_draws_them():
    draws = random.Random(7)
    counts = [2, 3, 5, 21, 22, 40, 60, 200, 2, 33]
    odd = [1, 0, 4, 20, 5, 6, 17, 30, 0, 21]
    left = [o + 3 * c for o, c in zip(odd, counts, strict=True)]
    starts = np.cumsum([0, *counts[:-1]])
    extra = np.zeros(sum(counts), dtype=np.int64)
    state = np.array(draws.getstate()[1], dtype=np.uint32)
    given = (np.array(values, dtype=np.int64) for values in (left, odd, counts, starts))
    core.scoring.deal(state, *given, extra)
    wanted = np.zeros(sum(counts), dtype=np.int64)
    for start, count, num, senders in zip(starts.tolist(), counts, odd, left, strict=True):
        wanted[[start + place for place in draws.sample(range(count), num)]] = 1
        draws.shuffle(list(range(senders)))
    assert extra.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("left", 0, "left"),
        ("odd", 2, "odd"),
        ("count", 0, "count"),
        ("start", 4, "beyond the end"),
        ("start", -1, "beyond the end"),
    ],
)
def test_a_deal_beyond_its_replicas_is_refused(name, value, match):
    given = {"left": 3, "odd": 1, "count": 2, "start": 3, name: value}
    rows = {key: np.array([number]) for key, number in given.items()}
    state = np.array(random.Random(0).getstate()[1], dtype=np.uint32)
    with pytest.raises(ValueError, match=match):
        core.scoring.deal(state, **rows, extra=np.zeros(5, dtype=np.int64))
