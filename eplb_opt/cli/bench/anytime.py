"""`eplb-opt bench anytime`."""

from __future__ import annotations

from typing import Annotated

import typer

from eplb_opt.bench import anytime
from eplb_opt.bench.hot_tables import anytime_table
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.bench.arguments import Machines


def anytime_command(
    machines: Machines = list(anytime.MACHINES),  # noqa: B006
    limits: Annotated[list[float], typer.Option("--time-limit", help="Seconds.")] = list(  # noqa: B006
        anytime.LIMITS
    ),
    layers: Annotated[int, typer.Option(help="The most layers to measure.")] = 58,
    as_json: opt.Json = False,
) -> None:
    """Plan the same loads under ever longer limits: what more time brings.

    Example: eplb-opt bench anytime --machine 288x72 --time-limit 0.02 --time-limit 2
    """
    opt.parsed_machines(machines)
    rows = []
    with output.counting_bar(len(machines) * len(limits), "planning") as show:
        for row in anytime.anytime_rows(machines, limits, layers):
            rows.append(row)
            show(len(rows))
    if as_json:
        output.print_json(rows)
    else:
        output.stdout().print(anytime_table(rows))
