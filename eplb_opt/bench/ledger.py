"""The ledger: one line of JSON a measurement, dated, appended whole or not at all.

Nothing is taken out of a ledger: a worse figure stays. The figures of the guide are those of the
latest run of each suite.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb_opt import __version__
from eplb_opt.errors import FormatError
from eplb_opt.io.containers.plain_json import parse_json
from eplb_opt.io.files import naming, open_checked, read_text, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eplb_opt.io.files import PathLike

#: The suites that write rows.
SUITES = ("quality", "robust", "topology", "hot", "moves", "prices", "dispatch")


@dataclass(frozen=True)
class Setting:
    """What all rows of one run have in common.

    Parameters
    ----------
    date
        When the run began, in UTC, as 2026-11-28T13:05Z.
    version
        Of eplb-opt.
    machine
        Processor and cores.
    load_average
        Processes that wanted a core, averaged over the minute before the run; above the number of
        cores, times are longer than on a quiet machine. None where the system does not tell.
    """

    date: str
    version: str
    machine: str
    load_average: float | None

    @classmethod
    def now(cls) -> Setting:
        """The setting of this process at this moment."""
        load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
        return cls(stamp, __version__, machine_words(), load)


@dataclass(frozen=True)
class LedgerRow:
    """One method on one case; what was not measured is None.

    Parameters
    ----------
    setting
        When, with what and where.
    suite
        A name of `SUITES`.
    case
        A stored instance, or loads and machine.
    method
        Who planned.
    seed
        Of the method.
    time_limit
        Seconds that the method was given.
    seconds, cpu_seconds
        Seconds that it took, and processor seconds of this process.
    objective, bound
        Sums over the layers: of what was reached, and of the best bound known.
    gap
        Objective over bound, less 1.
    proven, layers
        Layers whose optimality the method itself proved, and layers of the case.
    moves
        Slots a layer whose expert is new on its GPU.
    peak_bytes
        The most memory that the process held meanwhile.
    note
        What else there is to say.
    """

    setting: Setting
    suite: str
    case: str
    method: str
    seed: int | None = None
    time_limit: float | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    objective: float | None = None
    bound: float | None = None
    gap: float | None = None
    proven: int | None = None
    layers: int | None = None
    moves: float | None = None
    peak_bytes: int | None = None
    note: str = ""


def append(path: PathLike, rows: Iterable[LedgerRow]) -> None:
    """Add rows to a ledger; the file is made if need be, and is whole at any time.

    Parameters
    ----------
    path
        The ledger.
    rows
        What to add.

    Raises
    ------
    FormatError
        When the file is no ledger or cannot be written: then it stays as it was.
    """
    before = ""
    if Path(path).exists() and Path(path).stat().st_size:
        read_ledger(path)
        before = read_text(Path(path))
    lines = [json.dumps(_document(row), allow_nan=False) for row in rows]
    write_atomically(path, (before + "".join(f"{line}\n" for line in lines)).encode())


def read_ledger(path: PathLike) -> list[LedgerRow]:
    """The rows of a ledger, the oldest first.

    Raises
    ------
    FormatError
        When a line is no row; the message names it.
    """
    rows = []
    with naming(path):
        for number, line in enumerate(read_text(open_checked(path)).splitlines(), 1):
            with naming(f"line {number}"):
                rows.append(_row(parse_json(line)))
    return rows


def latest(rows: Sequence[LedgerRow], suite: str) -> list[LedgerRow]:
    """The rows of the latest run of a suite; empty where there is none.

    Parameters
    ----------
    rows
        Of a ledger, the oldest first.
    suite
        A name of `SUITES`.
    """
    of_suite = [row for row in rows if row.suite == suite]
    return [row for row in of_suite if row.setting == of_suite[-1].setting]


def machine_words() -> str:
    """The processor and the number of cores that this process may use."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(": ", 1)[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def _document(row: LedgerRow) -> dict[str, Any]:
    """What is None or empty is left out."""
    whole = asdict(row)
    flat = {**whole.pop("setting"), **whole}
    return {key: value for key, value in flat.items() if value not in (None, "")}


def _row(document: Any) -> LedgerRow:
    known = {field.name for field in fields(LedgerRow)} | {field.name for field in fields(Setting)}
    due = {"date", "version", "machine", "suite", "case", "method"}
    if not isinstance(document, dict) or set(document) - known or due - set(document):
        raise FormatError(f"a row has {', '.join(sorted(due))}, and may have more.")
    for key, value in document.items():
        kind = str if key in due | {"note"} else (int, float)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise FormatError(f"{key}={str(value)[:40]} is none.")
    common = {field.name: document.pop(field.name, None) for field in fields(Setting)}
    return LedgerRow(Setting(**common), **document)
