"""`eplb-opt size`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from eplb_opt import plots
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.intake import looked_at
from eplb_opt.cli.numbers import numbers
from eplb_opt.cli.outputs import Saving
from eplb_opt.cli.step_cost import CostOption, batch_cost, check_cost_alone
from eplb_opt.cli.steps import BatchTokens, ExpertsPerToken
from eplb_opt.cli.stopping import interruption
from eplb_opt.io.files import write_atomically
from eplb_opt.io.recordings.together import planned_for
from eplb_opt.planner.warmup import warmup
from eplb_opt.report import size as tables
from eplb_opt.workloads.sizing import SizeReport, make_sizes, sweep

#: How several numbers are given.
SEVERAL = "one, several (32,64) or a range (8:12)"


def size_command(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOADS",
            help="Recorded loads, as for `plan`; with several files one plan serves them all.",
            show_default=False,
        ),
    ],
    gpus: Annotated[
        list[str], typer.Option("--gpus", metavar="<numbers>", help=f"Numbers of GPUs: {SEVERAL}.")
    ],
    slots: Annotated[
        list[str] | None,
        typer.Option(
            "--slots", metavar="<numbers>", help="Physical experts a layer, over all GPUs."
        ),
    ] = None,
    slots_per_gpu: Annotated[
        list[str] | None,
        typer.Option(
            "--slots-per-gpu",
            metavar="<numbers>",
            help="Instead: on each GPU. Default: the fewest that hold all experts, to 4 more.",
        ),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(
            "--target-balancedness",
            help="Mark the smallest size that reaches it: mean over largest GPU load, 0.95 say.",
        ),
    ] = None,
    held_out: Annotated[
        list[Path] | None,
        typer.Option(
            "--held-out",
            help="Loads to score plans on, not to plan for; may be given again.",
        ),
    ] = None,
    with_scenarios: opt.Scenarios = False,
    nodes: opt.Nodes = 1,
    groups: opt.Groups = 1,
    colocation: opt.ColocationOption = opt.Colocation("allow"),
    dispatches: opt.Dispatches = [opt.UNIFORM],  # noqa: B006
    noise: opt.Noise = None,
    expert_bytes: Annotated[
        int | None,
        typer.Option("--expert-bytes", help="Weights of an expert in a layer: memory in GiB."),
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option(
            "--time-limit", help="Seconds for each plan: one a size, and one a held-out file more."
        ),
    ] = 10.0,
    effort: opt.Effort = None,
    workers: opt.Workers = None,
    plot_file: opt.PlotFile = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Where to write a line for every size.")
    ] = None,
    step_cost: CostOption = None,
    batch_tokens: BatchTokens = None,
    experts_per_token: ExpertsPerToken = None,
    load_format: opt.FormatOption = None,
    map_file: opt.MapFile = None,
    experts: opt.Experts = None,
    as_json: opt.Json = False,
) -> None:
    """How many redundant slots, on how many GPUs: sweep sizes, with plans and proofs.

    Each size is planned, and a bound proven that no plan of that size is below. So a size either
    meets a target, provably cannot, or is open: more time may tell.

    With --cost it is the seconds of a step that are planned for, and the fastest size stands out:
    where steps are small, redundant slots cost time themselves.

    Ctrl-C and SIGTERM end the sweep: the size at hand gets the best so far, others none.

    Example: eplb-opt size loads.npz --gpus 32,64 --target-balancedness 0.98 --plot size.png
    """
    if plot_file is not None:
        plots.check_format(plot_file)
    opt.check_noise(noise, dispatches)
    rules: dict[str, Any] = {
        "num_nodes": nodes,
        "num_groups": groups,
        "colocation": str(colocation),
    }
    rules |= _cost_rules(step_cost, batch_tokens, experts_per_token)
    if step_cost is not None and (target is not None or held_out):
        raise typer.BadParameter(
            "--target-balancedness and --held-out speak of loads and do not go with --cost; leave "
            "them out."
        )
    recorded, notes = looked_at(opt.Files(files, with_scenarios, load_format, map_file, experts))
    sizes = make_sizes(
        recorded[0].num_experts,
        numbers(gpus, "--gpus"),
        num_slots=None if not slots else numbers(slots, "--slots"),
        slots_per_gpu=None if not slots_per_gpu else numbers(slots_per_gpu, "--slots-per-gpu"),
    )
    with output.spinner("loading solvers"):
        warmup(everything=True)  # else the first size's time would be that of imports
    with interruption() as asked, output.turns_bar("planning") as show:
        report = sweep(
            planned_for(recorded, with_scenarios),
            sizes,
            dispatches=list(dict.fromkeys(map(str, dispatches))),
            held_out=_held_out(held_out or []),
            rules=rules,
            time_limit=None if effort is not None else time_limit,
            effort=effort,
            noise=noise,
            workers=workers,
            target_balancedness=target,
            expert_bytes=expert_bytes,
            progress=show,
            stop=asked.event,
        )
    saving = Saving()
    saving.save(plot_file, lambda to: _draw(report, to))
    saving.save(csv_file, lambda to: write_atomically(to, tables.size_csv(report).encode()))
    try:
        _print(report, notes, as_json=as_json)
    finally:
        saving.finish()
    asked.finish("sizes that were not planned until then have no figures")


def _cost_rules(
    text: str | None, batch_tokens: list[int] | None, experts_per_token: int | None
) -> dict[str, Any]:
    """What `--cost` and the size of a batch say, as keywords of `Problem`."""
    check_cost_alone(text, batch_tokens, experts_per_token)
    return {} if text is None else batch_cost(text, batch_tokens, experts_per_token)._asdict()


def _held_out(paths: list[Path]) -> dict[str, Any]:
    stems = [path.stem for path in paths]
    names = stems if len(set(stems)) == len(stems) else [str(path) for path in paths]
    return {name: opt.read(path, None).total for name, path in zip(names, paths, strict=True)}


def _draw(report: SizeReport, path: Path) -> None:
    from eplb_opt.report import size_plot

    plots.save(size_plot.sizes(report), path)


def _print(report: SizeReport, notes: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        output.print_json({**tables.size_json(report), "messages": list(notes)})
        return
    console = output.stdout()
    console.print(tables.size_table(report))
    for sentence in tables.conclusions(report):
        console.print(sentence, style="bold", highlight=False)
    if report.held_out_names:
        console.print(tables.held_out_table(report))
