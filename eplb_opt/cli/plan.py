"""`eplb-opt plan`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from eplb_opt.cli import gpu_options as gpu
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.check_line import announce_check, save_proofs
from eplb_opt.cli.dispatch import deploy_notes, noise_note
from eplb_opt.cli.intake import read_problem, with_names
from eplb_opt.cli.job import check_job, outcome_with
from eplb_opt.cli.links import RankCosts, Sources
from eplb_opt.cli.outputs import Saving
from eplb_opt.cli.plan_output import PlanWriter, print_result
from eplb_opt.cli.report import HeldOut, ReportFile, read_held_out, save_report
from eplb_opt.cli.solver_log import watched
from eplb_opt.cli.step_cost import CostOption, refuse_report, with_cost
from eplb_opt.cli.steps import (
    BatchTokens,
    ExpertsPerToken,
    WithBursts,
    check_batch,
    forecasts,
)
from eplb_opt.cli.stopping import interruption
from eplb_opt.cli.topology_options import (
    Anchored,
    HomesFile,
    MaxOffHome,
    TopologyOptions,
    TopologyPrice,
)
from eplb_opt.cli.transfers import TransfersFile, check_transfers, save_transfers
from eplb_opt.cli.warm_starts import Start, read_starts
from eplb_opt.cli.weights import DispatchWeights, check_weights_file, write_weights
from eplb_opt.planner.planner import plan
from eplb_opt.report.html import import_jinja


def plan_command(
    context: typer.Context,
    loads: opt.LoadsFiles,
    gpus: opt.Gpus,
    slots: opt.Slots,
    nodes: opt.Nodes = 1,
    groups: opt.Groups = 1,
    colocation: opt.ColocationOption = opt.Colocation("allow"),
    dispatch: opt.DispatchOption = opt.UNIFORM,
    with_scenarios: opt.Scenarios = False,
    phase: opt.PhaseOption = None,
    weights: opt.Weights = None,
    topology_price: TopologyPrice = None,
    anchored: Anchored = False,
    max_off_home: MaxOffHome = None,
    homes_file: HomesFile = None,
    rank_costs: RankCosts = None,
    sources: Sources = None,
    time_limit: opt.TimeLimit = 10.0,
    effort: opt.Effort = None,
    target_gap: opt.TargetGap = 0.0,
    noise: opt.Noise = None,
    model: opt.Model = opt.ModelName("cpsat"),
    workers: opt.Workers = None,
    start: Start = None,
    current: opt.Current = None,
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
    move_cost: opt.MoveCostOption = None,
    cross_node_price: opt.CrossNodePrice = 1,
    cluster: opt.Cluster = None,
    job: opt.JobFolder = None,
    resume: opt.Resume = False,
    output_file: opt.OutputFile = None,
    certificate_file: opt.CertificateFile = None,
    transfers_file: TransfersFile = None,
    engine: opt.EngineOption = opt.Engine("npz"),
    report_file: ReportFile = None,
    step_cost: CostOption = None,
    batch_tokens: BatchTokens = None,
    experts_per_token: ExpertsPerToken = None,
    with_bursts: WithBursts = False,
    held_out: HeldOut = None,
    dispatch_weights: DispatchWeights = None,
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
    """Find the best plan in the time given, and prove how good it is.

    Ctrl-C, SIGTERM and SIGHUP end the search early: the best so far is written and printed, and the
    exit code is 128 and the signal's number. With --job even a killed run is not lost: repeat the
    command with --resume.

    Example: eplb-opt plan loads.npz --gpus 32 --slots 288 --engine sglang --output plan.json
    """
    opt.check_noise(noise, [dispatch])
    check_weights_file(dispatch_weights)
    check_transfers(transfers_file, current)
    batches = check_batch(batch_tokens, experts_per_token, with_bursts, step_cost)
    refuse_report(step_cost, report_file)
    check_job(job, resume)
    colocation_rule = opt.colocation_for(str(engine), str(colocation))
    machine = opt.machine(slots, gpus, nodes, groups, colocation_rule, dispatch)
    machine = with_cost(machine, step_cost, batch_tokens, experts_per_token)
    topology = TopologyOptions(
        topology_price, anchored, max_off_home, homes_file, rank_costs, sources
    )
    files = opt.Files(
        loads, with_scenarios, load_format, map_file, experts, current, phase, tuple(weights or ())
    )
    rules = gpu.RuleTexts(lost_gpus, gpu_slots, gpu_speeds, pins, bans, spread)
    written = opt.written_for(engine, output_file)
    intake = read_problem(opt.Asked(files, machine, rules, written, topology))
    recorded, problem = intake.recorded[0], intake.problem
    limit = None if effort is not None else time_limit
    warm_starts = read_starts(start, recorded.layer_ids)
    cost = opt.move_cost(move_cost)
    unseen = read_held_out(held_out, recorded)
    writer = PlanWriter(recorded, intake.current)
    if output_file is not None:
        writer.rehearse(output_file, str(engine), problem)
    if report_file is not None:
        import_jinja()
    with interruption() as asked:
        with watched(limit, "planning", verbose) as progress:
            result = plan(
                problem,
                time_limit=limit,
                effort=effort,
                target_gap=target_gap,
                noise=noise,
                current=intake.in_force,
                max_moves=max_moves,
                move_tolerance=move_tolerance,
                move_cost=cost,
                cross_node_price=cross_node_price,
                model=str(model),
                workers=workers,
                progress=progress,
                stop=asked.event,
                starts=warm_starts,
                cluster=cluster,
                job=job,
            )
        messages = tuple(with_names(text, intake.layer_ids) for text in result.messages)
        result = replace(result, messages=(*intake.notes, *messages))
        saving = Saving()
        saving.save_plan(output_file, lambda to, kind: writer(to, kind, result), str(engine))
        save_proofs(saving, certificate_file, result)
        saving.save(
            dispatch_weights,
            lambda to: write_weights(to, problem, result.plan, intake.layer_ids),
        )
        moving = save_transfers(
            saving, transfers_file, result, str(engine), intake.in_force, recorded
        )
        worth = None
        if cost is not None:
            worth = cost.assess(problem, intake.in_force, result.plan, cross_node_price)
        before = None if current is None else (str(current), intake.in_force)
        plans = {"eplb-opt": result.plan} | ({} if before is None else dict([before]))
        steps = forecasts(
            intake, plans, batches, with_bursts=with_bursts, model_gap=result.model_gap
        )
        saving.save(
            report_file,
            lambda to: save_report(
                context,
                to,
                result,
                recorded,
                current=before,
                held_out=unseen,
                asked=None if saving.failures else intake.asked,
                batches=batches,
                steps=steps,
            ),
        )
        output.warn((*messages, *noise_note(result, noise)))
        if output_file is not None:
            output.warn(deploy_notes(result, str(engine)))
        if certificate_file is not None:
            announce_check(intake.asked, certificate_file, output_file, str(engine))
        try:
            print_result(result, intake, plans, unseen, moving if as_json else None, worth, steps)
        finally:
            saving.finish()
    asked.finish(outcome_with(job))
