"""The commands of `eplb-opt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import eplb_opt
from eplb_opt.cli import bench, config, instances, output
from eplb_opt.cli import options as opt
from eplb_opt.cli.convert import convert_command
from eplb_opt.cli.deploy import in_kept_slots
from eplb_opt.cli.dispatch import deploy_notes, noise_note
from eplb_opt.cli.gap import gap_command
from eplb_opt.cli.help import App
from eplb_opt.cli.inspect import bound_command, check_command
from eplb_opt.cli.replay import replay_command
from eplb_opt.cli.report import HeldOut, ReportFile, read_held_out, save_report
from eplb_opt.cli.scenarios import planned_for, recordings
from eplb_opt.cli.size import size_command
from eplb_opt.io import Loads, read_plan, write_certificates, write_plan
from eplb_opt.planner import plan
from eplb_opt.report.gap_tables import scenario_table_text
from eplb_opt.report.scenarios import scenario_table
from eplb_opt.report.tables import result_table
from eplb_opt.result import Result
from eplb_opt.warmup import warmup

EPILOG = (
    f"Options typed again and again go into {config.FILE} in the current folder, or the file that "
    f"${config.VARIABLE} or {config.OPTION} names: gpus = 32 at the top for every command, under "
    "[plan] for one. Exit codes: 0 done, 2 bad input or usage, 3 a plan breaks a rule, 1 our fault."
)

app = App(help="Plan expert-parallel replicas and placements, with a proven bound.", epilog=EPILOG)
app.command("gap")(gap_command)
app.command("check")(check_command)
app.command("size")(size_command)
app.command("bound")(bound_command)
app.command("replay")(replay_command)
app.command("convert")(convert_command)
app.add_typer(instances.app, name="instances")
app.add_typer(bench.app, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"eplb-opt {eplb_opt.__version__}")
        raise typer.Exit


@app.callback()
def root(
    config_file: Annotated[
        Path | None,
        typer.Option(config.OPTION, help="Defaults of options, in TOML; anywhere on the line."),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Plan expert-parallel replicas and placements, with a proven bound."""


@app.command("plan")
def plan_command(
    context: typer.Context,
    loads: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOADS",
            help=f"{opt.LOADS_HELP} With several files one plan serves them all.",
            show_default=False,
        ),
    ],
    gpus: opt.Gpus,
    slots: opt.Slots,
    nodes: opt.Nodes = 1,
    groups: opt.Groups = 1,
    colocation: opt.ColocationOption = opt.Colocation("allow"),
    dispatch: opt.DispatchOption = opt.UNIFORM,
    with_scenarios: opt.Scenarios = False,
    time_limit: opt.TimeLimit = 10.0,
    effort: opt.Effort = None,
    target_gap: opt.TargetGap = 0.0,
    noise: opt.Noise = None,
    model: opt.Model = opt.ModelName("cpsat"),
    workers: opt.Workers = None,
    current: Annotated[
        Path | None,
        typer.Option("--current", help="The plan in force: a start; moves are counted."),
    ] = None,
    max_moves: Annotated[
        int | None,
        typer.Option("--max-moves", help="Slots, over all layers, whose expert may be new there."),
    ] = None,
    move_tolerance: Annotated[
        float | None,
        typer.Option(
            "--move-tolerance", help="Fewest moves within this of the best (0.01 is 1 %)."
        ),
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option("--output", help="Where to write the plan.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="Where to write the proofs of the bounds.")
    ] = None,
    engine: Annotated[
        opt.Engine, typer.Option("--engine", help="In whose format to write it.")
    ] = opt.Engine("npz"),
    report: ReportFile = None,
    held_out: HeldOut = None,
    load_format: opt.FormatOption = None,
    as_json: opt.Json = False,
) -> None:
    """Find the best plan in the time given, and prove how good it is.

    Example: eplb-opt plan loads.npz --gpus 32 --slots 288 --engine sglang --output plan.json
    """
    output.check_folders(output_file, certificate)
    opt.check_noise(noise, [dispatch])
    colocation_rule = opt.colocation_for(str(engine), str(colocation))
    recorded, *others = recordings(loads, load_format, with_scenarios)
    in_force = None if current is None else read_plan(current, layer_ids=recorded.layer_ids)
    topology = opt.Topology(gpus, slots, nodes, groups, colocation_rule, dispatch)
    problem = topology.problem_of(planned_for([recorded, *others], with_scenarios))
    limit = None if effort is not None else time_limit
    unseen = read_held_out(held_out, recorded)
    with output.progress_bar(limit, "planning") as progress:
        result = plan(
            problem,
            time_limit=limit,
            effort=effort,
            target_gap=target_gap,
            noise=noise,
            current=in_force,
            max_moves=max_moves,
            move_tolerance=move_tolerance,
            model=str(model),
            workers=workers,
            progress=progress,
        )
    output.warn((*result.messages, *noise_note(result, noise)))
    if output_file is not None:
        output.warn(deploy_notes(result, str(engine)))
        _write(output_file, str(engine), result, recorded, in_force)
    if certificate is not None:
        write_certificates(certificate, result.certificates)
    if report is not None:
        before = None if current is None else (str(current), in_force)
        save_report(context, report, result, recorded, current=before, held_out=unseen)
    plans = {"eplb-opt": result.plan} | ({} if current is None else {str(current): in_force})
    scored = scenario_table(problem, plans, unseen) if unseen else None
    if as_json:
        output.print_json(output.result_json(result) | ({"loads": scored} if scored else {}))
        return
    console = output.stdout()
    console.print(result_table(result))
    if scored:
        console.print(scenario_table_text(scored, console.width))


@app.command("warmup")
def warmup_command(
    everything: Annotated[
        bool, typer.Option("--all", help="Also what `plan` uses, not only serving processes.")
    ] = False,
) -> None:
    """Compile the kernels and keep them on disk, so that the first call does not wait for it.

    Example: eplb-opt warmup --all
    """
    with output.spinner("compiling kernels"):
        seconds = warmup(everything)
    print(f"kernels are ready after {seconds:.1f} s")


def _write(
    path: Path, engine: str, result: Result, recorded: Loads, in_force: np.ndarray | None
) -> None:
    write_plan(
        path,
        in_kept_slots(result.plan, engine, in_force),
        engine=engine,
        current=in_force,
        layer_ids=recorded.layer_ids,
        num_hidden_layers=recorded.num_hidden_layers,
        objective=result.objective,
        lower_bound=result.lower_bound,
        status=result.status,
    )
