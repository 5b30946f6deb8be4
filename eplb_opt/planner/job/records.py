"""What a job keeps of the turns on a layer, and its JSON; nothing that is read is believed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bounds.bounds import Bound
from eplb_opt.certificates.certificate import Certificate
from eplb_opt.errors import FormatError
from eplb_opt.solver import Answer, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Marks a file of one layer, with the version of its format.
MARK, FORMAT = "eplb_opt_job_layer", 1
KEYS = {
    "stage",
    "turns",
    "seconds",
    "verdict",
    "message",
    "reason",
    "preferred",
    "plan",
    "objective",
    "bound",
    "source",
    "certificate",
}
#: A text of a file is no longer than this, and a plan has at most so many slots.
MAX_TEXT, MAX_SLOTS = 10_000, 10**7
#: Numbers of turns are below this.
MAX_TURNS = 10**12
#: An integer of more bits is written in hexadecimal digits, whose reading takes no more than time
#: in proportion; objectives of many scenarios have thousands of digits.
MAX_DECIMAL_BITS = 3000
INTEGER = "(?:[0-9]{1,1000}|0x[0-9a-f]{1,100000})"
RATIONAL = re.compile(f"(-?{INTEGER})(?:/({INTEGER}))?", re.ASCII)


@dataclass(frozen=True, eq=False)
class Record:
    """The turns of one solver on one layer, as one answer: what of it has counted.

    Parameters
    ----------
    stage
        The solver's stage.
    turns
        The number of its turns; 0 where it is to have them again.
    answer
        The last plan that was taken and the last bound, and what the last turn said.
    objective
        What that plan is worth, exact; None without a plan.
    """

    stage: str
    turns: int
    answer: Answer
    objective: Fraction | None = None

    def followed_by(self, later: Record) -> Record:
        """Both records as one; what the later one brought counts."""
        old, new = self.answer, later.answer
        has_plan, has_bound = new.placed is not None, new.bound is not None
        return replace(
            later,
            turns=self.turns + later.turns,
            objective=later.objective if has_plan else self.objective,
            answer=replace(
                new,
                placed=new.placed if has_plan else old.placed,
                preferred=new.preferred if has_plan else old.preferred,
                bound=new.bound if has_bound else old.bound,
                certificate=new.certificate or (None if has_bound else old.certificate),
                seconds=old.seconds + new.seconds,
                message=old.message or new.message,
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """The record as an object of JSON types."""
        answer = self.answer
        plan = None if answer.placed is None else np.asarray(answer.placed).tolist()
        return {
            "stage": self.stage,
            "turns": self.turns,
            "seconds": answer.seconds,
            "verdict": answer.verdict.name,
            "message": answer.message,
            "reason": answer.reason,
            "preferred": bool(answer.preferred),
            "plan": plan,
            "objective": None if self.objective is None else _text(self.objective),
            "bound": None if answer.bound is None else _text(answer.bound.value),
            "source": None if answer.bound is None else answer.bound.source,
            "certificate": None if answer.certificate is None else answer.certificate.to_dict(),
        }

    @classmethod
    def from_dict(cls, entry: Any) -> Record:
        """The record of an object as `to_dict` makes it.

        Raises
        ------
        FormatError
            When it is none; whether it is true is `proof`'s to say.
        """
        if not isinstance(entry, dict) or set(entry) != KEYS:
            raise FormatError(f"a record has the keys {', '.join(sorted(KEYS))}.")
        texts = {name: entry[name] for name in ("stage", "verdict", "message", "reason")}
        for name, text in texts.items():
            if not isinstance(text, str) or len(text) > MAX_TEXT:
                raise FormatError(f"{name} is no text of at most {MAX_TEXT} characters.")
        if texts["verdict"] not in Verdict.__members__:
            raise FormatError(f"verdict {texts['verdict']!r} is none.")
        turns, seconds, preferred = entry["turns"], entry["seconds"], entry["preferred"]
        if type(turns) is not int or not 0 <= turns < MAX_TURNS:
            raise FormatError("turns is no number of turns.")
        if type(seconds) not in (int, float) or not 0 <= seconds < float("inf"):
            raise FormatError("seconds is no time.")
        if type(preferred) is not bool:
            raise FormatError("preferred is neither true nor false.")
        placed = _plan(entry["plan"])
        objective = _rational(entry["objective"], "objective")
        if (placed is None) != (objective is None):
            raise FormatError("a plan and its objective come together.")
        value, source = _rational(entry["bound"], "bound"), entry["source"]
        if (value is None) != (source is None) or not isinstance(source, str | None):
            raise FormatError("a bound and its source come together.")
        proof = entry["certificate"]
        answer = Answer(
            placed,
            None if value is None else Bound(value, str(source)[:MAX_TEXT]),
            None if proof is None else Certificate.from_dict(proof),
            Verdict[texts["verdict"]],
            preferred,
            texts["message"],
            texts["reason"],
            float(seconds),
        )
        return cls(texts["stage"], turns, answer, objective)


def layer_document(fingerprint: str, layer_idx: int, records: Sequence[Record]) -> dict[str, Any]:
    """The content of a layer's file.

    Parameters
    ----------
    fingerprint
        Of the job, so that no file of another one is taken for its own.
    layer_idx, records
        The layer, and what is known of it in the order in which it was found.
    """
    return {
        MARK: FORMAT,
        "job": fingerprint,
        "layer": layer_idx,
        "records": [record.to_dict() for record in records],
    }


def read_layer(document: Any, fingerprint: str, layer_idx: int) -> list[Record]:
    """The records of a layer's file.

    Raises
    ------
    FormatError
        When the file is another one.
    """
    if not isinstance(document, dict) or document.get(MARK) != FORMAT:
        raise FormatError(f"this is no file of a job's layer (format {FORMAT}).")
    if set(document) != {MARK, "job", "layer", "records"}:
        raise FormatError("a layer's file has other keys.")
    if document["job"] != fingerprint or document["layer"] != layer_idx:
        raise FormatError("this is the file of another job or another layer.")
    if not isinstance(document["records"], list):
        raise FormatError("records is no list.")
    return [Record.from_dict(entry) for entry in document["records"]]


def _plan(values: Any) -> np.ndarray | None:
    if values is None:
        return None
    if not isinstance(values, list) or len(values) > MAX_SLOTS:
        raise FormatError("plan is no list of experts.")
    if any(type(value) is not int or not -1 <= value < 2**31 for value in values):
        raise FormatError("plan holds something else than experts.")
    return np.array(values, dtype=np.int64)


def _text(value: Fraction) -> str:
    whole, parts = (
        str(number) if number.bit_length() <= MAX_DECIMAL_BITS else f"{number:#x}"
        for number in (value.numerator, value.denominator)
    )
    return whole if value.denominator == 1 else f"{whole}/{parts}"


def _rational(text: Any, name: str) -> Fraction | None:
    if text is None:
        return None
    found = RATIONAL.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise FormatError(f'{name} is no text "p" or "p/q" of two integers.')
    try:
        return Fraction(*(int(part, 0) for part in found.groups(default="1")))
    except ValueError as error:  # a leading zero
        raise FormatError(f"{name} has a number that is written in another way.") from error
    except ZeroDivisionError as error:
        raise FormatError(f"{name} has the denominator 0.") from error
