"""`eplb-opt bench prices`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.bench import prices
from eplb_opt.bench.generator import generate_loads
from eplb_opt.bench.ledger import Setting
from eplb_opt.bench.ledger_rows import price_row
from eplb_opt.bench.prices_table import prices_table
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.bench.arguments import Ledger, Offline, Rounds, keep
from eplb_opt.cli.complete import machine_names
from eplb_opt.io import read_loads


def prices_command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="LOADS", help="Recorded loads; by default DeepSeek-V3-like ones."),
    ] = None,
    machines: Annotated[
        list[str],
        typer.Option("--machine", help="SLOTSxGPUS/NODES/GROUPS.", autocompletion=machine_names),
    ] = list(prices.MACHINES),  # noqa: B006
    wanted: Annotated[
        list[float],
        typer.Option("--topology-price", help="Of what is served off home, in mean GPU loads."),
    ] = [0.3],  # noqa: B006
    efforts: Annotated[
        list[int], typer.Option("--effort", min=0, help="Steps a layer of the priced call.")
    ] = list(prices.EFFORTS),  # noqa: B006
    limits: Annotated[
        list[float], typer.Option("--time-limit", min=0, help="Seconds of the priced call.")
    ] = list(prices.LIMITS),  # noqa: B006
    rounds: Rounds = 5,
    offline: Offline = 10.0,
    layers: Annotated[int, typer.Option(min=1, help="Layers of the synthetic model.")] = 58,
    ledger_file: Ledger = None,
    as_json: opt.Json = False,
) -> None:
    """Measure the serving call at a price beside its rivals: load, off home, objective and time.

    Example: eplb-opt bench prices prefill.npz --machine 288x32/4/8 --topology-price 0.3
    """
    parsed, setting = opt.parsed_machines(machines), Setting.now()
    loads = {path.stem: read_loads(path).total for path in files or []}
    if not loads:
        loads = {"deepseek-v3": generate_loads("deepseek-v3", layers, 256, 0)}
    rows: list[prices.PriceRow] = []
    for name, load in loads.items():
        for machine in parsed:
            for price in wanted:
                with output.spinner(f"measuring {name} on {machine} at {price:g}"):
                    found = list(
                        prices.price_rows(
                            name,
                            load,
                            machine,
                            price,
                            efforts=efforts,
                            limits=limits,
                            rounds=rounds,
                            offline=offline,
                        )
                    )
                rows += found
                if not as_json:
                    output.stdout().print(prices_table(found))
    keep(ledger_file, (price_row(setting, row) for row in rows))
    if as_json:
        output.print_json(rows)
