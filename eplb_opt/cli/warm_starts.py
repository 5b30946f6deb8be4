"""The option that names plans to start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eplb_opt.cli.complete import heuristic_names
from eplb_opt.errors import ProblemError
from eplb_opt.io import read_plan
from eplb_opt.search import starts

if TYPE_CHECKING:
    from collections.abc import Sequence

Start = Annotated[
    list[str] | None,
    typer.Option(
        "--start",
        metavar="<name or path>",
        autocompletion=heuristic_names,
        help="A heuristic or a plan file to start from; repeatable. Default: those that cost "
        "under a fiftieth of the time.",
    ),
]


def read_starts(given: list[str] | None, layer_ids: Sequence[int]) -> dict[str, Any] | None:
    """What `plan(starts=...)` takes: heuristics by their names, plans by their files'.

    Parameters
    ----------
    given
        The option's values. What is a heuristic's name is no file, unless written as ./name.
    layer_ids
        Place of each recorded layer among the model's hidden layers.

    Raises
    ------
    ProblemError
        For what is neither a heuristic nor a file.
    FormatError
        For a file that holds no plan.
    """
    if not given:
        return None
    known = (starts.FIRST, *starts.published_names())
    found: dict[str, Any] = {}
    for value in given:
        if value not in known and not Path(value).exists():
            raise ProblemError(
                f"--start {value} is neither a file nor a heuristic; known: {', '.join(known)}."
            )
        found[value] = value if value in known else read_plan(Path(value), layer_ids=layer_ids)
    return found
