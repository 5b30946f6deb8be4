"""`eplb-opt bench plans`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.bench.families import FAMILIES, family_loads
from eplb_opt.bench.plan_tables import plan_rows_table
from eplb_opt.bench.plans import plan_rows
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.bench.arguments import Heuristics, Machines, Models
from eplb_opt.cli.complete import MACHINES, family_names
from eplb_opt.io import read_loads
from eplb_opt.planner.warmup import warmup


def plans_command(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="LOADS", help="Recorded loads.")
    ] = None,
    families: Annotated[
        list[str] | None,
        typer.Option("--family", help=f"Of {', '.join(FAMILIES)}.", autocompletion=family_names),
    ] = None,
    machines: Machines = MACHINES,
    limits: Annotated[list[float], typer.Option("--time-limit", help="Seconds a model.")] = [1.0],  # noqa: B006
    layers: Annotated[int, typer.Option(help="Layers of a synthetic model.")] = 58,
    experts: Annotated[int, typer.Option(help="Experts of a synthetic model.")] = 256,
    seed: Annotated[int, typer.Option(help="Of the synthetic loads.")] = 0,
    models: Models = [],  # noqa: B006
    heuristics: Heuristics = ["greedy"],  # noqa: B006
    as_json: opt.Json = False,
) -> None:
    """Plan load families and recordings under several time limits; show what is proven.

    Example: eplb-opt bench plans --machine 288x72 --time-limit 1 --time-limit 10 --model cpsat
    """
    loads = {path.stem: read_loads(path).total for path in files or []}
    chosen = families if families is not None else ([] if loads else list(FAMILIES))
    loads |= {name: family_loads(name, layers, experts, seed) for name in chosen}
    parsed = opt.parsed_machines(machines)
    with output.spinner("loading kernels"):
        warmup(everything=True)
    each = 1 + len(models) + len(heuristics)
    total = len(loads) * len(parsed) * len(limits) * each
    rows = []
    with output.counting_bar(total, "planning") as show:
        for row in plan_rows(loads, parsed, limits, models=models, heuristics=heuristics):
            rows.append(row)
            show(len(rows))
    if as_json:
        output.print_json(rows)
    else:
        output.stdout().print(plan_rows_table(rows))
