"""Certificates for two slots a GPU: true ones pass in milliseconds, tampered ones do not."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.clock import Deadline
from eplb_opt.exact.pairs.model import PairsModel
from eplb_opt.problem.problem import Problem
from tests.exact.pairs_cases import best_value, lognormal, random_pairs
from tests.exact.starts import round_robin, water_filled


@cache
def certified():
    """A layer of a real size whose certificate branches, and the certificate."""
    problem = lognormal(0.5, 1, 256, 288)
    answer = PairsModel()(problem, water_filled(problem), Fraction(0), Deadline.after(60))
    assert answer.certificate is not None
    return problem, answer.certificate


def tampered(**changes):
    certificate = certified()[1]
    return replace(certificate, data=certificate.data | changes)


def test_true_certificate_passes_in_milliseconds():
    problem, certificate = certified()
    begin = time.monotonic()
    assert verify(problem, certificate) == certificate.bound
    assert time.monotonic() - begin < 0.3


def test_verified_certificate_survives_json():
    problem, certificate = certified()
    assert verify(problem, Certificate.from_json(certificate.to_json())) == certificate.bound


def test_verification_loads_no_backend_and_no_solver():
    code = (
        "import sys, eplb_opt.certificates.pairs; "
        "print([m for m in sys.modules if m.split('.')[0] in ('ortools', 'scipy', 'pulp')"
        " or m.startswith('eplb_opt.exact.pairs.model')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_higher_bound_is_rejected():
    problem, certificate = certified()
    for more in (Fraction(1, 10**6), Fraction(1), certificate.bound):
        with pytest.raises(CertificateError, match="but not"):
            verify(problem, replace(certificate, bound=certificate.bound + more))


def test_fraction_next_above_the_optimum_is_rejected():
    # With p/q the optimum, b p + 1 = a q makes a/b the nearest claim above it with so small a
    # denominator: nearer than it takes two loads of GPUs to differ, were their counts ignored.
    num_tried = 0
    for seed in range(250):
        problem = random_pairs(seed)
        p, q = best_value(problem).as_integer_ratio()
        if q < problem.num_slots - problem.num_experts + 1 or q == 1:
            continue
        answer = PairsModel()(problem, round_robin(problem), Fraction(0), Deadline.after(30))
        if answer.certificate is not None:
            b = -pow(p, -1, q) % q
            with pytest.raises(CertificateError, match="but not"):
                verify(problem, replace(answer.certificate, bound=Fraction(b * p + 1, q * b)))
            num_tried += 1
    assert num_tried > 5


def test_higher_level_is_rejected():
    problem, certificate = certified()
    level = certificate.data["level"] * 11 // 10
    with pytest.raises(CertificateError):
        verify(problem, tampered(level=level))
    with pytest.raises(CertificateError):
        verify(problem, tampered(scale=certificate.data["scale"] // 2))


def test_other_loads_are_rejected():
    problem, certificate = certified()
    lighter = Problem(problem.load * 9 // 10, problem.num_slots, problem.num_gpus)
    with pytest.raises(CertificateError):
        verify(lighter, certificate)
    more_gpus = Problem(problem.load, problem.num_slots + 20, problem.num_gpus + 10)
    with pytest.raises(CertificateError):
        verify(more_gpus, certificate)


def test_every_price_counts():
    problem, certificate = certified()
    prices = certificate.data["multiplier"]
    zeroed = [0] * len(prices)
    with pytest.raises(CertificateError):
        verify(problem, tampered(multiplier=zeroed))
    with pytest.raises(CertificateError):
        verify(problem, tampered(multiplier=[-prices[0], *prices[1:]]))
    with pytest.raises(CertificateError):
        verify(problem, tampered(multiplier=[10**60, *prices[1:]]))
    with pytest.raises(CertificateError):
        verify(problem, tampered(multiplier=prices[:-1]))


def test_one_changed_multiplier_never_proves_more_than_the_optimum():
    # A changed proof may still be one; what it must never do is prove a false bound.
    rng = np.random.default_rng(0)
    num_rejected = 0
    for seed in range(150):
        problem = random_pairs(seed)
        answer = PairsModel()(problem, round_robin(problem), Fraction(0), Deadline.after(30))
        if answer.certificate is None:
            continue
        best = best_value(problem)
        for _ in range(8):
            changed = with_one_change(answer.certificate, rng)
            try:
                assert verify(problem, changed) <= best
            except CertificateError:
                num_rejected += 1
    assert num_rejected > 100


def with_one_change(certificate, rng):
    """One integer of it changed, and the bound raised by a little half of the time."""
    data = {k: list(v) if isinstance(v, list) else v for k, v in certificate.data.items()}
    name = sorted(data)[rng.integers(len(data))]
    factor, shift = int(rng.integers(0, 4)), int(rng.integers(-2, 3))
    if not isinstance(data[name], list):
        data[name] = max(data[name] * factor + shift, 1)
    elif data[name]:
        at = int(rng.integers(len(data[name])))
        data[name][at] = data[name][at] * factor + shift
    raised = certificate.bound * (1 + Fraction(int(rng.integers(2)), 1000))
    return Certificate("pairs", raised, data)


@pytest.mark.parametrize(
    "changes",
    [
        {"rounds": []},
        {"entries": []},
        {"expert": [10**40], "count": [1], "rounds": [1]},
        {"count": []},
        {"threshold": 5},
        {"level": [1]},
        {"level": 0},
        {"digits": 10**100},
        {"entries": [10**50]},
        {"threshold": [10**100], "multiplier": [1], "entries": [1], "rounds": [1]},
        {"rounds": [0] * 200_000},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_nonsense_is_rejected(changes):
    with pytest.raises(CertificateError):
        verify(certified()[0], tampered(**changes))


def test_missing_and_further_entries_are_rejected():
    problem, certificate = certified()
    data = dict(certificate.data)
    del data["count"]
    with pytest.raises(CertificateError):
        verify(problem, replace(certificate, data=data))
    with pytest.raises(CertificateError):
        verify(problem, tampered(more=1))


def test_other_slots_a_gpu_are_rejected():
    with pytest.raises(CertificateError, match="2 slots a GPU, not 3"):
        verify(Problem([[1, 2]], 6, 2), certified()[1])


def test_a_certificate_of_an_older_file_is_verified():
    problem, certificate = certified()
    assert certificate.kind == "pairs"
    assert verify(problem, replace(certificate, kind="k2")) == certificate.bound
