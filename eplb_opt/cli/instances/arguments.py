"""What the commands on stored instances share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.cli.complete import instance_names

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME", help="Instances; all by default.", autocompletion=instance_names
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Folder of the stored instances; the project's own by default."),
]
