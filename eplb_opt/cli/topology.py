"""`eplb-opt topology`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eplb_opt import plots
from eplb_opt.cli import gpu_options as gpu
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.intake import read_problem
from eplb_opt.cli.links import RankCosts, Sources, links_of
from eplb_opt.cli.outputs import Saving
from eplb_opt.cli.stopping import interruption
from eplb_opt.cli.tokens import measured, tokens_for
from eplb_opt.cli.topology_options import HomesFile
from eplb_opt.errors import ProblemError
from eplb_opt.io.files import write_atomically
from eplb_opt.io.recordings.token_files import read_by_layer
from eplb_opt.planner.topologies import FRONT_PRICES, topologies
from eplb_opt.problem.topology import Topology
from eplb_opt.report import topology as tables

if TYPE_CHECKING:
    from eplb_opt.planner.topologies import TopologyReport
    from eplb_opt.workloads.tokens.traffic import TopologyTraffic


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
    rank_costs: RankCosts = None,
    sources: Sources = None,
    colocation: opt.ColocationOption = opt.Colocation("allow"),
    dispatch: opt.DispatchOption = opt.UNIFORM,
    with_scenarios: opt.Scenarios = False,
    weights: opt.Weights = None,
    lost_gpus: gpu.LostGpus = None,
    gpu_slots: gpu.GpuSlots = None,
    gpu_speeds: gpu.GpuSpeeds = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", help="Seconds for each plan.")
    ] = 10.0,
    effort: opt.Effort = None,
    workers: opt.Workers = None,
    homes_file: HomesFile = None,
    tokens_file: Annotated[
        Path | None,
        typer.Option(
            "--tokens",
            help="A recording of single tokens: what each plan really sends between nodes.",
        ),
    ] = None,
    exchange: Annotated[
        float | None,
        typer.Option(
            "--exchange",
            min=0,
            help="With --tokens: time of a layer's exchange (experts anywhere, not hidden) over "
            "that of its experts.",
        ),
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(
            "--within",
            min=0,
            help="Also say how little is off home with loads so close to the best; 0.01 is 1 %.",
        ),
    ] = None,
    plot_file: opt.PlotFile = None,
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
    keeping groups on nodes imposes, for a small part of its load. Recorded tokens say how much.
    With --dispatch nearest or rank_modulo every GPU sends tokens to one replica, and the price is
    on what crosses nodes; with --rank-costs or --sources it is on what links cost on average. With
    several files one plan, and one choice of homes, serves them all; loads and off home are then
    their weighted means.

    Example: eplb-opt topology loads.npz --gpus 32 --slots 288 --nodes 4 --groups 8 --front
    """
    if exchange is not None and tokens_file is None:
        raise ProblemError("--exchange needs --tokens: counts do not say what is exchanged.")
    if tokens_file is not None and str(dispatch) != str(opt.UNIFORM):
        raise ProblemError(
            f"--tokens are spread by the uniform split and do not go with --dispatch {dispatch}; "
            "leave one of them out."
        )
    if plot_file is not None:
        plots.check_format(plot_file)
    machine = opt.machine(slots, gpus, 1, 1, colocation, dispatch)
    files = opt.Files(
        loads, with_scenarios, load_format, map_file, experts, weights=tuple(weights or ())
    )
    rules = gpu.RuleTexts(lost_gpus, gpu_slots, gpu_speeds)
    intake = read_problem(opt.Asked(files, machine, rules))
    flat = intake.problem
    layer_ids = intake.recorded[0].layer_ids
    homes = None if homes_file is None else read_by_layer(homes_file, "homes", layer_ids)
    tokens = None if tokens_file is None else tokens_for(tokens_file, intake)
    links = links_of(rank_costs, sources, layer_ids)
    problem = flat.with_topology(Topology(homes=homes, **links), nodes, groups)
    prices = FRONT_PRICES if front else (0.05, 0.3)
    with interruption() as asked, output.spinner("planning"):
        report = topologies(
            problem,
            prices=tuple(price) if price else prices,
            anchored=sources is None,
            time_limit=None if effort is not None else time_limit,
            effort=effort,
            workers=workers,
            stop=asked.event,
        )
    traffic = None if tokens is None else measured(report, tokens)
    saving = Saving()
    saving.save(plot_file, lambda to: _draw(report, to))
    saving.save(
        csv_file,
        lambda to: write_atomically(to, tables.topology_csv(report, traffic, exchange).encode()),
    )
    try:
        _print(report, traffic, exchange, within, as_json=as_json)
    finally:
        saving.finish()
    asked.finish("plans that were not made until then are left out")


def _draw(report: TopologyReport, path: Path) -> None:
    plots.save(plots.topology(report), path)


def _print(
    report: TopologyReport,
    traffic: TopologyTraffic | None,
    exchange: float | None,
    within: float | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        output.print_json(
            tables.topology_json(report, traffic, exchange) | tables.near_home_json(report, within)
        )
        return
    console = output.stdout()
    console.print(tables.topology_table(report, console.width, traffic, exchange))
    if traffic is not None:
        for line in tables.price_words(report, traffic):
            console.print(line)
    if within is not None:
        console.print(tables.near_home_words(report, within), highlight=False)
    output.warn(report.messages)
