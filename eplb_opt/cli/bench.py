"""`eplb-opt bench`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.bench import anytime, dispatch, moves, plan_overshoot
from eplb_opt.bench.dispatch_tables import splits_table
from eplb_opt.bench.families import FAMILIES, family_loads
from eplb_opt.bench.generator import generate_loads
from eplb_opt.bench.hot import (
    CONFIGURATIONS,
    HEADLINE,
    PAIRS,
    PolicyRow,
    gap_ratios,
    geometric_mean,
    measure,
    policies,
)
from eplb_opt.bench.hot_tables import (
    anytime_table,
    means_table,
    overshoot_table,
    plan_overshoot_table,
    policies_table,
)
from eplb_opt.bench.lost import lost_rows
from eplb_opt.bench.moves_table import moves_table
from eplb_opt.bench.overshoot import overshoot_rows
from eplb_opt.bench.plan_tables import plan_rows_table
from eplb_opt.bench.plans import plan_rows
from eplb_opt.bench.soak import soak
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.bench_forecast import forecast_bench_command
from eplb_opt.cli.bench_replay import replay_bench_command
from eplb_opt.cli.complete import (
    MACHINES,
    family_names,
    heuristic_names,
    machine_names,
    model_names,
)
from eplb_opt.cli.help import App
from eplb_opt.errors import require
from eplb_opt.exact import MODELS
from eplb_opt.io import read_loads
from eplb_opt.planner.warmup import warmup

app = App(help="Measurements.")
app.command("replay")(replay_bench_command)
app.command("forecast")(forecast_bench_command)

DISPATCH_MACHINES = ["288x32", "320x32", "384x64", "432x144"]


@app.command("plans")
def plans_command(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="LOADS", help="Recorded loads.")
    ] = None,
    families: Annotated[
        list[str] | None,
        typer.Option("--family", help=f"Of {', '.join(FAMILIES)}.", autocompletion=family_names),
    ] = None,
    machines: Annotated[
        list[str],
        typer.Option(
            "--machine",
            help="SLOTSxGPUS or SLOTSxGPUS/NODES/GROUPS.",
            autocompletion=machine_names,
        ),
    ] = MACHINES,
    limits: Annotated[list[float], typer.Option("--time-limit", help="Seconds a model.")] = [1.0],  # noqa: B006
    layers: Annotated[int, typer.Option(help="Layers of a synthetic model.")] = 58,
    experts: Annotated[int, typer.Option(help="Experts of a synthetic model.")] = 256,
    seed: Annotated[int, typer.Option(help="Of the synthetic loads.")] = 0,
    models: Annotated[
        list[str],
        typer.Option(
            "--model",
            help=f"Alone in the same time: {', '.join(MODELS)}.",
            autocompletion=model_names,
        ),
    ] = [],  # noqa: B006
    heuristics: Annotated[
        list[str],
        typer.Option(
            "--heuristic",
            help="Beside it; any of `heuristics.HEURISTICS`.",
            autocompletion=heuristic_names,
        ),
    ] = ["greedy"],  # noqa: B006
    as_json: opt.Json = False,
) -> None:
    """Plan load families and recordings under several time limits; show what is proven.

    Example: eplb-opt bench plans --machine 288x72 --time-limit 1 --time-limit 10 --model cpsat
    """
    loads = {path.stem: read_loads(path).total for path in files or []}
    chosen = families if families is not None else ([] if loads else list(FAMILIES))
    loads |= {name: family_loads(name, layers, experts, seed) for name in chosen}
    parsed = opt.parsed_machines(machines)
    with output.spinner("loading kernels"):
        warmup(everything=True)
    each = 1 + len(models) + len(heuristics)
    total = len(loads) * len(parsed) * len(limits) * each
    rows = []
    with output.counting_bar(total, "planning") as show:
        for row in plan_rows(loads, parsed, limits, models=models, heuristics=heuristics):
            rows.append(row)
            show(len(rows))
    if as_json:
        output.print_json(rows)
    else:
        output.stdout().print(plan_rows_table(rows))


@app.command("dispatch")
def dispatch_command(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="LOADS", help="Recorded loads; by default DeepSeek-V3-like ones."),
    ] = None,
    machines: Annotated[
        list[str], typer.Option("--machine", help="SLOTSxGPUS.")
    ] = DISPATCH_MACHINES,
    placements: Annotated[
        list[str], typer.Option("--placement", help=f"Of {', '.join(dispatch.PLACEMENTS)}.")
    ] = list(dispatch.PLACEMENTS),  # noqa: B006
    batches: Annotated[int, typer.Option(help="Batches a call, each with loads of its own.")] = 4,
    layers: Annotated[int, typer.Option(help="The most layers to measure.")] = 58,
    rounds: Annotated[int, typer.Option(help="Turns of every program.")] = 5,
    seed: Annotated[int, typer.Option(help="Of batches and placements.")] = 0,
    as_json: opt.Json = False,
) -> None:
    """Split loads over the copies of a placement: our solver beside others, by turns.

    Example: eplb-opt bench dispatch --machine 320x32 --rounds 9
    """
    load = generate_loads("deepseek-v3", 58, 256, 0) if file is None else read_loads(file).total
    warmup()
    shown: list[dispatch.DispatchRow] = []
    for name, machine in zip(machines, opt.parsed_machines(machines), strict=True):
        for placement in placements:
            case = dispatch.make_case(load[:layers], machine, placement, batches, seed)
            with output.spinner(f"measuring {name}, {placement}"):
                rows = list(dispatch.measure(case, name, placement, rounds))
            shown += rows
            if not as_json:
                output.stdout().print(splits_table(rows))
    if as_json:
        output.print_json(shown)


@app.command("hot")
def hot_command(
    rounds: Annotated[int, typer.Option(help="Turns of every policy a configuration.")] = 5,
    calls: Annotated[int, typer.Option(help="Calls a limit for the overshoot; 0 for none.")] = 2000,
    quick: Annotated[
        bool, typer.Option("--quick", help="The headline configuration alone.")
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Measure the hot path beside all rivals: times, gaps, and lateness under time limits.

    Example: eplb-opt bench hot --quick
    """
    require("torch")  # engines hand their policies tensors
    with output.spinner("loading kernels"):
        warmup()
    chosen = policies()
    rows: list[PolicyRow] = []
    configurations = (HEADLINE,) if quick else (HEADLINE, *CONFIGURATIONS, *PAIRS)
    wanted = list(dict.fromkeys(configurations))
    for place, (model, machine) in enumerate(wanted):
        with output.spinner(f"measuring {machine} ({place + 1} of {len(wanted)})"):
            measured = list(measure(model, machine, chosen, rounds))
        rows += measured
        if not as_json:
            output.stdout().print(policies_table(measured))
    with output.spinner("measuring lateness"):
        late = list(overshoot_rows(calls)) if calls else []
    if as_json:
        means = {name: geometric_mean(list(gap_ratios(rows, name).values())) for name in chosen}
        output.print_json({"policies": rows, "geometric_means": means, "overshoot": late})
        return
    output.stdout().print(means_table(rows))
    if late:
        output.stdout().print(overshoot_table(late))


