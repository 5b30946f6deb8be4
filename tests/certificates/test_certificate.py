"""Certificates as JSON, and the table of verifiers."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from eplb_opt.certificates import GENERAL, VERIFIERS, Certificate, CertificateError, verify
from eplb_opt.errors import FormatError, ProblemError
from eplb_opt.problem.problem import Problem

GOOD = {"kind": "pairs", "bound": "7/3", "data": {"level": 12, "list": [1, -2, 10**30]}}


def test_certificate_survives_json():
    certificate = Certificate("pairs", Fraction(7, 3), {"level": 12, "list": [1, -2, 10**30]})
    assert Certificate.from_json(certificate.to_json()) == certificate
    assert json.loads(certificate.to_json()) == GOOD


@pytest.mark.parametrize(
    "change",
    [
        {"kind": 3},
        {"bound": 2.5},
        {"bound": "1/0"},
        {"bound": "1e9"},
        {"bound": " 1/2"},
        {"bound": "9" * 500},
        {"data": [1]},
        {"data": {"level": 1.5}},
        {"data": {"level": True}},
        {"data": {"list": [1, "2"]}},
        {"data": {"list": [[1]]}},
        {"data": {"list": None}},
        {"data": {"level": 10**300}},
        {"data": {str(i): 1 for i in range(100)}},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_no_certificate_is_refused(change):
    with pytest.raises(FormatError):
        Certificate.from_json(json.dumps(GOOD | change))


@pytest.mark.parametrize("text", ["", "[", "[1]", "null", '{"kind": "pairs"}', "[" * 100_000])
def test_text_that_is_no_object_is_refused(text):
    with pytest.raises(FormatError):
        Certificate.from_json(text)


def test_data_of_the_wrong_type_is_refused_without_json_too():
    with pytest.raises(FormatError, match="no Fraction"):
        Certificate("pairs", 2.5, {})
    with pytest.raises(FormatError, match="no text"):
        Certificate("pairs", Fraction(1), {3: 4})


def test_unknown_kind_lists_the_known_ones():
    with pytest.raises(CertificateError, match="'k9' is unknown; known: pairs, k2, config_lp"):
        verify(Problem([[1]], 2, 1), Certificate("k9", Fraction(1), {}))


def test_several_layers_are_refused():
    with pytest.raises(ProblemError, match="one layer, not 2"):
        verify(Problem([[1], [2]], 2, 1), Certificate("pairs", Fraction(1), {}))


@pytest.mark.parametrize("kind", sorted(set(VERIFIERS) - GENERAL))
def test_gpus_that_differ_are_refused(kind):
    problem = Problem([[7, 3, 2]], 6, 3, gpu_speed=[1.0, 2.0, 1.0])
    with pytest.raises(CertificateError, match=r"all alike|such a problem's objective"):
        verify(problem, Certificate(kind, Fraction(1), {}))


def test_table_names_module_and_function():
    assert all(entry.count(":") == 1 for entry in VERIFIERS.values())
