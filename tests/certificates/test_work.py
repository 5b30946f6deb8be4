"""What a hostile certificate may cost: a bounded amount of work, counted and not timed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from eplb_opt import Problem
from eplb_opt.certificates import VERIFIERS, Certificate, CertificateError, verify
from eplb_opt.certificates.work import limited, spend

LOAD = np.random.default_rng(0).lognormal(8, 1, (1, 64)).astype(np.int64)
MEAN = Fraction(int(LOAD.sum()), 36)
PAIRS = Problem(LOAD, 72, 36)
STEPS = Problem(np.stack([LOAD] * 3), 72, 36)


def pairs_of_many_rows() -> Certificate:
    """Rounds of rows that change nothing, on a level that closes nothing."""
    level, rounds, rows = 2 * MEAN, 300, 500
    data: dict[str, int | list[int]] = {
        "level": level.numerator,
        "scale": level.denominator,
        "digits": 1,
        "rounds": [rounds],
        "expert": [0],
        "count": [0],
        "entries": [rows] * rounds,
        "threshold": [1] * rounds * rows,
        "multiplier": [0] * rounds * rows,
    }
    return Certificate("pairs", level, data)


def division_of_many_parts() -> Certificate:
    """A part is split off, refuted at once, and so on."""
    number = 90_000
    scenario, level = [0, -1] * number, [2**40, 0] * number
    return Certificate("scenario_water", Fraction(1), {"scenario": scenario, "level": level})


HOSTILE = {"pairs": (PAIRS, pairs_of_many_rows), "water": (STEPS, division_of_many_parts)}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_certificate_that_asks_for_much_work_is_refused(name: str) -> None:
    problem, make = HOSTILE[name]
    with pytest.raises(CertificateError, match="more work to verify"):
        verify(problem, make())


def test_the_leaves_of_a_tree_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eplb_opt.certificates.MAX_UNITS", 1000)
    monkeypatch.setattr("eplb_opt.certificates.LEAVES", 0)
    problem = Problem(LOAD, 108, 12)
    value = {"value": LOAD[0].tolist()}
    bound = Fraction(int(LOAD.sum()), 12)
    with pytest.raises(CertificateError, match="more work to verify"):
        verify(problem, Certificate("config_lp", bound * Fraction(101, 100), value))


def test_work_is_counted_within_a_limit_alone() -> None:
    spend(10**18)
    with limited(10):
        spend(10)
        with pytest.raises(CertificateError):
            spend(1)
    spend(10**18)


def test_every_kind_of_certificate_has_a_verifier_that_can_be_found() -> None:
    problem = Problem([[3, 1]], 2, 2)
    for kind in VERIFIERS:
        with pytest.raises((CertificateError, ValueError)):
            verify(problem, Certificate(kind, Fraction(5), {"unknown": 1}))
