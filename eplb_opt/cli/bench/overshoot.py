"""`eplb-opt bench overshoot`."""

from __future__ import annotations

from typing import Annotated

import typer

from eplb_opt.bench import plan_overshoot
from eplb_opt.bench.hot_tables import plan_overshoot_table
from eplb_opt.cli import options as opt
from eplb_opt.cli import output


def overshoot_command(
    cases: Annotated[
        list[str],
        typer.Option("--case", help="Rules, put together with +; see the table for names."),
    ] = list(plan_overshoot.CASES),  # noqa: B006
    time_limit: Annotated[float, typer.Option(help="Seconds.")] = 0.5,
    slots: Annotated[list[int], typer.Option(help="Slots a GPU.")] = [1, 2],  # noqa: B006
    layers: Annotated[int, typer.Option(help="Layers.")] = 94,
    experts: Annotated[int, typer.Option(help="Experts a layer.")] = 512,
    gpus: Annotated[int, typer.Option(help="GPUs.")] = 1024,
    as_json: opt.Json = False,
) -> None:
    """Plan under every rule at the largest shape: how late the plans come, and their memory.

    The exit code is 1 where one is later than 0.1 s, or than 5 % of the limit.

    Example: eplb-opt bench overshoot --case pinned --case scenarios+optimal --slots 2
    """
    shapes = [plan_overshoot.Shape(layers, experts, gpus, each) for each in slots]
    rows = []
    num = len(shapes) * len(cases) * len(plan_overshoot.LIMITS)
    with output.counting_bar(num, "planning") as show:
        for shape in shapes:
            for row in plan_overshoot.plan_overshoot_rows(time_limit, shape, cases):
                rows.append(row)
                show(len(rows))
    if as_json:
        output.print_json(rows)
    else:
        output.stdout().print(plan_overshoot_table(rows))
    if not all(row.keeps_its_limit for row in rows):
        raise typer.Exit(1)
