"""Certificates with a tree of counts: every plan is in a leaf, and lies are found."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.certificates.config_lp import least_load
from eplb_opt.clock import Deadline
from eplb_opt.exact.config_lp.model import ConfigLpModel, ConfigLpParams
from eplb_opt.problem.problem import Problem
from tests.certificates.test_config_lp import brute_least_load
from tests.exact.starts import simple_start
from tests.exact.test_config_lp import random_flat
from tests.oracle import optimum

PROBLEM = Problem([[90, 41, 17, 8, 3]], 8, 4)
BEST = optimum(PROBLEM)[0]


def data(expert=(0, -1, -1), count=(2, 0, 0), value=(90, 41, 17, 8, 3) * 2):
    return {"expert": list(expert), "count": list(count), "value": list(value)}


def made(seed):
    """A tiny problem and the model's tree for it, if it needed one."""
    problem = random_flat(seed)
    model = ConfigLpModel(ConfigLpParams(min_gain=1e-6))
    answer = model(problem, simple_start(problem), Fraction(0), Deadline(), effort=200)
    certificate = answer.certificate
    is_tree = certificate is not None and certificate.kind == "config_lp_tree"
    return problem, certificate if is_tree else None


@pytest.mark.parametrize("seed", range(60))
def test_knapsack_within_a_window_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    num_gpus, slots_per_gpu = [(2, 2), (2, 3), (3, 3), (2, 4), (4, 1)][seed % 5]
    num_slots = num_gpus * slots_per_gpu
    load = rng.integers(0, 100, int(rng.integers(1, min(num_slots, 4) + 1)))
    value = [int(v) for v in rng.integers(0, 100, len(load))]
    below = Fraction(int(rng.integers(1, 400)), int(rng.integers(1, 7)))
    low = [int(c) for c in rng.integers(1, 3, len(load))]
    high = [c + int(more) for c, more in zip(low, rng.integers(0, 4, len(load)), strict=True)]
    found = least_load(load, num_slots, num_gpus, value, below, (low, high))
    expected = brute_least_load(load.tolist(), num_slots, num_gpus, value, below, (low, high))
    assert found <= expected
    assert float(found) == pytest.approx(float(expected), rel=1e-12)


def test_trees_of_tiny_problems_hold_and_prove_no_more():
    rng, num_trees = np.random.default_rng(0), 0
    for seed in range(400):
        problem, certificate = made(seed)
        if certificate is None:
            continue
        num_trees += 1
        best = optimum(problem)[0]
        assert verify(problem, certificate) == certificate.bound <= best
        for _ in range(5):
            changed = {name: list(entries) for name, entries in certificate.data.items()}
            entries = changed[str(rng.choice(list(changed)))]
            entries[rng.integers(len(entries))] += int(rng.integers(-3, 4))
            with pytest.raises(CertificateError):
                verify(problem, Certificate(certificate.kind, best + Fraction(1, 999), changed))
    assert num_trees > 20


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (data(), "a leaf proves"),
        (data(expert=(0, -1)), "a count for each"),
        (data(expert=(), count=(), value=()), "1 to"),
        (data(expert=(5, -1, -1)), "another one"),
        (data(expert=(-2, -1, -1)), "another one"),
        (data(value=(1,) * 9), "each leaf needs 5"),
        (data(value=(-1,) * 10), "each leaf needs 5"),
        (data(expert=(-1, -1), count=(0, 0)), "after its last leaf"),
        (data(expert=(0, -1), count=(2, 0), value=(90, 41, 17, 8, 3)), "before its last leaf"),
        (data() | {"more": [1]}, "and no more"),
        (data() | {"value": 7}, "and no more"),
        ({}, "and no more"),
    ],
)
def test_false_trees_are_rejected(changed, reason):
    # Every leaf that is there holds at a bound so low, so that only the tree is at fault.
    bound = Fraction(1, 3) if reason.endswith("last leaf") else BEST + 1
    with pytest.raises(CertificateError, match=reason):
        verify(PROBLEM, Certificate("config_lp_tree", bound, changed))


@pytest.mark.parametrize("count", [-(10**150), -1, 0, 8, 10**150])
def test_counts_that_no_plan_has_leave_all_plans_to_the_other_child(count):
    big = [w * 2**30 for w in (90, 41, 17, 8, 3)] * 2
    bound = Fraction(159, 4) * (1 - Fraction(1, 2**20))
    tree = data(count=(count, 0, 0), value=big)
    assert verify(PROBLEM, Certificate("config_lp_tree", bound, tree)) == bound
    with pytest.raises(CertificateError):
        verify(PROBLEM, Certificate("config_lp_tree", BEST + 1, tree))


def test_bound_of_nothing_holds():
    assert verify(PROBLEM, Certificate("config_lp_tree", Fraction(0), data())) == 0