@app.command("anytime")
def anytime_command(
    machines: Annotated[
        list[str],
        typer.Option(
            "--machine",
            help="SLOTSxGPUS or SLOTSxGPUS/NODES/GROUPS.",
            autocompletion=machine_names,
        ),
    ] = list(anytime.MACHINES),  # noqa: B006
    limits: Annotated[list[float], typer.Option("--time-limit", help="Seconds.")] = list(  # noqa: B006
        anytime.LIMITS
    ),
    layers: Annotated[int, typer.Option(help="The most layers to measure.")] = 58,
    as_json: opt.Json = False,
) -> None:
    """Plan the same loads under ever longer limits: what more time brings.

    Example: eplb-opt bench anytime --machine 288x72 --time-limit 0.02 --time-limit 2
    """
    opt.parsed_machines(machines)
    rows = []
    with output.counting_bar(len(machines) * len(limits), "planning") as show:
        for row in anytime.anytime_rows(machines, limits, layers):
            rows.append(row)
            show(len(rows))
    if as_json:
        output.print_json(rows)
    else:
        output.stdout().print(anytime_table(rows))


@app.command("overshoot")
def overshoot_command(
    cases: Annotated[
        list[str],
        typer.Option("--case", help="Rules, put together with +; see the table for names."),
    ] = list(plan_overshoot.CASES),  # noqa: B006
    time_limit: Annotated[float, typer.Option(help="Seconds.")] = 0.5,
    slots: Annotated[list[int], typer.Option(help="Slots a GPU.")] = [1, 2],  # noqa: B006
    layers: Annotated[int, typer.Option(help="Layers.")] = 94,
    experts: Annotated[int, typer.Option(help="Experts a layer.")] = 512,
    gpus: Annotated[int, typer.Option(help="GPUs.")] = 1024,
    as_json: opt.Json = False,
) -> None:
    """Plan under every rule at the largest shape: how late the plans come, and their memory.

    The exit code is 1 where one is later than 0.1 s, or than 5 % of the limit.

    Example: eplb-opt bench overshoot --case pinned --case scenarios+optimal --slots 2
    """
    shapes = [plan_overshoot.Shape(layers, experts, gpus, each) for each in slots]
    rows = []
    num = len(shapes) * len(cases) * len(plan_overshoot.LIMITS)
    with output.counting_bar(num, "planning") as show:
        for shape in shapes:
            for row in plan_overshoot.plan_overshoot_rows(time_limit, shape, cases):
                rows.append(row)
                show(len(rows))
    if as_json:
        output.print_json(rows)
    else:
        output.stdout().print(plan_overshoot_table(rows))
    if not all(row.keeps_its_limit for row in rows):
        raise typer.Exit(1)


