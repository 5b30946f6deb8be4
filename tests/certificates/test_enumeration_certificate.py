"""Certificates of enumerated layers: the claim alone, proven by looking at all counts."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.clock import Deadline
from eplb_opt.exact.enumeration import EnumerationModel
from eplb_opt.problem.problem import Problem
from tests.exact.starts import simple_start
from tests.oracle import optimum


def claim(problem, bound, **data):
    return verify(problem, Certificate("enumeration", bound, data))


@pytest.mark.parametrize("seed", range(200))
def test_optimum_is_proven_and_nothing_above_it(seed):
    rng = np.random.default_rng(seed)
    num_gpus = int(rng.integers(1, 5))
    load = rng.integers(0, int(rng.choice([4, 60, 10**6])), int(rng.integers(1, 2 * num_gpus + 1)))
    problem = Problem(load[None, :], 2 * num_gpus, num_gpus)
    best = optimum(problem)[0]
    assert claim(problem, best) == best
    for above in (best + Fraction(1, 10**4), best + 1, best * 2 + 1):
        with pytest.raises(CertificateError, match="less than"):
            claim(problem, above)


def test_model_s_answer_has_one():
    problem = Problem([[900, 410, 170, 80, 33]], 8, 4)
    answer = EnumerationModel()(problem, simple_start(problem), Fraction(0), Deadline())
    assert answer.certificate is not None
    assert verify(problem, answer.certificate) == answer.lower_bound == optimum(problem)[0]


@pytest.mark.parametrize(
    ("problem", "bound", "reason"),
    [
        (Problem([[9, 4, 2]], 9, 3), Fraction(5), "2 slots a GPU"),
        (Problem([list(range(1, 61))], 80, 40), Fraction(50), "too many"),
        (Problem([[2**61, 5, 3]], 6, 3), Fraction(2**59) + Fraction(1, 3), "too large"),
        (Problem([[9, 4, 2]], 6, 3), Fraction(4 * 10**150 + 1, 10**150), "too fine"),
    ],
)
def test_what_would_take_too_much_work_is_refused(problem, bound, reason):
    with pytest.raises(CertificateError, match=reason):
        claim(problem, bound)


def test_data_are_refused():
    with pytest.raises(CertificateError, match="no data"):
        claim(Problem([[9, 4, 2]], 6, 3), Fraction(1), value=[1])


def test_what_is_proven_without_counts_holds():
    problem = Problem([[9, 4, 2]], 6, 3)
    assert claim(problem, Fraction(0)) == 0
    assert claim(problem, Fraction(1)) == 1  # the water level
