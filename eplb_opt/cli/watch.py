"""`eplb-opt watch`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.cli import options as opt
from eplb_opt.cli.stopping import Interruption, interruption
from eplb_opt.io import read_plan
from eplb_opt.workloads.watch import (
    Outcome,
    Round,
    Settings,
    Sources,
    Watch,
    import_prometheus,
    run,
)
from eplb_opt.workloads.watch.settings import MOVE_TOLERANCE


def watch_command(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE",
            help="Recordings in any format that `plan` reads: files, a folder, or a quoted pattern "
            "such as 'dumps/*.pt'.",
            show_default=False,
        ),
    ],
    gpus: opt.Gpus,
    slots: opt.Slots,
    output_file: Annotated[
        Path,
        typer.Option(
            "--output",
            help="Where to write the map; once it is there it is the map in force.",
            show_default=False,
        ),
    ],
    nodes: opt.Nodes = 1,
    groups: opt.Groups = 1,
    colocation: opt.ColocationOption = opt.Colocation("allow"),
    dispatch: opt.DispatchOption = opt.UNIFORM,
    newest: Annotated[
        int,
        typer.Option(
            "--newest", help="Recordings of a folder or pattern that count; one plan serves them."
        ),
    ] = 1,
    with_scenarios: opt.Scenarios = False,
    every: Annotated[float, typer.Option("--every", help="Seconds between two rounds.")] = 60.0,
    once: Annotated[
        bool, typer.Option("--once", help="One round, as a timer or a CronJob runs it.")
    ] = False,
    current: Annotated[
        Path | None,
        typer.Option("--current", help="The map in force while there is no --output yet."),
    ] = None,
    move_tolerance: Annotated[
        float,
        typer.Option(
            "--move-tolerance", help="Fewest moves within this of the best (0.01 is 1 %)."
        ),
    ] = MOVE_TOLERANCE,
    min_gain: Annotated[
        float,
        typer.Option(
            "--min-gain", help="The map stays where largest GPU loads would fall by less than this."
        ),
    ] = 0.0,
    time_limit: opt.TimeLimit = 10.0,
    effort: opt.Effort = None,
    workers: opt.Workers = None,
    engine: Annotated[
        opt.Engine, typer.Option("--engine", help="In whose format to write the map.")
    ] = opt.Engine("npz"),
    expert_bytes: Annotated[
        int | None,
        typer.Option("--expert-bytes", help="Weights of an expert in a layer: tells bytes moved."),
    ] = None,
    metrics_file: Annotated[
        Path | None,
        typer.Option("--metrics", help="Where to write metrics for Prometheus: a name in .prom."),
    ] = None,
    load_format: opt.FormatOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for every round to stdout.")
    ] = False,
) -> None:
    """Keep a map up with its recordings: plan anew when they change, with few moves.

    A round is one line on stderr. What cannot be read, a half-written recording say, is tried again
    in the next round. What has been planned for is remembered in OUTPUT.watch.json, so that a
    restart goes on. Ctrl-C, SIGTERM and SIGHUP end it, with exit code 0: a map is written whole or
    not at all.

    With --once the exit code is 0 when the round has done what was due, be it nothing; 2 when a
    recording cannot be read or planned for, 3 when the engine would refuse the map, and 128 and
    the signal's number where a signal cut it short. The line says which: written, kept or
    unchanged.

    Example: eplb-opt watch 'dumps/*.npz' --gpus 32 --slots 288 --engine sglang --output map.json
    """
    if not every > 0:
        raise typer.BadParameter("--every must be above 0 seconds.")
    if metrics_file is not None:
        import_prometheus()
    if current is not None:
        read_plan(current)
    apart = opt.colocation_for(str(engine), str(colocation))
    watch = Watch(
        Settings(
            Sources(tuple(sources), newest),
            opt.machine(slots, gpus, nodes, groups, apart, dispatch),
            output_file,
            str(engine),
            current=current,
            move_tolerance=move_tolerance,
            min_gain=min_gain,
            time_limit=time_limit,
            effort=effort,
            workers=workers,
            with_scenarios=with_scenarios,
            load_format=None if load_format is None else str(load_format),
            expert_bytes=expert_bytes,
            metrics=metrics_file,
        )
    )
    with interruption() as asked:
        if once:
            _one_round(watch, asked, as_json)
        else:
            run(watch, every, asked.event, lambda done: _tell(done, as_json))
            asked.finish("the map in force stays", code=0)


def _one_round(watch: Watch, asked: Interruption, as_json: bool) -> None:
    done = watch.round(asked.event)
    if done.error is not None:
        if as_json:
            _print_json(done)
        raise done.error  # whose message is printed in the place of the round's line
    _tell(done, as_json)
    if done.outcome == Outcome.STOPPED:
        asked.finish("the map in force stays")


def _tell(done: Round, as_json: bool) -> None:
    print(f"eplb-opt: {done.line}", file=sys.stderr, flush=True)
    if as_json:
        _print_json(done)


def _print_json(done: Round) -> None:
    print(json.dumps(done.json(), allow_nan=False), flush=True)
