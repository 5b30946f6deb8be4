"""The certificate of a lower bound, and its JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from eplb_opt.errors import FormatError

#: The characters of the longest text that is read: a longer one could exhaust the memory.
MAX_TEXT = 64_000_000
#: The digits of the longest integer of a certificate, and the most entries of its table.
MAX_DIGITS = 200
MAX_LISTS = 32
RATIONAL = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}(/[0-9]{{1,{MAX_DIGITS}}})?", re.ASCII)
#: The integers of a certificate are smaller than this in absolute value.
MAX_INTEGER = 10**MAX_DIGITS


class CertificateError(ValueError):
    """A certificate does not prove its bound."""


@dataclass(frozen=True)
class Certificate:
    """A proof of a lower bound of one layer.

    Parameters
    ----------
    kind
        The name of its verifier, a key of `certificates.VERIFIERS`.
    bound
        The claim, in the problem's integer units: no plan has a smaller largest GPU load.
    data
        The integers of the proof, and lists of integers, by name.

    Raises
    ------
    FormatError
        When a field has another type.
    """

    kind: str
    bound: Fraction
    data: dict[str, int | list[int]]

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str):
            raise FormatError(f"kind={self.kind!r} is no text.")
        if not isinstance(self.bound, Fraction):
            raise FormatError(f"bound={self.bound!r} is no Fraction.")
        if not isinstance(self.data, dict) or len(self.data) > MAX_LISTS:
            raise FormatError(f"data must be an object of at most {MAX_LISTS} entries.")
        for name, value in self.data.items():
            _check_integers(name, value)

    def to_json(self) -> str:
        """The certificate as a JSON text, which `from_json` reads."""
        return json.dumps(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The certificate as an object of JSON types; the bound is a text "p/q"."""
        return {"kind": self.kind, "bound": str(self.bound), "data": self.data}

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """The certificate that a JSON text holds.

        Raises
        ------
        FormatError
            When the text is no certificate; nothing in it is trusted.
        """
        if len(text) > MAX_TEXT:
            raise FormatError(f"the text has {len(text)} characters, more than {MAX_TEXT}.")
        try:
            document = json.loads(text, object_pairs_hook=_only_once)
        except FormatError:
            raise
        except (ValueError, RecursionError) as error:
            raise FormatError(f"this is no JSON: {error}.") from error
        return cls.from_dict(document)

    @classmethod
    def from_dict(cls, document: Any) -> Certificate:
        """The certificate of an object as `to_dict` makes it; raises as `from_json` does."""
        wanted = {"kind", "bound", "data"}
        if not isinstance(document, dict) or set(document) != wanted:
            raise FormatError(f"a certificate is an object with {', '.join(sorted(wanted))}.")
        return cls(document["kind"], _rational(document["bound"]), document["data"])


def _only_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise FormatError("an object has a key twice.")
    return document


def _rational(text: Any) -> Fraction:
    if not isinstance(text, str) or not RATIONAL.fullmatch(text):
        raise FormatError('bound must be a text "p" or "p/q" of two integers.')
    try:
        return Fraction(text)
    except ZeroDivisionError as error:
        raise FormatError("bound has the denominator 0.") from error


def _check_integers(name: Any, value: Any) -> None:
    if not isinstance(name, str):
        raise FormatError(f"data has the key {name!r}, no text.")
    for number in value if isinstance(value, list) else [value]:
        # A bool is an int to Python, and no number here.
        if type(number) is not int or abs(number) >= MAX_INTEGER:
            raise FormatError(f"data[{name!r}] must hold integers of at most {MAX_DIGITS} digits.")
