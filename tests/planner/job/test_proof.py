"""What of a layer's records is believed, and what is left of the others."""

from __future__ import annotations

from fractions import Fraction

import pytest

from eplb_opt import FormatError, Problem
from eplb_opt.bounds.bounds import Bound, flat_bounds
from eplb_opt.certificates import Certificate
from eplb_opt.placement import scoring
from eplb_opt.planner.job.proof import verified
from eplb_opt.planner.job.records import Record
from eplb_opt.search.starts import first_plan
from eplb_opt.solver import Answer, Verdict

PROBLEM = Problem([[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86]], 16, 8)
PLACED = first_plan(PROBLEM)[0]
WORTH = scoring.objectives(PROBLEM, PLACED[None])[0]
KNOWN = flat_bounds(PROBLEM)[0].value
GOOD = Record("search", 2, Answer(PLACED), WORTH)


def bound(value, proof=None):
    """A record of a bound, with what a certificate claims beside it."""
    certificate = None if proof is None else Certificate("enumeration", Fraction(proof), {})
    answer = Answer(None, Bound(Fraction(value), "k2"), certificate, Verdict.FINISHED)
    return Record("pairs", 1, answer)


def optimum():
    import eplb_opt

    return eplb_opt.plan(PROBLEM, effort=20).bounds[0].lower


def test_a_true_record_stays_as_it_is():
    best = optimum()
    records = [GOOD, bound(best, best), GOOD]
    found = verified(PROBLEM, records, KNOWN, True)
    assert found.records == records
    assert found.unproven == ()


def test_a_bound_that_is_known_anyway_needs_no_certificate():
    assert verified(PROBLEM, [bound(KNOWN)], KNOWN, True).records


@pytest.mark.parametrize("proof", [None, KNOWN], ids=["none", "of less"])
def test_where_work_is_counted_all_that_came_after_an_unproven_bound_is_left_out(proof):
    records = [GOOD, bound(optimum(), proof), GOOD]
    found = verified(PROBLEM, records, KNOWN, True)
    assert found.records == [GOOD]
    assert found.unproven == ("k2",)


def test_under_a_clock_the_rest_is_kept_and_the_solver_asked_again():
    records = [bound(optimum(), KNOWN), GOOD]
    first, second = verified(PROBLEM, records, KNOWN, False).records
    assert second is GOOD
    assert first.answer.bound.value == KNOWN
    assert first.answer.verdict is Verdict.AGAIN
    assert first.turns == 0


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (Record("search", 1, Answer(PLACED[:-1]), WORTH), "has 15 slots, not 16"),
        (Record("search", 1, Answer(PLACED * 0), WORTH), "breaks a rule"),
        (Record("search", 1, Answer(PLACED), WORTH - 1), "is worth"),
        (bound(10**6, 10**6), "proves nothing"),
    ],
)
def test_what_is_not_true_is_an_error(record, words):
    with pytest.raises(FormatError, match=words):
        verified(PROBLEM, [record], KNOWN, True)
