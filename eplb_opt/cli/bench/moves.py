"""`eplb-opt bench moves`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.bench import moves
from eplb_opt.bench.generator import generate_loads
from eplb_opt.bench.ledger import Setting
from eplb_opt.bench.ledger_rows import moves_row
from eplb_opt.bench.lost import lost_rows
from eplb_opt.bench.moves_table import moves_table
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.bench.arguments import Ledger, Machines, Offline, Rounds, keep
from eplb_opt.io import read_loads


def moves_command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="LOADS",
            help="Recorded loads: the first drift, and change to each of the others. By default "
            "DeepSeek-V3-like ones that drift.",
        ),
    ] = None,
    machines: Machines = list(moves.MACHINES),  # noqa: B006
    drifts: Annotated[
        list[float], typer.Option("--drift", help="Standard deviation of the loads' logarithms.")
    ] = list(moves.DRIFTS),  # noqa: B006
    tolerances: Annotated[
        list[float], typer.Option("--tolerance", help="Above the bound, of the near plans.")
    ] = list(moves.TOLERANCES),  # noqa: B006
    rounds: Rounds = 5,
    offline: Offline = 10.0,
    layers: Annotated[int, typer.Option(help="Layers of the synthetic model.")] = 58,
    lost: Annotated[
        int, typer.Option(min=0, help="GPUs that are lost and return, measured too; 0 for none.")
    ] = 0,
    ledger_file: Ledger = None,
    as_json: opt.Json = False,
) -> None:
    """Re-plan near the map in force and anew, by turns: load, moves and time.

    Example: eplb-opt bench moves prefill.npz decode.npz --machine 288x32 --tolerance 0.01
    """
    parsed, setting = opt.parsed_machines(machines), Setting.now()
    loads = {path.stem: read_loads(path).total for path in files or []}
    if not loads:
        loads = {"deepseek-v3": generate_loads("deepseek-v3", layers, 256, 0)}
    name = next(iter(loads))
    changes = [*moves.drifts(name, loads[name], drifts), *moves.recorded(loads)]
    rows: list[moves.MovesRow] = []
    for machine in parsed:
        for change in changes:
            with output.spinner(f"measuring {change.name} on {machine}"):
                found = list(moves.moves_rows([change], machine, tolerances, rounds, offline))
            rows += found
            if not as_json:
                output.stdout().print(moves_table(found))
        if lost:
            with output.spinner(f"measuring the loss of {lost} GPUs on {machine}"):
                found = list(lost_rows(name, loads[name], machine, lost, tolerances, rounds))
            rows += found
            half = len(found) // 2  # after the loss, and after the return
            for part in () if as_json else (found[:half], found[half:]):
                output.stdout().print(moves_table(part))
    keep(ledger_file, (moves_row(setting, row) for row in rows))
    if as_json:
        output.print_json(rows)
