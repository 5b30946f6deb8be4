"""Whether the stored instances are what the tables say."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench import best_known, library
from eplb_opt.errors import FormatError
from eplb_opt.io.read import read_loads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.io.files import PathLike

#: Proven optima of the worked examples, one a layer.
WORKED_OPTIMA: dict[str, tuple[Fraction, ...]] = {
    "readme": (Fraction(136), Fraction(172)),
    "readme-h": (Fraction(151), Fraction(359, 2)),
    "hot-pair": (Fraction(590, 3),),
}


def verify(folder: PathLike | None = None) -> list[str]:
    """What is wrong with the stored instances, one sentence each; empty when all is well.

    Looked at are the files' SHA-256, their loads against the generator's or the
    table's, their layer ids, that best objectives are not below the lower bounds, and the worked
    examples' optima.

    Parameters
    ----------
    folder
        The folder of the stored files; by default the project's own.
    """
    place = library.find_folder() if folder is None else Path(folder)
    return [*_wrong_files(place), *_wrong_values(place)]


def _wrong_files(folder: Path) -> Iterator[str]:
    for name in library.LOAD_FILES:
        path = library.file_of(name, folder)
        try:
            yield from _wrong_file(name, path)
        except FormatError as error:
            yield str(error)


def _wrong_file(name: str, path: Path) -> Iterator[str]:
    loads, source = read_loads(path, format="npz"), library.LOAD_FILES[name]
    if library.digest(path.read_bytes()) != library.DIGESTS[name]:
        yield f"{path}: its SHA-256 is not the one in the table; generate it again."
    if not np.array_equal(loads.total, source.load()):
        yield f"{path}: its loads are not the table's; generate it again."
    if loads.layer_ids[0] != source.first_layer:
        yield f"{path}: its first MoE layer is {loads.layer_ids[0]}, not {source.first_layer}."


def _wrong_values(folder: Path) -> Iterator[str]:
    try:
        ledger = best_known.load_best_known(folder)  # refuses a bound above an objective
    except FormatError as error:
        yield str(error)
        return
    for name, optima in WORKED_OPTIMA.items():
        for layer_idx, (known, optimum) in enumerate(zip(ledger[name], optima, strict=True)):
            pair = (known.objective, known.lower_bound)
            if any(record is None or record.value != optimum for record in pair):
                yield f"{name}, layer {layer_idx}: objective and bound must be {optimum}."
