"""The folder of stored instances: load files, plans in force, and the table of instances.

`load_files` and `instance_rows` can make the folder again, and `verify` compares; instances that
were taken in from elsewhere (`imported.json`) stay beside them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb_opt.bench.instance import Instance, from_row, to_row
from eplb_opt.bench.instance_rows import ROWS
from eplb_opt.bench.load_files import IN_FORCE, LOAD_FILES, in_force_content, load_file_content
from eplb_opt.errors import FormatError, ProblemError
from eplb_opt.io.containers.plain_json import read_json
from eplb_opt.io.files import naming, open_checked, write_atomically

if TYPE_CHECKING:
    from eplb_opt.io.files import PathLike

#: The table of the project's own instances, and that of others'.
TABLE, IMPORTED = "instances.json", "imported.json"
KEY, DIGEST_KEY = "instances", "sha256"


def names(folder: PathLike | None = None) -> list[str]:
    """All instances; the worked examples come first.

    Parameters
    ----------
    folder
        The folder of the stored files; by default the project's own, or the built-in table where
        there is none.
    """
    try:
        return list(load_table(folder))
    except FormatError:
        if folder is not None:
            raise
        return [row.name for row in ROWS]


def get(name: str, folder: PathLike | None = None) -> Instance:
    """An instance by name, its files in the given folder or the project's own.

    Raises
    ------
    ProblemError
        When the name is unknown.
    FormatError
        When the table is damaged or absent.
    """
    table = load_table(folder)
    if name not in table:
        raise ProblemError(f"instance {name!r} is unknown; known: {', '.join(table)}.")
    return table[name]


def load_table(folder: PathLike | None = None) -> dict[str, Instance]:
    """The instances of a folder by name.

    Parameters
    ----------
    folder
        The folder of the stored files; by default the project's own.

    Raises
    ------
    FormatError
        When a table is damaged or absent, or has a name twice.
    """
    place = find_folder() if folder is None else Path(folder)
    table: dict[str, Instance] = {}
    for row in [*_read_rows(place / TABLE), *imported_rows(place)]:
        instance = from_row(row, place)
        if instance.name in table:
            raise FormatError(f"{place}: there are two instances {instance.name}; rename one.")
        table[instance.name] = instance
    return table


def imported_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of instances that come from elsewhere; none where nothing was taken in."""
    return _read_rows(folder / IMPORTED) if (folder / IMPORTED).exists() else []


def imported_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the load files that come from elsewhere, by name.

    Raises
    ------
    FormatError
        When the table is damaged.
    """
    path = folder / IMPORTED
    if not path.exists():
        return {}
    with naming(path):
        digests = read_json(open_checked(path)).get(DIGEST_KEY, {})
        if not isinstance(digests, dict) or not all(isinstance(d, str) for d in digests.values()):
            raise FormatError(f"{DIGEST_KEY} is an object from load files to their SHA-256.")
    return digests


def _read_rows(path: Path) -> list[dict[str, Any]]:
    with naming(path):
        document = read_json(open_checked(path))
        if not isinstance(document, dict) or not isinstance(document.get(KEY), list):
            raise FormatError(f"a table is an object with a list {KEY}.")
    return list(document[KEY])


def find_folder() -> Path:
    """The project's instances/ folder, next to the package in a checkout.

    Raises
    ------
    FormatError
        When the package is installed without it.
    """
    folder = Path(__file__).resolve().parents[2] / "instances"
    if not folder.is_dir():
        raise FormatError(
            f"there is no folder {folder}: the instances come with a checkout of the project, not "
            "with the installed package. Name a folder, and fill it with `eplb-opt instances "
            "generate FOLDER`."
        )
    return folder


def generate(folder: PathLike) -> list[Path]:
    """Write load files, plans in force and the table into a folder, which is made if need be.

    What was taken in from elsewhere, and what is known of the instances, stays as it is.

    Returns
    -------
    The paths of what was written.
    """
    place = Path(folder)
    (place / "in_force").mkdir(parents=True, exist_ok=True)
    made = {place / f"{name}.npz": load_file_content(name) for name in LOAD_FILES}
    made |= {place / "in_force" / f"{name}.npz": in_force_content(name) for name in IN_FORCE}
    made[place / TABLE] = table_text(ROWS).encode()
    for path, content in made.items():
        write_atomically(path, content)
    return list(made)


def table_text(instances: tuple[Instance, ...], digests: dict[str, str] | None = None) -> str:
    """A table of instances as JSON, one line an instance, so that a change reads as one.

    Parameters
    ----------
    instances
        In the order of the table.
    digests
        SHA-256 of load files that no recipe makes; None for a table of our own.
    """
    rows = ",\n  ".join(json.dumps(to_row(instance)) for instance in instances)
    head = "" if digests is None else f' "{DIGEST_KEY}": {json.dumps(digests)},\n'
    return f'{{\n{head} "{KEY}": [\n  {rows}\n ]\n}}\n'


def take_in(instances: list[Instance], name: str, content: bytes, digest: str) -> None:
    """Add a load file from elsewhere and instances of it to their folder.

    Parameters
    ----------
    instances
        All in one folder, all of the file.
    name
        The file's name without its ending.
    content, digest
        Its bytes and their SHA-256.

    Raises
    ------
    ProblemError
        When an instance or the file is there already.
    """
    folder = instances[0].folder
    table, digests = load_table(folder), imported_digests(folder)
    taken = [instance.name for instance in instances if instance.name in table]
    if taken or (folder / f"{name}.npz").exists():
        raise ProblemError(
            f"{', '.join(taken) or f'{name}.npz'} is in {folder} already; choose another --name."
        )
    write_atomically(folder / f"{name}.npz", content)
    others = [from_row(row, folder) for row in imported_rows(folder)]
    text = table_text((*others, *instances), digests | {name: digest})
    write_atomically(folder / IMPORTED, text.encode())
