"""The files of a job's layers: what is written comes back, and nothing else is taken."""

from __future__ import annotations

import copy
import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eplb_opt.bounds.bounds import Bound
from eplb_opt.certificates import Certificate
from eplb_opt.errors import FormatError
from eplb_opt.planner.job.records import Record, layer_document, read_layer
from eplb_opt.solver import Answer, Verdict

PROOF = Certificate("pairs", Fraction(7, 3), {"levels": [1, 2]})
ANSWER = Answer(
    np.array([0, 1, -1]), Bound(Fraction(7, 3), "k2"), PROOF, Verdict.FINISHED, False, "hm", "", 0.5
)
RECORD = Record("pairs", 3, ANSWER, Fraction(9, 2))


def there_and_back(record):
    document = json.loads(json.dumps(layer_document("fp", 4, [record])))
    return read_layer(document, "fp", 4)[0]


def test_a_record_comes_back_as_it_was():
    back = there_and_back(RECORD)
    assert back.to_dict() == RECORD.to_dict()
    np.testing.assert_array_equal(back.answer.placed, ANSWER.placed)
    assert back.answer.bound == ANSWER.bound
    assert back.answer.certificate == PROOF
    assert back.answer.verdict is Verdict.FINISHED


@given(st.integers(-(10**40), 10**40), st.integers(1, 10**40), st.integers(0, 20_000))
def test_rationals_come_back_exactly_however_long(whole, parts, bits):
    value = Fraction(whole << bits, parts) if bits % 2 else Fraction(whole, parts << bits)
    record = Record("s", 1, Answer(np.zeros(1, dtype=int)), value)
    assert there_and_back(record).objective == value


def test_what_a_later_turn_brought_counts_and_what_it_did_not_stays():
    nothing = Record("pairs", 1, Answer(verdict=Verdict.AGAIN, seconds=2.0))
    both = RECORD.followed_by(nothing)
    assert both.turns == 4
    assert both.answer.placed is ANSWER.placed
    assert both.answer.certificate is PROOF
    assert both.answer.verdict is Verdict.AGAIN
    assert both.answer.seconds == 2.5
    higher = Record("pairs", 1, Answer(bound=Bound(Fraction(5, 2), "k2")))
    # The old certificate does not prove the new bound.
    assert RECORD.followed_by(higher).answer.certificate is None


BAD = {
    "stage": [3, "x" * 20_000],
    "turns": [-1, 1.0, True, 10**15],
    "seconds": ["1", -1, float("inf"), float("nan")],
    "verdict": ["NEVER", None],
    "message": [None],
    "reason": [1],
    "preferred": [0, "yes"],
    "plan": [None, "12", [1.5], [True], [2**40], [-2], [[1]]],
    "objective": [None, 4, "4.5", "1/0", "07", "1e5", "0x", "9" * 5000, " 4"],
    "bound": [None, 2.0, "a"],
    "source": [None, 4],
    "certificate": [{}, [], {"kind": "pairs", "bound": "x", "data": {}}],
}


@pytest.mark.parametrize(("key", "value"), [(key, v) for key, vs in BAD.items() for v in vs])
def test_a_changed_record_is_refused(key, value):
    document = layer_document("fp", 4, [RECORD])
    document["records"][0][key] = value
    with pytest.raises(FormatError):
        read_layer(document, "fp", 4)


@pytest.mark.parametrize(
    "change",
    [
        {"job": "other"},
        {"layer": 5},
        {"records": {}},
        {"records": [3]},
        {"eplb_opt_job_layer": 2},
        {"more": 1},
    ],
    ids=str,
)
def test_a_file_of_something_else_is_refused(change):
    with pytest.raises(FormatError):
        read_layer({**copy.deepcopy(layer_document("fp", 4, [RECORD])), **change}, "fp", 4)
