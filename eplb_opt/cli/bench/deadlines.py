"""`eplb-opt bench deadlines`."""

from __future__ import annotations

from typing import Annotated

import typer

from eplb_opt.bench import deadlines
from eplb_opt.bench.hot_tables import deadlines_table
from eplb_opt.cli import options as opt
from eplb_opt.cli import output


def deadlines_command(
    cases: Annotated[
        list[str], typer.Option("--case", help="What is planned; see the table for names.")
    ] = list(deadlines.CASES),  # noqa: B006
    time_limit: Annotated[
        list[float], typer.Option(help="Seconds; 0 for the first plan alone.")
    ] = list(deadlines.LIMITS),  # noqa: B006
    calls: Annotated[int, typer.Option(min=1, help="Calls of each case and limit.")] = 9,
    layers: Annotated[int, typer.Option(help="Layers.")] = 58,
    experts: Annotated[int, typer.Option(help="Experts a layer.")] = 256,
    as_json: opt.Json = False,
) -> None:
    """Plan under limits of a few hundredths of a second: how late the plans come.

    Example: eplb-opt bench deadlines --case plain --case "price, 4 nodes" --time-limit 0.02
    """
    unknown = [name for name in cases if name not in deadlines.CASES]
    if unknown:
        raise typer.BadParameter(
            f"{unknown[0]!r} is unknown; known: {', '.join(deadlines.CASES)}.", param_hint="--case"
        )
    rows = []
    with output.counting_bar(len(cases) * len(time_limit), "planning") as show:
        for row in deadlines.deadline_rows(cases, time_limit, calls, layers, experts):
            rows.append(row)
            show(len(rows))
    if as_json:
        output.print_json(rows)
    else:
        output.stdout().print(deadlines_table(rows))
