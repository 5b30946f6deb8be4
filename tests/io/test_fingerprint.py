"""Fingerprints differ where content does, and only there."""

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest

from eplb_opt.errors import FormatError
from eplb_opt.io.fingerprint import fingerprint, value_fingerprint


def test_of_a_file_it_is_what_sha256sum_prints(tmp_path):
    (tmp_path / "a").write_bytes(b"loads")
    assert fingerprint(tmp_path / "a") == hashlib.sha256(b"loads").hexdigest()


def test_of_a_folder_it_changes_with_names_and_with_contents(tmp_path):
    seen = set()
    for change in (
        lambda: (tmp_path / "a").write_bytes(b"1"),
        lambda: (tmp_path / "b").write_bytes(b"2"),
        lambda: (tmp_path / "b").write_bytes(b"3"),
        lambda: (tmp_path / "b").rename(tmp_path / "c"),
    ):
        change()
        seen.add(fingerprint(tmp_path))
    assert len(seen) == 4
    assert fingerprint(tmp_path) in seen


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(FormatError, match="cannot be read"):
        fingerprint(tmp_path / "absent")


@dataclass
class Thing:
    name: str
    size: int = 0
    cache: object = field(default=None, repr=False)


#: All of them differ.
VALUES = [
    *(None, 0, 1, True, "1", "", 1.0, 0.1, -0.0, 0.0, Fraction(1, 3), Fraction(1)),
    *([], [[]], [1], [[1]], ["ab"], ["a", "b"], {}, {"a": 1}, {"a": 2}, {"b": 1}),
    *(np.arange(3), np.arange(3.0), np.arange(3, dtype=np.int32), np.arange(4), np.zeros((0, 2))),
    *(np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2), np.bool_(True)),
    *(Thing("a"), Thing("b"), Thing("a", 1), [Thing("a")]),
]


def test_values_that_differ_have_other_fingerprints():
    assert len({value_fingerprint(value) for value in VALUES}) == len(VALUES)


def test_equal_values_have_one_whatever_they_are_made_of():
    square = np.arange(6).reshape(2, 3)
    pairs = [
        ((1, 2), [1, 2]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (square, np.asfortranarray(square)),
        (square, square.astype(">i8")),
        (Thing("a", cache=object()), Thing("a")),
        (np.int64(3), np.array(3)),
    ]
    for one, other in pairs:
        assert value_fingerprint(one) == value_fingerprint(other)


def test_it_is_the_same_on_every_machine():
    wanted = "cdb3"
    assert value_fingerprint(["loads", 3, 0.5, np.arange(2)])[:4] == wanted


def test_what_has_no_fingerprint_is_refused():
    with pytest.raises(TypeError, match="object has no fingerprint"):
        value_fingerprint([object()])
