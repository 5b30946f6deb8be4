"""`eplb-opt gap`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eplb_opt.cli import gpu_options as gpu
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.intake import Intake, examine_plan, padded_one, read_problem, with_names
from eplb_opt.cli.outputs import Saving
from eplb_opt.cli.report import HeldOut, ReportFile, read_held_out, save_report
from eplb_opt.cli.solver_log import watched
from eplb_opt.cli.step_cost import CostOption, refuse_report, with_cost
from eplb_opt.cli.steps import (
    BatchTokens,
    ExpertsPerToken,
    WithBursts,
    check_batch,
    forecasts,
    print_noise,
    print_steps,
    steps_json,
)
from eplb_opt.cli.stopping import interruption
from eplb_opt.errors import ProblemError
from eplb_opt.io import read_stored_plan
from eplb_opt.io.files import write_atomically
from eplb_opt.placement.padding import empty_last
from eplb_opt.planner.planner import plan
from eplb_opt.planner.topologies import TopologyReport, compared
from eplb_opt.problem.problem import Problem
from eplb_opt.report.gap import GapReport, gap_report
from eplb_opt.report.gap_csv import gap_csv
from eplb_opt.report.gap_tables import (
    gap_table,
    layer_table,
    price_table,
    scenario_table_text,
)
from eplb_opt.report.html import import_jinja
from eplb_opt.report.page_before import greedy_before
from eplb_opt.report.prices import ConstraintPrice, constraint_prices
from eplb_opt.report.scenarios import ScenarioTable, scenario_table
from eplb_opt.report.step_time import step_line
from eplb_opt.report.tables import describe
from eplb_opt.report.topology import topology_json, topology_table
from eplb_opt.result import Result
from eplb_opt.search.starts import first_plan, heuristic_calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.report.prices import Planner

#: Plans between all of a group on one node and anywhere: the kind and the price.
BETWEEN = (("anchored", 0.3), ("priced", 0.05), ("priced", 0.3))


def gap_command(
    context: typer.Context,
    loads: opt.LoadsFile,
    gpus: opt.Gpus,
    slots: opt.Slots,
    nodes: opt.Nodes = 1,
    groups: opt.Groups = 1,
    colocation: opt.ColocationOption = opt.Colocation("allow"),
    dispatch: opt.DispatchOption = opt.UNIFORM,
    plan_files: Annotated[
        list[Path] | None,
        typer.Option("--plan", help="A plan to score; may be given several times."),
    ] = None,
    time_limit: opt.TimeLimit = 10.0,
    model: opt.Model = opt.ModelName("cpsat"),
    workers: opt.Workers = None,
    prices: Annotated[
        bool, typer.Option("--prices/--no-prices", help="What each constraint costs.")
    ] = True,
    layers: Annotated[
        str, typer.Option("--layers", help="Layers to list, worst first: a number, or 'all'.")
    ] = "5",
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Where to write every layer's figures.")
    ] = None,
    report_file: ReportFile = None,
    step_cost: CostOption = None,
    batch_tokens: BatchTokens = None,
    experts_per_token: ExpertsPerToken = None,
    with_bursts: WithBursts = False,
    held_out: HeldOut = None,
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
    verbose: opt.Verbose = 0,
) -> None:
    """Show how far every heuristic and every given plan is from the proven optimum.

    The time limit holds for our own plan. The prices of the constraints, each a planning run
    without one of them, share as much again; and so do the plans between all of a group on one node
    and anywhere, where groups are to stay on nodes.

    The page compares our plan with the first given one, else with the greedy that engines ship.

    Example: eplb-opt gap loads.npz --gpus 32 --slots 288 --nodes 4 --groups 8 --plan current.json
    """
    num_shown = _number_of_layers(layers)
    batches = check_batch(batch_tokens, experts_per_token, with_bursts, step_cost)
    refuse_report(step_cost, report_file)
    machine = opt.machine(slots, gpus, nodes, groups, colocation, dispatch)
    machine = with_cost(machine, step_cost, batch_tokens, experts_per_token)
    files = opt.Files([loads], False, load_format, map_file, experts)
    rules = gpu.RuleTexts(lost_gpus, gpu_slots, gpu_speeds, pins, bans, spread)
    stored = {str(path): read_stored_plan(path) for path in plan_files or []}
    intake = read_problem(opt.Asked(files, machine, rules), padded_one(stored.values()))
    recorded, problem, layer_ids = intake.recorded[0], intake.problem, intake.layer_ids
    for name, each in stored.items():
        examine_plan(each, name, recorded, gpus)
    given = {name: empty_last(each.rows(layer_ids), gpus) for name, each in stored.items()}
    unseen = read_held_out(held_out, recorded)

    if report_file is not None:
        import_jinja()
    with interruption() as asked:

        def planned(part: Problem, heading: str, seconds: float) -> Result:
            with watched(seconds, heading, verbose) as progress:
                return plan(
                    part,
                    time_limit=seconds,
                    model=str(model),
                    workers=workers,
                    progress=progress,
                    stop=asked.event,
                )

        result = planned(problem, "planning", time_limit)
        messages = tuple(with_names(text, layer_ids) for text in result.messages)
        output.warn(messages)
        result = replace(result, messages=(*intake.notes, *messages))
        topology = _topology(problem, result, planned, time_limit) if prices else None
        report = gap_report(
            problem,
            result,
            plans=given,
            heuristics=output.announced(_heuristics(problem)),
            prices=_prices(problem, result, planned, time_limit, topology) if prices else (),
        )
        report.rows[:] = [
            replace(row, problem=with_names(row.problem, layer_ids)) for row in report.rows
        ]
        compared = {"eplb-opt": result.plan, **given}
        if batches:
            greedy = greedy_before(problem)
            compared[greedy.name] = greedy.placed
        steps = forecasts(
            intake, compared, batches, with_bursts=with_bursts, model_gap=result.model_gap
        )
        if steps is not None:
            report = replace(report, noise=steps.noise)
        saving = Saving()
        saving.save(csv_file, lambda to: write_atomically(to, gap_csv(report, layer_ids).encode()))
        before = next(iter(given.items()), None)
        saving.save(
            report_file,
            lambda to: save_report(
                context,
                to,
                result,
                recorded,
                current=before,
                held_out=unseen,
                gap=report,
                batches=batches,
                steps=steps,
                topology=topology,
            ),
        )
        plans = {"eplb-opt": result.plan, **given}
        scored = scenario_table(problem, plans, unseen) if unseen else None
        try:
            if as_json:
                told = {"layers": list(layer_ids), "messages": list(result.messages)}
                told |= steps_json(steps)
                told |= {"loads": scored} if scored else {}
                told |= {"topology": topology_json(topology)} if topology else {}
                output.print_json(asdict(report) | told)
            else:
                _print(report, result, intake, num_shown, scored, topology)
                print_steps(output.stdout(), steps)
        finally:
            saving.finish()
    asked.finish()


def _heuristics(problem: Problem) -> dict[str, Callable[[], Any]]:
    """The published ones, which know of no GPUs that differ; then what our greedy makes of it."""
    if not problem.has_gpu_rules:
        return heuristic_calls(problem)
    output.warn(("the published heuristics know of no GPUs that differ, and are left out.",))
    return {"greedy": lambda: first_plan(problem)}


def _topology(
    problem: Problem, result: Result, planned: Planner, seconds: float
) -> TopologyReport | None:
    """Plans from strict to flat where groups stay on nodes; ours is the strict one."""
    if not problem.is_hierarchical:
        return None
    share = seconds / (len(BETWEEN) + 1)
    try:
        return compared(
            problem, lambda part, name: planned(part, name, share), BETWEEN, {"strict": result}
        )
    except ProblemError as error:  # of a rule that prices do not go with
        output.warn((f"plans between strict and flat are left out: {error}",))
        return None


def _prices(
    problem: Problem,
    result: Result,
    planned: Planner,
    seconds: float,
    topology: TopologyReport | None,
) -> list[ConstraintPrice]:
    """What each constraint costs; the flat plan of the comparison is the one without groups."""
    flat = [row.result for row in topology.rows if row.kind == "flat"] if topology else []
    known = {"hierarchy": flat[0]} if flat else {}
    return constraint_prices(problem, result, planned, seconds, known)


def _number_of_layers(layers: str) -> int | None:
    if layers == "all":
        return None
    if not layers.isdecimal():
        raise ProblemError(f"--layers {layers} is neither a number nor 'all'.")
    return int(layers)


def _print(
    report: GapReport,
    result: Result,
    intake: Intake,
    num_shown: int | None,
    scored: ScenarioTable | None,
    topology: TopologyReport | None,
) -> None:
    console = output.stdout()
    console.print(describe(result), highlight=False)
    if report.in_seconds:
        line = step_line(result.problem, result.objective, result.lower_bound)
        console.print(line, highlight=False)
    console.print(gap_table(report, console.width, intake.layer_ids))
    print_noise(console, report.noise)
    if report.prices:
        console.print(price_table(report))
    if topology is not None:
        console.print(topology_table(topology, console.width))
        output.warn(topology.messages)
    console.print(layer_table(report, num_shown, console.width, intake.layer_ids))
    if scored is not None:
        console.print(scenario_table_text(scored, console.width))
