"""`eplb-opt replay`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from eplb_opt import plots
from eplb_opt.bench.rival_policies import rival_policies
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.complete import heuristic_names
from eplb_opt.cli.intake import looked_at_trace
from eplb_opt.cli.outputs import Saving
from eplb_opt.cli.stopping import interruption
from eplb_opt.errors import ProblemError
from eplb_opt.io import open_trace, read_plan
from eplb_opt.planner.warmup import warmup
from eplb_opt.problem.machine import Machine
from eplb_opt.report.replay import choice_table, replay_table
from eplb_opt.workloads.replay import (
    POLICIES,
    Choice,
    Policy,
    ReplanLimits,
    ReplayReport,
    choose,
    given,
    heuristics,
    replay,
    under,
)
from eplb_opt.workloads.representatives import METHODS

PolicyName = StrEnum("PolicyName", list(POLICIES))  # type: ignore[misc]
MethodName = StrEnum("MethodName", list(METHODS))  # type: ignore[misc]
#: Policies that need a number, and the option that gives it.
NEEDS = {"limited": "--max-moves", "worth": "--move-cost"}
DEFAULT_POLICIES = [PolicyName(name) for name in POLICIES if name not in NEEDS]
#: The heuristic that stands in for engines whose own files are not there.
STAND_IN = "deepseek"
STAND_IN_NOTE = (
    "deepseek: the algorithm of vLLM and SGLang in our own code; --engine-files runs theirs."
)


def replay_command(
    trace_file: Annotated[
        Path,
        typer.Argument(
            metavar="TRACE",
            help="Loads [steps, layers, experts] in time order; .npy and .npz of any size.",
            show_default=False,
        ),
    ],
    gpus: opt.Gpus,
    slots: opt.Slots,
    every: Annotated[
        int, typer.Option("--every", help="Steps between two re-plans.", show_default=False)
    ],
    nodes: opt.Nodes = 1,
    groups: opt.Groups = 1,
    colocation: opt.ColocationOption = opt.Colocation("allow"),
    dispatches: opt.Dispatches = [opt.UNIFORM],  # noqa: B006
    policies: Annotated[
        list[PolicyName],
        typer.Option(
            "--policy",
            metavar="<name>",
            help=f"What our plans are made from: {', '.join(POLICIES)}; may be given again.",
        ),
    ] = DEFAULT_POLICIES,
    heuristic_names: Annotated[
        list[str] | None,
        typer.Option(
            "--heuristic",
            help="Beside ours; all by default, 'none' for none.",
            autocompletion=heuristic_names,
        ),
    ] = None,
    views: Annotated[
        list[MethodName],
        typer.Option(
            "--heuristic-on",
            metavar="<name>",
            help=f"What heuristics plan from: {', '.join(METHODS)}; may be given again.",
        ),
    ] = [MethodName("last")],  # noqa: B006
    plan_files: Annotated[
        list[Path] | None, typer.Option("--plan", help="A plan that stays; may be given again.")
    ] = None,
    engine_files: opt.EngineFiles = None,
    memory: Annotated[int, typer.Option(help="Windows of the past to look back on.")] = 32,
    max_moves: Annotated[
        int | None, typer.Option("--max-moves", help="For the policy 'limited'.")
    ] = None,
    move_cost: opt.MoveCostOption = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", help="Seconds for one re-plan of ours.")
    ] = 1.0,
    effort: opt.Effort = None,
    noise: opt.Noise = None,
    workers: opt.Workers = None,
    expert_bytes: Annotated[
        int | None,
        typer.Option("--expert-bytes", help="Weights of an expert in a layer: shows bytes moved."),
    ] = None,
    with_choice: Annotated[
        bool, typer.Option("--choose", help="Also compare every way of summing up the past.")
    ] = False,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Where to draw it over time: .png, .svg, .pdf.")
    ] = None,
    load_format: opt.FormatOption = None,
    as_json: opt.Json = False,
) -> None:
    """Walk through a recording: plan from the past alone, score on the steps that follow.

    Every row, heuristics and given plans too, is scored as --dispatch says. Under optimal dispatch
    each step's tokens are split anew; with both there is a row for each.

    Ctrl-C and SIGTERM end the walk once the re-plans at hand are made and scored; the table is of
    the steps until then.

    Example: eplb-opt replay trace.npy --gpus 32 --slots 288 --every 100 --plot replay.png
    """
    if plot_file is not None:
        plots.check_format(plot_file)
    opt.check_noise(noise, dispatches)
    if with_choice and len(set(dispatches)) > 1:
        raise typer.BadParameter("--choose goes with one --dispatch.")
    with output.reading_bar(f"reading {trace_file.name}") as reading:
        name = None if load_format is None else str(load_format)
        trace = open_trace(trace_file, name, reading)
    notes = looked_at_trace(trace, trace_file, gpus, slots)
    split = list(dict.fromkeys(map(str, dispatches)))
    machine = Machine(slots, gpus, nodes, groups, str(colocation), split[0])
    cost = opt.move_cost(move_cost)
    limits = ReplanLimits(time_limit, effort, workers, max_moves, noise, cost)
    wanted = _ours([str(name) for name in policies], {"limited": max_moves, "worth": cost})
    if engine_files is not None:
        wanted |= rival_policies(engine_files)
    wanted |= _heuristics(heuristic_names, [str(view) for view in views])
    for path in plan_files or []:
        wanted[str(path)] = given(read_plan(path, layer_ids=trace.layer_ids))
    wanted = under(split, wanted)
    with output.spinner("loading solvers"):
        warmup(everything=True)  # else the first plan's time would be that of imports
    walk: dict[str, Any] = {"every": every, "memory": memory, "limits": limits}
    with interruption() as asked, output.counting_bar(trace.num_steps, "replaying") as show:
        walk["on_plan"] = lambda name, step, ids: show(step)
        report = replay(trace, machine, wanted, expert_bytes=expert_bytes, stop=asked.event, **walk)
    if report.num_steps <= every:
        asked.finish("no step had been scored until then")
    choice = None
    if with_choice and asked.number is None:
        with output.counting_bar(trace.num_steps, "comparing what to plan for") as show:
            choice = choose(trace, machine, **walk)
    saving = Saving()
    saving.save(plot_file, lambda to: plots.save(plots.replay(report), to))
    try:
        if STAND_IN in wanted and engine_files is None:
            notes = (*notes, STAND_IN_NOTE)
        _print(report, choice, notes, as_json)
    finally:
        saving.finish()
    asked.finish(f"the figures are of the first {report.num_steps} of {trace.num_steps} steps")


def _print(
    report: ReplayReport, choice: Choice | None, notes: tuple[str, ...], as_json: bool
) -> None:
    if as_json:
        told = {"replay": report.json(), "choice": choice and choice.json()}
        output.print_json(told | {"messages": list(notes)})
        return
    output.stdout().print(replay_table(report, notes))
    if choice is not None:
        output.stdout().print(choice_table(choice))


def _ours(names: list[str], given: dict[str, Any]) -> dict[str, Policy]:
    """Policies of ours by name; one that needs an option is there where that is given."""
    for name in names:
        if name in NEEDS and given[name] is None:
            raise ProblemError(f"The policy {name!r} needs {NEEDS[name]}.")
    names = [*names, *(name for name, value in given.items() if value is not None)]
    return {name: POLICIES[name] for name in names}


def _heuristics(names: list[str] | None, views: list[str]) -> dict[str, Policy]:
    known = list(heuristics())
    for name in names or []:
        if name not in (*known, "none"):
            raise ProblemError(f"heuristic {name!r} is unknown; known: {', '.join(known)}, none.")
    wanted = known if names is None else names
    rows = heuristics(views)
    return {row: policy for row, policy in rows.items() if row.partition(" on ")[0] in wanted}
