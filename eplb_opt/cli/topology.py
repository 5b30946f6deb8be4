"""`eplb-opt topology`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eplb_opt import plots
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.intake import read_problem
from eplb_opt.cli.outputs import Saving
from eplb_opt.cli.stopping import interruption
from eplb_opt.io.files import write_atomically
from eplb_opt.planner.topologies import FRONT_PRICES, topologies
from eplb_opt.problem.topology import Topology
from eplb_opt.report import topology as tables

if TYPE_CHECKING:
    from eplb_opt.planner.topologies import TopologyReport


def topology_command(
    loads: opt.LoadsFiles,
    gpus: opt.Gpus,
    slots: opt.Slots,
    nodes: Annotated[
        int, typer.Option("--nodes", help="Nodes; GPUs are numbered node by node.")
    ] = 2,
    groups: Annotated[
        int, typer.Option("--groups", help="Expert groups; each has a home node.")
    ] = 8,
    price: Annotated[
        list[float] | None,
        typer.Option(
            "--price",
            help="Worth of the off-home share in mean loads; may be given again. Default: 0.05, "
            "0.3.",
        ),
    ] = None,
    front: Annotated[
        bool, typer.Option("--front", help="Plan for many prices: the front of load and locality.")
    ] = False,
    colocation: opt.ColocationOption = opt.Colocation("allow"),
    with_scenarios: opt.Scenarios = False,
    weights: opt.Weights = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", help="Seconds for each plan.")
    ] = 10.0,
    effort: opt.Effort = None,
    workers: opt.Workers = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Where to draw it: .png, .svg, .pdf.")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Where to write a line for every plan.")
    ] = None,
    load_format: opt.FormatOption = None,
    map_file: opt.MapFile = None,
    experts: opt.Experts = None,
    as_json: opt.Json = False,
) -> None:
    """What locality costs: strict, anchored, priced and flat plans, each with a proven bound.

    Every expert has a home node. A price on what is served elsewhere buys most of the locality that
    keeping groups on nodes imposes, for a small part of its load. With several files one plan, and
    one choice of homes, serves them all; loads and off home are then their weighted means.

    Example: eplb-opt topology loads.npz --gpus 32 --slots 288 --nodes 4 --groups 8 --front
    """
    if plot_file is not None:
        plots.check_format(plot_file)
    machine = opt.machine(slots, gpus, 1, 1, colocation, "uniform")
    files = opt.Files(
        loads, with_scenarios, load_format, map_file, experts, weights=tuple(weights or ())
    )
    flat = read_problem(opt.Asked(files, machine)).problem
    problem = flat.with_topology(Topology(), nodes, groups)
    prices = FRONT_PRICES if front else (0.05, 0.3)
    with interruption() as asked, output.spinner("planning"):
        report = topologies(
            problem,
            prices=tuple(price) if price else prices,
            time_limit=None if effort is not None else time_limit,
            effort=effort,
            workers=workers,
            stop=asked.event,
        )
    saving = Saving()
    saving.save(plot_file, lambda to: _draw(report, to))
    saving.save(csv_file, lambda to: write_atomically(to, tables.topology_csv(report).encode()))
    try:
        _print(report, as_json=as_json)
    finally:
        saving.finish()
    asked.finish("plans that were not made until then are left out")


def _draw(report: TopologyReport, path: Path) -> None:
    plots.save(plots.topology(report), path)


def _print(report: TopologyReport, *, as_json: bool) -> None:
    if as_json:
        output.print_json(tables.topology_json(report))
        return
    console = output.stdout()
    console.print(tables.topology_table(report, console.width))
    output.warn(report.messages)
