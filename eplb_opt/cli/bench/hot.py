"""`eplb-opt bench hot`."""

from __future__ import annotations

from typing import Annotated

import typer

from eplb_opt.bench.hot import (
    CONFIGURATIONS,
    HEADLINE,
    PAIRS,
    PolicyRow,
    gap_ratios,
    geometric_mean,
    measure,
    policies,
)
from eplb_opt.bench.hot_tables import means_table, overshoot_table, policies_table
from eplb_opt.bench.ledger import Setting
from eplb_opt.bench.ledger_rows import hot_row
from eplb_opt.bench.overshoot import overshoot_rows
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.bench.arguments import Ledger, keep
from eplb_opt.errors import require
from eplb_opt.planner.warmup import warmup


def hot_command(
    rounds: Annotated[int, typer.Option(help="Turns of every policy a configuration.")] = 5,
    calls: Annotated[int, typer.Option(help="Calls a limit for the overshoot; 0 for none.")] = 2000,
    quick: Annotated[
        bool, typer.Option("--quick", help="The headline configuration alone.")
    ] = False,
    engine_files: opt.EngineFiles = None,
    ledger_file: Ledger = None,
    as_json: opt.Json = False,
) -> None:
    """Measure the hot path beside all rivals: times, gaps, and lateness under time limits.

    Example: eplb-opt bench hot --quick
    """
    require("torch")  # engines hand their policies tensors
    with output.spinner("loading kernels"):
        warmup()
    chosen, setting = policies(engine_files=engine_files), Setting.now()
    rows: list[PolicyRow] = []
    configurations = (HEADLINE,) if quick else (HEADLINE, *CONFIGURATIONS, *PAIRS)
    wanted = list(dict.fromkeys(configurations))
    for place, (model, machine) in enumerate(wanted):
        with output.spinner(f"measuring {machine} ({place + 1} of {len(wanted)})"):
            measured = list(measure(model, machine, chosen, rounds))
        rows += measured
        if not as_json:
            output.stdout().print(policies_table(measured))
    keep(ledger_file, (hot_row(setting, row) for row in rows))
    with output.spinner("measuring lateness"):
        late = list(overshoot_rows(calls)) if calls else []
    if as_json:
        means = {name: geometric_mean(list(gap_ratios(rows, name).values())) for name in chosen}
        output.print_json({"policies": rows, "geometric_means": means, "overshoot": late})
        return
    output.stdout().print(means_table(rows))
    if late:
        output.stdout().print(overshoot_table(late))
