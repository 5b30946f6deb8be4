"""`eplb-opt gap`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.io import read_plan
from eplb_opt.planner import plan
from eplb_opt.problem import Problem
from eplb_opt.report.gap import gap_report, relaxations
from eplb_opt.report.tables import gap_table, price_table, result_table
from eplb_opt.search.starts import heuristic_calls


def gap_command(
    loads: opt.LoadsFile,
    gpus: opt.Gpus,
    slots: opt.Slots,
    nodes: opt.Nodes = 1,
    groups: opt.Groups = 1,
    colocation: opt.ColocationOption = opt.Colocation("allow"),
    plan_files: Annotated[
        list[Path] | None,
        typer.Option("--plan", help="A plan to score; may be given several times."),
    ] = None,
    time_limit: opt.TimeLimit = 10.0,
    model: opt.Model = opt.ModelName("cpsat"),
    workers: opt.Workers = None,
    load_format: opt.FormatOption = None,
    as_json: opt.Json = False,
) -> None:
    """Show how far every heuristic and every given plan is from the proven optimum.

    The time limit holds for our own plan, and again for planning without each constraint.

    Example: eplb-opt gap loads.npz --gpus 32 --slots 288 --nodes 4 --groups 8 --plan current.json
    """
    recorded = opt.read(loads, load_format)
    problem = opt.Topology(gpus, slots, nodes, groups, colocation).problem(recorded)
    given = {str(path): read_plan(path, layer_ids=recorded.layer_ids) for path in plan_files or []}

    def planned(part: Problem, heading: str) -> Any:
        with output.progress_bar(time_limit, heading) as progress:
            return plan(
                part,
                time_limit=time_limit,
                model=str(model),
                workers=workers,
                progress=progress,
            )

    result = planned(problem, "planning")
    relaxed = {
        name: planned(part, f"without '{name}'") for name, part in relaxations(problem).items()
    }
    output.warn(result.messages)
    report = gap_report(
        problem,
        result,
        plans=given,
        heuristics=output.announced(heuristic_calls(problem)),
        relaxed_results=relaxed,
    )
    if as_json:
        output.print_json(report)
        return
    console = output.stdout()
    console.print(result_table(result))
    console.print(gap_table(report))
    if report.prices:
        console.print(price_table(report))
