"""Whether the stored instances are what the tables say, and the values what their proofs prove.

No planner is called: plans are checked and scored exactly, certificates are verified, and the
bounds without one are computed again from the loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from eplb_opt.bench import best_known, library, proofs
from eplb_opt.bench.instance_rows import ROWS
from eplb_opt.bench.load_files import (
    DIGESTS,
    IN_FORCE,
    LOAD_FILES,
    digest,
    in_force_content,
    load_file_content,
)
from eplb_opt.certificates import CertificateError
from eplb_opt.errors import FormatError, PlanError, ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eplb_opt.bench.best_known import Known
    from eplb_opt.io.files import PathLike

#: Proven optima of the worked examples, one a layer.
WORKED_OPTIMA: dict[str, tuple[Fraction, ...]] = {
    "readme": (Fraction(136), Fraction(172)),
    "readme-h": (Fraction(151), Fraction(359, 2)),
    "hot-pair": (Fraction(590, 3),),
}


@dataclass(frozen=True)
class Findings:
    """What a look at the stored instances has found.

    Parameters
    ----------
    offences
        What is wrong, one sentence each; empty when all is well.
    instances
        Instances whose values were proven again.
    objectives, bounds
        Values that were proven again: layers' objectives and bounds.
    unknown
        Names of instances of which nothing is known.
    """

    offences: tuple[str, ...]
    instances: int
    objectives: int
    bounds: int
    unknown: tuple[str, ...]


def verify(
    folder: PathLike | None = None,
    names: Sequence[str] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Findings:
    """Look at the stored files, and prove every stored value again.

    Parameters
    ----------
    folder
        The folder of the stored files; by default the project's own.
    names
        Instances whose values are proven again; all by default.
    progress
        Called with the number of instances that are done.

    Raises
    ------
    FormatError
        When the folder has no table of instances.
    ProblemError
        For a name that is not in the table.
    """
    place = library.find_folder() if folder is None else Path(folder)
    offences = list(wrong_files(place))
    table = library.load_table(place)
    chosen = list(table) if names is None else [library.get(name, place).name for name in names]
    try:
        known = best_known.load_best_known(place)  # refuses a bound above an objective
    except FormatError as error:
        return Findings((*offences, str(error)), 0, 0, 0, ())
    num_layers = 0
    for done, name in enumerate(chosen):
        if known[name]:
            offences += wrong_values(place, name, known[name])
            num_layers += len(known[name])
        if progress is not None:
            progress(done + 1)
    offences += _left_over(place)
    unknown = tuple(name for name in chosen if not known[name])
    return Findings(tuple(offences), len(chosen) - len(unknown), num_layers, num_layers, unknown)


def wrong_files(folder: Path) -> Iterator[str]:
    """What is wrong with load files, plans in force and the table, one sentence each.

    Parameters
    ----------
    folder
        The folder of the stored files.
    """
    for name in LOAD_FILES:
        path = folder / f"{name}.npz"
        yield from _differs(path, load_file_content(name), DIGESTS[name])
    for name in IN_FORCE:
        path = folder / "in_force" / f"{name}.npz"
        yield from _differs(path, in_force_content(name), None)
    yield from _differs(folder / library.TABLE, library.table_text(ROWS).encode(), None)
    for name, stated in library.imported_digests(folder).items():
        yield from _differs(folder / f"{name}.npz", None, stated)


def _differs(path: Path, content: bytes | None, stated: str | None) -> Iterator[str]:
    if not path.is_file():
        yield f"{path}: there is no such file; generate it again."
        return
    stored = path.read_bytes()
    if stated is not None and digest(stored) != stated:
        yield f"{path}: its SHA-256 is not the one in the table; generate it again."
    if content is not None and stored != content:
        yield f"{path}: made anew it has other bytes; generate it again."


def wrong_values(folder: Path, name: str, known: tuple[Known, ...]) -> Iterator[str]:
    """Which values of an instance its proofs do not prove, one sentence each.

    Parameters
    ----------
    folder
        The folder of the stored files.
    name
        The instance.
    known
        Its values, [num_layers].
    """
    instance = library.get(name, folder)
    try:
        stored = proofs.read_proofs(instance)
        objectives, bounds = proofs.proven(instance, stored)
    except (FormatError, ProblemError, PlanError, CertificateError) as error:
        yield f"{name}: {error}"
        return
    if len(objectives) != len(known):
        yield f"{name}: values of {len(known)} layers; the instance has {len(objectives)}."
        return
    for layer_idx, layer in enumerate(known):
        place = f"{name}, layer {layer_idx}"
        if objectives[layer_idx] != layer.objective.value:
            yield (
                f"{place}: the stored plan has the objective {objectives[layer_idx]}, "
                f"not {layer.objective.value}."
            )
        stated, (bound, proof) = layer.lower_bound, bounds[layer_idx]
        if bound.value < stated.value:
            yield f"{place}: {stated.value} is not proven; {proof} proves {bound.value}."
        elif bound.value == stated.value and proof != stated.proof:
            yield f"{place}: the bound is said to be by {stated.proof}; it is by {proof}."
    for layer_idx, optimum in enumerate(WORKED_OPTIMA.get(name, ())):
        pair = known[layer_idx].objective, known[layer_idx].lower_bound
        if not pair[1].value <= optimum <= pair[0].value:
            yield f"{name}, layer {layer_idx}: the optimum {optimum} is not between the values."


def _left_over(folder: Path) -> Iterator[str]:
    """Proofs of instances that are not in the table."""
    names = set(library.load_table(folder))
    for path in sorted((folder / proofs.FOLDER).glob("*")):
        if path.stem not in names:
            yield f"{path}: there is no such instance."
