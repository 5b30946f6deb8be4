"""`eplb-opt frontier`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from eplb_opt import plots
from eplb_opt.cli import gpu_options as gpu
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.intake import read_problem
from eplb_opt.cli.outputs import Saving
from eplb_opt.cli.plan_output import PlanWriter
from eplb_opt.errors import ProblemError
from eplb_opt.io.files import write_atomically
from eplb_opt.planner.frontier import frontier
from eplb_opt.report.frontier import frontier_csv, frontier_table

if TYPE_CHECKING:
    from eplb_opt.migration import Frontier


def frontier_command(
    loads: opt.LoadsFiles,
    gpus: opt.Gpus,
    slots: opt.Slots,
    current: opt.CurrentNeeded,
    nodes: opt.Nodes = 1,
    groups: opt.Groups = 1,
    colocation: opt.ColocationOption = opt.Colocation("allow"),
    dispatch: opt.DispatchOption = opt.UNIFORM,
    with_scenarios: opt.Scenarios = False,
    time_limit: opt.TimeLimit = 10.0,
    effort: opt.Effort = None,
    workers: opt.Workers = None,
    cross_node_price: opt.CrossNodePrice = 1,
    max_moves: Annotated[
        int | None,
        typer.Option("--max-moves", help="Of --output: the best plan with so many moves."),
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option("--output", help="Where to write the plan of --max-moves.")
    ] = None,
    engine: opt.EngineOption = opt.Engine("npz"),
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Where to write every point.")
    ] = None,
    plot_file: opt.PlotFile = None,
    load_format: opt.FormatOption = None,
    map_file: opt.MapFile = None,
    experts: opt.Experts = None,
    lost_gpus: gpu.LostGpus = None,
    gpu_slots: gpu.GpuSlots = None,
    gpu_speeds: gpu.GpuSpeeds = None,
    pins: gpu.Pins = None,
    bans: gpu.Bans = None,
    spread: gpu.Spread = None,
    as_json: opt.Json = False,
) -> None:
    """What moving experts buys: the least load for every number of moved slots.

    A move is a slot whose expert is new on its GPU. Choose a number from the table, and --max-moves
    writes its plan.

    Example: eplb-opt frontier loads.npz --gpus 32 --slots 288 --current now.json --plot it.png
    """
    if plot_file is not None:
        plots.check_format(plot_file)
    if (max_moves is None) != (output_file is None):
        raise ProblemError("--output takes the plan of --max-moves; give both or none of them.")
    rule = opt.colocation_for(str(engine), str(colocation))
    machine = opt.machine(slots, gpus, nodes, groups, rule, dispatch)
    files = opt.Files(loads, with_scenarios, load_format, map_file, experts, current)
    rules = gpu.RuleTexts(lost_gpus, gpu_slots, gpu_speeds, pins, bans, spread)
    intake = read_problem(opt.Asked(files, machine, rules, opt.written_for(engine, output_file)))
    writer = PlanWriter(intake.recorded[0], intake.current)
    if output_file is not None:
        writer.rehearse(output_file, str(engine), intake.problem)
    with output.spinner("planning"):
        found = frontier(
            intake.problem,
            intake.in_force,
            time_limit=None if effort is not None else time_limit,
            effort=effort,
            workers=workers,
            cross_node_price=cross_node_price,
        )
    output.warn(found.messages)
    saving = Saving()
    if max_moves is not None:
        chosen = found.plan(max_moves)
        saving.save_plan(output_file, lambda to, kind: writer.write(to, kind, chosen), str(engine))
    saving.save(csv_file, lambda to: write_atomically(to, frontier_csv(found).encode()))
    saving.save(plot_file, lambda to: plots.save(plots.pareto(found), to))
    try:
        _print(found, intake.notes, as_json=as_json)
    finally:
        saving.finish()


def _print(found: Frontier, notes: tuple[str, ...], *, as_json: bool) -> None:
    if not as_json:
        output.stdout().print(frontier_table(found))
        return
    slots = int(found.problem.open_slots.sum()) * found.problem.num_layers
    output.print_json(
        {
            "messages": [*notes, *found.messages],
            "slots": slots,
            "moves": found.moves,
            "objective": found.objective,
            "share": np.asarray(found.moves) / slots,
        }
    )
