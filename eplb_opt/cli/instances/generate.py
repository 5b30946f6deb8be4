"""`eplb-opt instances generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.bench import library
from eplb_opt.cli import output


def generate_command(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write them; it is made if need be.")
    ],
) -> None:
    """Write load files, plans in force and the table anew; the same bytes on every machine.

    Example: eplb-opt instances generate /tmp/instances
    """
    with output.spinner("generating"):
        paths = library.generate(folder)
    for path in paths:
        print(path)