@app.command("moves")
def moves_command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="LOADS",
            help="Recorded loads: the first drift, and change to each of the others. By default "
            "DeepSeek-V3-like ones that drift.",
        ),
    ] = None,
    machines: Annotated[
        list[str],
        typer.Option(
            "--machine",
            help="SLOTSxGPUS or SLOTSxGPUS/NODES/GROUPS.",
            autocompletion=machine_names,
        ),
    ] = list(moves.MACHINES),  # noqa: B006
    drifts: Annotated[
        list[float], typer.Option("--drift", help="Standard deviation of the loads' logarithms.")
    ] = list(moves.DRIFTS),  # noqa: B006
    tolerances: Annotated[
        list[float], typer.Option("--tolerance", help="Above the bound, of the near plans.")
    ] = list(moves.TOLERANCES),  # noqa: B006
    rounds: Annotated[int, typer.Option(min=1, help="Calls of each policy.")] = 5,
    offline: Annotated[
        float, typer.Option(min=0, help="Seconds of the planner, as a reference; 0 leaves it out.")
    ] = 10.0,
    layers: Annotated[int, typer.Option(help="Layers of the synthetic model.")] = 58,
    lost: Annotated[
        int, typer.Option(min=0, help="GPUs that are lost and return, measured too; 0 for none.")
    ] = 0,
    as_json: opt.Json = False,
) -> None:
    """Re-plan near the map in force and anew, by turns: load, moves and time.

    Example: eplb-opt bench moves prefill.npz decode.npz --machine 288x32 --tolerance 0.01
    """
    parsed = opt.parsed_machines(machines)
    loads = {path.stem: read_loads(path).total for path in files or []}
    if not loads:
        loads = {"deepseek-v3": generate_loads("deepseek-v3", layers, 256, 0)}
    name = next(iter(loads))
    changes = [*moves.drifts(name, loads[name], drifts), *moves.recorded(loads)]
    rows: list[moves.MovesRow] = []
    for machine in parsed:
        for change in changes:
            with output.spinner(f"measuring {change.name} on {machine}"):
                found = list(moves.moves_rows([change], machine, tolerances, rounds, offline))
            rows += found
            if not as_json:
                output.stdout().print(moves_table(found))
        if lost:
            with output.spinner(f"measuring the loss of {lost} GPUs on {machine}"):
                found = list(lost_rows(name, loads[name], machine, lost, tolerances, rounds))
            rows += found
            half = len(found) // 2  # after the loss, and after the return
            for part in () if as_json else (found[:half], found[half:]):
                output.stdout().print(moves_table(part))
    if as_json:
        output.print_json(rows)


@app.command("soak")
def soak_command(
    calls: Annotated[int, typer.Option(help="Random serving calls.")] = 10_000,
    plans: Annotated[
        int | None,
        typer.Option(help="Random problems over every rule; by default a tenth of --calls."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    as_json: opt.Json = False,
) -> None:
    """Make random calls and plans, and check every answer; small plans by trying everything.

    The exit code is 1 where an answer is wrong.

    Example: eplb-opt bench soak --calls 1000000
    """
    plans = calls // 10 if plans is None else plans
    with output.counting_bar(calls + plans, "calling") as show:
        report = soak(calls, seed, show, plans)
    if as_json:
        output.print_json(report)
    else:
        print(
            f"{report.calls} calls, {report.layers} layers and {report.slots} slots checked in "
            f"{report.seconds - report.attack.seconds:.0f} s; memory grew by "
            f"{report.grown_bytes / 2**20:.1f} MiB"
        )
        counts = ", ".join(f"{n} {name}" for name, n in sorted(report.attack.counts.items()))
        print(f"{plans} problems in {report.attack.seconds:.0f} s: {counts or 'none'}")
    for fault in (*report.faults, *report.attack.faults):
        print(fault, file=sys.stderr)
    if not report.is_clean:
        raise typer.Exit(1)
