"""The best objective and the best lower bound known of each stored instance, layer by layer.

Exact rationals as text, in ``best_known.json`` beside the load files; each says where it came from
and when. Nothing is taken in that contradicts what is known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date as calendar
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb_opt.bench import library
from eplb_opt.errors import FormatError
from eplb_opt.io.containers.plain_json import parse_json
from eplb_opt.io.files import naming, open_checked, read_text, write_atomically

if TYPE_CHECKING:
    from eplb_opt.io.files import PathLike

FILE_NAME = "best_known.json"
#: Exact values as text: 172, 359/2.
EXACT = re.compile(r"[0-9]{1,40}(/[1-9][0-9]{0,39})?")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Values = Sequence[Fraction | int | None]


class Contradiction(ValueError):
    """A new value that cannot be true beside what is known: one of them is wrong."""


@dataclass(frozen=True)
class Record:
    """One value that was found.

    Parameters
    ----------
    value
        The exact value, in the instance's integer units.
    source
        The one who found it, such as a solver or a publication.
    date
        When, as 2026-11-20.
    """

    value: Fraction
    source: str
    date: str


@dataclass(frozen=True)
class Known:
    """What is known of one layer; None where nothing is.

    Raises
    ------
    Contradiction
        When the bound exceeds the objective.
    """

    objective: Record | None = None
    lower_bound: Record | None = None

    def __post_init__(self) -> None:
        lower, best = self.lower_bound, self.objective
        if lower and best and lower.value > best.value:
            raise Contradiction(
                f"the lower bound {lower.value} ({lower.source}, {lower.date}) exceeds the "
                f"objective {best.value} ({best.source}, {best.date})."
            )

    @property
    def is_closed(self) -> bool:
        """Whether the optimum is proven."""
        lower, best = self.lower_bound, self.objective
        return bool(lower and best and lower.value == best.value)


Ledger = dict[str, tuple[Known, ...]]


def load_best_known(folder: PathLike | None = None) -> Ledger:
    """What is known of every instance, layer by layer.

    Parameters
    ----------
    folder
        The folder of the stored files; by default the project's own.

    Raises
    ------
    FormatError
        When the file is damaged, names unknown instances, has the wrong number of layers, or
        contradicts itself.
    """
    path = _path(folder)
    ledger: Ledger = {name: (Known(),) * num_layers(name) for name in library.names()}
    if not path.exists():
        return ledger
    with naming(path):
        document = parse_json(read_text(open_checked(path)))
        if not isinstance(document, dict) or set(document) - set(ledger):
            raise FormatError(f"one key an instance is due; known: {', '.join(ledger)}.")
        for name, layers in document.items():
            with naming(name):
                ledger[name] = _parsed(layers, num_layers(name))
    return ledger


def update_best_known(
    name: str,
    *,
    source: str,
    objective: Values | None = None,
    lower_bound: Values | None = None,
    date: str | None = None,
    folder: PathLike | None = None,
) -> tuple[Known, ...]:
    """Take in new values of an instance; of the old and the new, the better stays, layer by layer.

    Parameters
    ----------
    name
        The instance's name.
    source
        The one who found the values.
    objective, lower_bound
        One exact value a layer, in the instance's integer units; None where there is none.
    date
        The day, as 2026-11-20; by default today.
    folder
        The folder of the stored files; by default the project's own.

    Returns
    -------
    What is known now, which has been written to the file.

    Raises
    ------
    Contradiction
        When a new objective lies below a bound, or a new bound above an objective: then
        nothing is written.
    ProblemError
        When the instance is unknown.
    FormatError
        When there is not one value a layer, or the file is damaged.
    """
    library.get(name)
    ledger, count = load_best_known(folder), num_layers(name)
    day = date or calendar.today().isoformat()
    peaks, bounds = (
        _records(objective, count, source, day),
        _records(lower_bound, count, source, day),
    )
    merged = []
    for layer_idx, (old, peak, bound) in enumerate(zip(ledger[name], peaks, bounds, strict=True)):
        try:
            merged.append(_better(old, peak, bound))
        except Contradiction as error:
            raise Contradiction(f"{name}, layer {layer_idx}: {error}") from error
    ledger[name] = tuple(merged)
    write_atomically(_path(folder), _text(ledger).encode())
    return ledger[name]


def num_layers(name: str) -> int:
    """Layers of an instance, from the table."""
    return library.LOAD_FILES[library.INSTANCES[name].loads].num_layers


def _better(old: Known, peak: Record | None, bound: Record | None) -> Known:
    # The new pair alone must hold, too: a false bound may hide behind a better old one.
    Known(peak or old.objective, bound or old.lower_bound)
    if old.objective and (peak is None or peak.value >= old.objective.value):
        peak = old.objective
    if old.lower_bound and (bound is None or bound.value <= old.lower_bound.value):
        bound = old.lower_bound
    return Known(peak, bound)


def _records(values: Values | None, count: int, source: str, day: str) -> list[Record | None]:
    if values is None:
        return [None] * count
    if len(values) != count:
        raise FormatError(f"{len(values)} values were given; the instance has {count} layers.")
    return [None if value is None else _record([str(value), source, day]) for value in values]


def _record(entry: Any) -> Record | None:
    if entry is None:
        return None
    if not (isinstance(entry, list) and [type(part) for part in entry] == [str, str, str]):
        raise FormatError('a value is written ["590/3", "source", "2026-11-20"], or null.')
    value, source, day = entry
    if not EXACT.fullmatch(value) or not DAY.fullmatch(day) or not source:
        raise FormatError(f"{entry}: an exact value, its source and its date are due.")
    return Record(Fraction(value), source, day)


def _parsed(layers: Any, count: int) -> tuple[Known, ...]:
    if not isinstance(layers, list) or len(layers) != count:
        found = len(layers) if isinstance(layers, list) else type(layers).__name__
        raise FormatError(f"{found} layers; the instance has {count}.")
    known = []
    for layer_idx, layer in enumerate(layers):
        if not isinstance(layer, dict) or set(layer) - {"objective", "lower_bound"}:
            raise FormatError(f"layer {layer_idx}: only objective and lower_bound are known.")
        try:
            known.append(Known(_record(layer.get("objective")), _record(layer.get("lower_bound"))))
        except Contradiction as error:
            raise FormatError(f"layer {layer_idx}: {error}") from error
    return tuple(known)


def _text(ledger: Ledger) -> str:
    """One line a layer, so that a change reads as one."""
    parts = []
    for name, layers in ledger.items():
        if any(layer.objective or layer.lower_bound for layer in layers):
            lines = ",\n  ".join(json.dumps(_entry(layer)) for layer in layers)
            parts.append(f"{json.dumps(name)}: [\n  {lines}\n ]")
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def _entry(layer: Known) -> dict[str, list[str]]:
    pairs = {"objective": layer.objective, "lower_bound": layer.lower_bound}
    return {key: [str(r.value), r.source, r.date] for key, r in pairs.items() if r is not None}


def _path(folder: PathLike | None) -> Path:
    return (library.find_folder() if folder is None else Path(folder)) / FILE_NAME
