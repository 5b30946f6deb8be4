"""`eplb-opt bench forecast`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eplb_opt.bench import forecasts
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.errors import ProblemError
from eplb_opt.io import read_total
from eplb_opt.report.tables import titled
from eplb_opt.workloads.forecast import DISPATCHES

if TYPE_CHECKING:
    from rich.table import Table

MACHINES = list(forecasts.MACHINES)


def forecast_bench_command(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="LOADS", help="Recorded loads; by default generated ones."),
    ] = None,
    machines: Annotated[list[str], typer.Option("--machine", help="SLOTSxGPUS.")] = MACHINES,
    batches: Annotated[
        list[int], typer.Option("--batch-tokens", min=1, help="Tokens of a GPU in a step.")
    ] = list(forecasts.BATCHES),  # noqa: B006
    dispatches: Annotated[
        list[str], typer.Option("--dispatch", help=f"Of {', '.join(DISPATCHES)}.")
    ] = list(forecasts.DISPATCHES),  # noqa: B006
    experts_per_token: Annotated[
        int, typer.Option(min=1, help="Experts that a token of LOADS goes to.")
    ] = 8,
    steps: Annotated[int, typer.Option(min=2, help="Steps to simulate.")] = 200,
    layers: Annotated[int, typer.Option(help="Layers of the generated loads.")] = 58,
    as_json: opt.Json = False,
) -> None:
    """Forecast what steps see, and simulate them: how far the two differ.

    Example: eplb-opt bench forecast --machine 288x32 --batch-tokens 64 --layers 8
    """
    cases = {case.name: case for case in forecasts.CASES}
    load = None if file is None else read_total(file).total
    rows: list[forecasts.ForecastRow] = []
    for name, machine in zip(machines, opt.parsed_machines(machines), strict=True):
        if load is not None:
            num_experts = load.shape[1]
            case = forecasts.Case(
                "", num_experts, experts_per_token, machine.num_slots, machine.num_gpus
            )
        elif name in cases:
            case = cases[name]
        else:
            raise ProblemError(f"--machine {name} needs LOADS; without: {', '.join(cases)}.")
        with output.spinner(f"simulating {name}"):
            rows += forecasts.measure(
                case,
                load=load,
                num_layers=layers,
                batches=batches,
                dispatches=dispatches,
                num_steps=steps,
            )
    if as_json:
        output.print_json(rows)
        return
    output.stdout().print(_table(rows))
    worst = max(abs(row.difference) for row in rows)
    print(f"The largest difference of the mean over the layers is {worst:.4f}.")


def _table(rows: list[forecasts.ForecastRow]) -> Table:
    table = titled("Balancedness that steps see: forecast beside simulation")
    for heading in (
        *("machine", "dispatch", "tokens", "forecast", "simulated", "difference"),
        *("worst layer", "its chance", "forecast takes"),
    ):
        table.add_column(heading, justify="left" if heading in ("machine", "dispatch") else "right")
    for row in rows:
        table.add_row(
            row.machine,
            row.dispatch,
            f"{row.batch_tokens:,}",
            f"{row.balancedness:.4f}",
            f"{row.simulated:.4f} ± {row.error:.4f}",
            f"{row.difference:+.4f}",
            f"{row.worst:.4f}",
            f"± {row.worst_error:.4f}",
            f"{row.milliseconds:.0f} ms",
        )
    return table
