"""`eplb-opt bench dispatch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.bench import dispatch
from eplb_opt.bench.dispatch_tables import splits_table
from eplb_opt.bench.generator import generate_loads
from eplb_opt.bench.ledger import Setting
from eplb_opt.bench.ledger_rows import dispatch_row
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.bench.arguments import Ledger, keep
from eplb_opt.io import read_loads
from eplb_opt.planner.warmup import warmup

DISPATCH_MACHINES = ["288x32", "320x32", "384x64", "432x144"]


def dispatch_command(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="LOADS", help="Recorded loads; by default DeepSeek-V3-like ones."),
    ] = None,
    machines: Annotated[
        list[str], typer.Option("--machine", help="SLOTSxGPUS.")
    ] = DISPATCH_MACHINES,
    placements: Annotated[
        list[str], typer.Option("--placement", help=f"Of {', '.join(dispatch.PLACEMENTS)}.")
    ] = list(dispatch.PLACEMENTS),  # noqa: B006
    batches: Annotated[int, typer.Option(help="Batches a call, each with loads of its own.")] = 4,
    layers: Annotated[int, typer.Option(help="The most layers to measure.")] = 58,
    rounds: Annotated[int, typer.Option(help="Turns of every program.")] = 5,
    seed: Annotated[int, typer.Option(help="Of batches and placements.")] = 0,
    ledger_file: Ledger = None,
    as_json: opt.Json = False,
) -> None:
    """Split loads over the copies of a placement: our solver beside others, by turns.

    Example: eplb-opt bench dispatch --machine 320x32 --rounds 9
    """
    load = generate_loads("deepseek-v3", 58, 256, 0) if file is None else read_loads(file).total
    warmup()
    setting = Setting.now()
    shown: list[dispatch.DispatchRow] = []
    for name, machine in zip(machines, opt.parsed_machines(machines), strict=True):
        for placement in placements:
            case = dispatch.make_case(load[:layers], machine, placement, batches, seed)
            with output.spinner(f"measuring {name}, {placement}"):
                rows = list(dispatch.measure(case, name, placement, rounds))
            shown += rows
            if not as_json:
                output.stdout().print(splits_table(rows))
    keep(ledger_file, (dispatch_row(setting, row, seed) for row in shown))
    if as_json:
        output.print_json(shown)
