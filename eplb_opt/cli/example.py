"""`eplb-opt example`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from eplb_opt.cli import output
from eplb_opt.cli.complete import example_names
from eplb_opt.errors import FormatError
from eplb_opt.guide.loads import EXAMPLES, read_example
from eplb_opt.io.files import write_atomically


def example_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help=f"One of {', '.join(EXAMPLES)}; by default the list of them.",
            autocompletion=example_names,
        ),
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option("--output", help="Where to write the loads; default: NAME.csv, if new."),
    ] = None,
) -> None:
    """Write small loads that come with the program, and say what to try with them.

    Example: eplb-opt example skewed
    """
    if name is None:
        output.stdout().print(_listed())
        return
    text = read_example(name)
    path = output_file or Path(f"{name}.csv")
    if output_file is None and path.exists() and path.read_bytes() != text.encode():
        raise FormatError(f"{path}: there is another file of that name; name one with --output.")
    write_atomically(path, text.encode())
    print(f"{path}: {EXAMPLES[name].summary}. Try:")
    for command in EXAMPLES[name].commands:
        print(f"  {command.format(file=shlex.quote(str(path)))}")


def _listed() -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, example in EXAMPLES.items():
        table.add_row(f"eplb-opt example {name}", example.summary)
    return table
