"""The best objective and the best lower bound known of each stored instance, layer by layer.

``best_known.json`` has the values as exact rationals, and who found each, how and when. The plans
that reach the objectives and the certificates that prove the bounds are in the folder ``known``, an
archive an instance. A value gets in with its proof alone: the plan has passed the checker and is
scored exactly, the certificate is verified, and nothing that contradicts what is known is taken.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date as calendar
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb_opt import __version__
from eplb_opt.bench import library
from eplb_opt.bench.proofs import BY_CERTIFICATE, Proofs, packed, proofs_path, proven, read_proofs
from eplb_opt.errors import FormatError
from eplb_opt.io.containers.plain_json import parse_json
from eplb_opt.io.files import naming, open_checked, read_text, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.bench.instance import Instance
    from eplb_opt.io.files import PathLike

FILE_NAME = "best_known.json"
#: Exact values as text: 172, 359/2.
EXACT = re.compile(r"[0-9]{1,200}(/[1-9][0-9]{0,199})?")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Contradiction(ValueError):
    """A new value that cannot be true beside what is known: one of them is wrong."""


@dataclass(frozen=True)
class Run:
    """Who looked for values, and how.

    Parameters
    ----------
    by
        The program and its version, or a publication.
    how
        What was called, with its limits.
    seconds
        How long it took.
    date
        The day, as 2026-11-20.
    """

    by: str
    how: str
    seconds: float
    date: str


@dataclass(frozen=True)
class Record:
    """One value that was found.

    Parameters
    ----------
    value
        The exact value, in what the layer's objective is counted in.
    run
        Who found it.
    proof
        For a bound: "certificate" and its kind, or "recomputed" and the bound's name. Empty for an
        objective, which its plan proves.
    """

    value: Fraction
    run: Run
    proof: str = ""


@dataclass(frozen=True)
class Known:
    """What is known of one layer.

    Raises
    ------
    Contradiction
        When the bound exceeds the objective.
    """

    objective: Record
    lower_bound: Record

    def __post_init__(self) -> None:
        lower, best = self.lower_bound, self.objective
        if lower.value > best.value:
            raise Contradiction(
                f"the lower bound {lower.value} ({lower.run.by}, {lower.run.date}) exceeds the "
                f"objective {best.value} ({best.run.by}, {best.run.date})."
            )

    @property
    def is_closed(self) -> bool:
        """Whether the optimum is proven."""
        return self.lower_bound.value == self.objective.value


def load_best_known(folder: PathLike | None = None) -> dict[str, tuple[Known, ...]]:
    """What is known of every instance, layer by layer; an empty tuple where nothing is.

    Parameters
    ----------
    folder
        The folder of the stored files; by default the project's own.

    Raises
    ------
    FormatError
        When the file is damaged, names unknown instances, or contradicts itself.
    """
    place = library.find_folder() if folder is None else Path(folder)
    known: dict[str, tuple[Known, ...]] = {name: () for name in library.names(place)}
    path = place / FILE_NAME
    if not path.exists():
        return known
    with naming(path):
        document = parse_json(read_text(open_checked(path)))
        if not isinstance(document, dict) or set(document) - set(known):
            raise FormatError(f"one key an instance is due; known: {', '.join(known)}.")
        for name, entry in document.items():
            with naming(name):
                known[name] = _parsed(entry)
    return known


def update_best_known(
    instance: Instance, run: Run, proofs: Proofs
) -> tuple[tuple[Known, ...], tuple[Known, ...]]:
    """Take in a plan and certificates; of the old and the new, the better stays, layer by layer.

    Parameters
    ----------
    instance
        The instance, with the folder that is to be changed.
    run
        Who found them, and how.
    proofs
        A plan of all layers, and certificates where there are any.

    Returns
    -------
    What was known, and what is known now, which has been written.

    Raises
    ------
    Contradiction
        When a new objective lies below a bound, or a new bound above an objective: then
        nothing is written.
    PlanError, CertificateError, FormatError
        As `proven`.
    """
    folder = instance.folder
    everything = load_best_known(folder)
    old = everything[instance.name]
    objectives, bounds = proven(instance, proofs)
    new = []
    for layer_idx, (value, (bound, proof)) in enumerate(zip(objectives, bounds, strict=True)):
        with _locating(instance.name, layer_idx):
            new.append(Known(Record(value, run), Record(bound.value, run, proof)))
    # A certificate that proves no more than what is recomputed is not kept.
    kept = [
        certificate if proof.startswith(BY_CERTIFICATE) else None
        for certificate, (_, proof) in zip(proofs.certificates, bounds, strict=True)
    ]
    placed = proofs.placed.copy()
    if old:
        before = read_proofs(instance)
        for layer_idx, (was, now) in enumerate(zip(old, new, strict=True)):
            with _locating(instance.name, layer_idx):
                new[layer_idx] = better = _better(was, now)
            if better.objective is was.objective:
                placed[layer_idx] = before.placed[layer_idx]
            if better.lower_bound is was.lower_bound:
                kept[layer_idx] = before.certificates[layer_idx]
    everything[instance.name] = tuple(new)
    proofs_path(instance).parent.mkdir(exist_ok=True)
    # The proofs first: should the second write fail, the table claims too little, not too much.
    write_atomically(proofs_path(instance), packed(Proofs(placed, kept)))
    write_atomically(folder / FILE_NAME, _text(everything).encode())
    return old, everything[instance.name]


def this_program(how: str, seconds: float) -> Run:
    """A run of this program, today.

    Parameters
    ----------
    how
        What was called, with its limits.
    seconds
        How long it took.
    """
    today = calendar.today().isoformat()
    return Run(f"eplb-opt {__version__}", how, round(seconds, 1), today)


def _better(old: Known, new: Known) -> Known:
    objective = old.objective if old.objective.value <= new.objective.value else new.objective
    same_or_higher = old.lower_bound.value >= new.lower_bound.value
    return Known(objective, old.lower_bound if same_or_higher else new.lower_bound)


@contextmanager
def _locating(name: str, layer_idx: int) -> Iterator[None]:
    """Name the instance and the layer in a contradiction."""
    try:
        yield
    except Contradiction as error:
        raise Contradiction(f"{name}, layer {layer_idx}: {error}") from error


def _parsed(entry: Any) -> tuple[Known, ...]:
    if not isinstance(entry, dict) or set(entry) != {"runs", "layers"}:
        raise FormatError("what is known of an instance is an object with runs and layers.")
    if not isinstance(entry["runs"], list) or not isinstance(entry["layers"], list):
        raise FormatError("runs and layers are lists.")
    runs = [_run(one) for one in entry["runs"]]
    known = []
    for layer_idx, layer in enumerate(entry["layers"]):
        if not isinstance(layer, dict) or set(layer) != {"objective", "lower_bound"}:
            raise FormatError(f"layer {layer_idx}: objective and lower_bound are due.")
        try:
            known.append(
                Known(
                    _record(layer["objective"], runs, has_proof=False),
                    _record(layer["lower_bound"], runs, has_proof=True),
                )
            )
        except Contradiction as error:
            raise FormatError(f"layer {layer_idx}: {error}") from error
    return tuple(known)


def _run(entry: Any) -> Run:
    wanted: dict[str, Any] = {"by": str, "how": str, "seconds": (int, float), "date": str}
    if not isinstance(entry, dict) or set(entry) != set(wanted):
        raise FormatError(f"a run has {', '.join(wanted)}.")
    fits = all(isinstance(entry[key], kind) for key, kind in wanted.items())
    if not fits or not DAY.fullmatch(entry["date"]) or not entry["by"]:
        raise FormatError(f"{entry}: this is no run; its date is written 2026-11-20.")
    return Run(**entry)


def _record(entry: Any, runs: list[Run], *, has_proof: bool) -> Record:
    kinds = [str, str, int] if has_proof else [str, int]
    if not isinstance(entry, list) or [type(part) for part in entry] != kinds:
        raise FormatError(f"{entry}: an exact value is due, for a bound its proof, and a run.")
    value, *proof, run_idx = entry
    if not EXACT.fullmatch(value) or not 0 <= run_idx < len(runs):
        raise FormatError(f"{entry}: an exact value such as 359/2 and the place of a run are due.")
    return Record(Fraction(value), runs[run_idx], *proof)


def _text(everything: dict[str, tuple[Known, ...]]) -> str:
    """One line a layer, so that a change reads as one."""
    parts = [
        f"{json.dumps(name)}: {_entry(layers)}" for name, layers in everything.items() if layers
    ]
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def _entry(layers: tuple[Known, ...]) -> str:
    records = [record for layer in layers for record in (layer.objective, layer.lower_bound)]
    runs = list(dict.fromkeys(record.run for record in records))
    place = {run: run_idx for run_idx, run in enumerate(runs)}
    lines = [
        json.dumps(
            {
                "objective": [str(layer.objective.value), place[layer.objective.run]],
                "lower_bound": [
                    str(layer.lower_bound.value),
                    layer.lower_bound.proof,
                    place[layer.lower_bound.run],
                ],
            }
        )
        for layer in layers
    ]
    written_runs = ",\n   ".join(json.dumps(asdict(run)) for run in runs)
    written_layers = ",\n   ".join(lines)
    return f'{{\n  "runs": [\n   {written_runs}\n  ],\n  "layers": [\n   {written_layers}\n  ]\n }}'
