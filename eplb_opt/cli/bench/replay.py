"""`eplb-opt bench replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.bench import replays
from eplb_opt.bench.generator import generate_loads
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.complete import machine_names
from eplb_opt.cli.replay import STAND_IN_NOTE
from eplb_opt.io import open_trace
from eplb_opt.planner.warmup import warmup
from eplb_opt.report.replay import about_net, net_table


def replay_bench_command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="TRACES",
            help="Recorded loads [steps, layers, experts] in time order. By default "
            "DeepSeek-V3-like ones that drift.",
        ),
    ] = None,
    machine: Annotated[
        str,
        typer.Option(
            "--machine",
            help="SLOTSxGPUS or SLOTSxGPUS/NODES/GROUPS.",
            autocompletion=machine_names,
        ),
    ] = "288x32",
    drifts: Annotated[
        list[float],
        typer.Option("--drift", help="Standard deviation of the loads' logarithms, a window."),
    ] = list(replays.DRIFTS),  # noqa: B006
    windows: Annotated[
        int, typer.Option(min=2, help="Windows of a series, each with a re-plan at its end.")
    ] = replays.WINDOWS,
    is_joined: Annotated[
        bool, typer.Option("--join", help="Take all TRACES, one after the other, as one series.")
    ] = False,
    move_cost: opt.MoveCostOption = None,
    engine_files: opt.EngineFiles = None,
    layers: Annotated[int, typer.Option(help="Layers of the synthetic model.")] = 58,
    as_json: opt.Json = False,
) -> None:
    """Replay loads under our drop-ins and what engines ship: what moves, and what it brings.

    Example: eplb-opt bench replay trace.npz --machine 288x32 --engine-files unzipped
    """
    (on,) = opt.parsed_machines([machine])
    cost = opt.move_cost(move_cost) or replays.COST
    if files:
        traces = {path.stem: open_trace(path) for path in files}
        if is_joined:
            traces = {f"{next(iter(traces))} ...": replays.joined(list(traces.values()))}
        series = [replays.Series.of(name, trace, windows) for name, trace in traces.items()]
    else:
        load = generate_loads("deepseek-v3", layers, 256, 0)
        series = list(replays.drifting("deepseek-v3", load, drifts, windows))
    with output.spinner("loading kernels"):
        warmup()
    reports = {}
    for each in series:
        with output.spinner(f"replaying {each.name}"):
            reports[each.name] = report = replays.replayed(each, on, cost, engine_files)
        if not as_json:
            output.stdout().print(net_table(each.name, report))
    if as_json:
        output.print_json({name: report.json() for name, report in reports.items()})
        return
    for line in about_net(cost, reports):
        print(line)
    if engine_files is None:
        print(STAND_IN_NOTE)
