"""`eplb-opt guide`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from eplb_opt.cli import output
from eplb_opt.cli.complete import guide_topics
from eplb_opt.guide import TOPICS, read_topic, summary_of

#: Wider lines of prose are hard to read.
MAX_WIDTH = 100


def guide_command(
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="TOPIC",
            help=f"One of {', '.join(TOPICS)}; by default the list of them.",
            autocompletion=guide_topics,
        ),
    ] = None,
) -> None:
    """Read the guide: how to choose, deploy and serve, the mathematics, the formats, the words.

    A terminal gets headings and tables; a pipe gets plain Markdown.

    Example: eplb-opt guide choosing
    """
    if topic is None:
        output.stdout().print(_contents())
    elif sys.stdout.isatty():
        width = min(Console().width, MAX_WIDTH)
        Console(width=width).print(Markdown(read_topic(topic), hyperlinks=False))
    else:
        print(read_topic(topic), end="")


def _contents() -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for topic in TOPICS:
        table.add_row(topic, summary_of(topic))
    return table
