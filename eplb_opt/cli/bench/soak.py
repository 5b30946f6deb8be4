"""`eplb-opt bench soak`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from eplb_opt.bench.soak import soak
from eplb_opt.cli import options as opt
from eplb_opt.cli import output


def soak_command(
    calls: Annotated[int, typer.Option(help="Random serving calls.")] = 10_000,
    plans: Annotated[
        int | None,
        typer.Option(help="Random problems over every rule; by default a tenth of --calls."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    as_json: opt.Json = False,
) -> None:
    """Make random calls and plans, and check every answer; small plans by trying everything.

    The exit code is 1 where an answer is wrong.

    Example: eplb-opt bench soak --calls 1000000
    """
    plans = calls // 10 if plans is None else plans
    with output.counting_bar(calls + plans, "calling") as show:
        report = soak(calls, seed, show, plans)
    if as_json:
        output.print_json(report)
    else:
        print(
            f"{report.calls} calls, {report.layers} layers and {report.slots} slots checked in "
            f"{report.seconds - report.attack.seconds:.0f} s; memory grew by "
            f"{report.grown_bytes / 2**20:.1f} MiB"
        )
        counts = ", ".join(f"{n} {name}" for name, n in sorted(report.attack.counts.items()))
        print(f"{plans} problems in {report.attack.seconds:.0f} s: {counts or 'none'}")
    for fault in (*report.faults, *report.attack.faults):
        print(fault, file=sys.stderr)
    if not report.is_clean:
        raise typer.Exit(1)
