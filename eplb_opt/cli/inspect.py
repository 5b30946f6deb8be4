"""`eplb-opt check` and `eplb-opt bound`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from eplb_opt.cli import gpu_options as gpu
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.check_line import announce_check, save_proofs
from eplb_opt.cli.dispatch import check_notes
from eplb_opt.cli.intake import Intake, examine_plan, naming_layers, read_problem, with_names
from eplb_opt.cli.links import RankCosts, Sources
from eplb_opt.cli.outputs import Saving
from eplb_opt.cli.plan_output import moves_between, moves_line
from eplb_opt.cli.solver_log import watched
from eplb_opt.cli.step_cost import CostOption, check_cost_alone, with_cost
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
from eplb_opt.cli.topology_options import (
    Anchored,
    HomesFile,
    MaxOffHome,
    TopologyOptions,
    TopologyPrice,
)
from eplb_opt.cli.weights import DispatchWeights, check_weights_file, write_weights
from eplb_opt.errors import PlanError
from eplb_opt.io import VALIDATORS, read_certificates, read_stored_plan
from eplb_opt.placement.dispatch_rules import (
    DispatchScore,
    dispatch_score,
    without_topology,
)
from eplb_opt.placement.padding import empty_last
from eplb_opt.placement.plan import Plan
from eplb_opt.planner.evaluate import Evaluation, evaluate, verified_bounds
from eplb_opt.planner.planner import plan
from eplb_opt.report.dispatch import dispatch_table
from eplb_opt.report.gap import model_balancedness
from eplb_opt.report.locality import locality_json, locality_table
from eplb_opt.report.step_time import drawn_seconds, step_line
from eplb_opt.report.tables import bound_table, evaluation_table
from eplb_opt.result import Result


def check_command(
    plan_file: Annotated[
        Path, typer.Argument(metavar="PLAN", help="A plan file.", show_default=False)
    ],
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
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate",
            help="Proofs of the bounds, to be verified anew.",
            rich_help_panel="Options",
        ),
    ] = None,
    max_gap: Annotated[
        float | None,
        typer.Option("--max-gap", help="Exit code 3 above it too: to the bound, 0.01 is 1 %."),
    ] = None,
    min_balancedness: Annotated[
        float | None,
        typer.Option("--min-balancedness", help="Exit code 3 below it too; of the whole model."),
    ] = None,
    engine: Annotated[
        opt.Runtime | None,
        typer.Option(
            "--engine",
            metavar="<name>",
            help=f"Whose runtime must take the file as it is: {', '.join(opt.Runtime)}.",
        ),
    ] = None,
    current: opt.Current = None,
    step_cost: CostOption = None,
    load_format: opt.FormatOption = None,
    plan_format: Annotated[
        opt.PlanFormat | None,
        typer.Option(
            "--plan-format",
            metavar="<name>",
            help=f"Format of PLAN, where its content does not tell: {', '.join(opt.PlanFormat)}.",
        ),
    ] = None,
    dispatch_weights: DispatchWeights = None,
    batch_tokens: BatchTokens = None,
    experts_per_token: ExpertsPerToken = None,
    with_bursts: WithBursts = False,
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
    """Check a plan against every rule and score it exactly; exit code 3 when it breaks one.

    --max-gap and --min-balancedness make it a gate for a deployment script.

    It is scored as --dispatch says; beside it stand the uniform split, optimal dispatch, nearest
    copy, where every GPU sends to the copy on itself, else on its node (--nodes), else to a fair
    one, and rank modulo, where the GPUs take the copies in turn.

    With --certificate the saved bounds are proven again in integers, without any solver; a
    certificate that proves less than it claims is refused, with exit code 3 too.

    With --topology-price, and --nodes, --groups or --homes, the plan is scored by load and by what
    is served off home, crosses nodes, or costs on links; --anchored and --max-off-home are rules.

    With --batch-tokens and --experts-per-token it says what balancedness steps of that size see.

    With --engine the file is also checked as that runtime reads it: unknown keys, missing layers,
    an expert twice on a device, changed slots, empty slots.

    Example: eplb-opt check plan.json loads.npz --gpus 32 --slots 288 --certificate proof.json
    """
    check_weights_file(dispatch_weights)
    batches = check_batch(batch_tokens, experts_per_token, with_bursts, step_cost)
    machine = opt.machine(slots, gpus, nodes, groups, colocation, dispatch)
    machine = with_cost(machine, step_cost, batch_tokens, experts_per_token)
    files = opt.Files(
        loads, with_scenarios, load_format, map_file, experts, current, phase, tuple(weights or ())
    )
    rules = gpu.RuleTexts(lost_gpus, gpu_slots, gpu_speeds, pins, bans, spread)
    topology = TopologyOptions(
        topology_price, anchored, max_off_home, homes_file, rank_costs, sources
    )
    asked = opt.Asked(files, machine, rules, "" if engine is None else str(engine), topology)
    stored = read_stored_plan(plan_file, None if plan_format is None else str(plan_format))
    intake = read_problem(asked, stored)
    recorded, problem = intake.recorded[0], intake.problem
    examine_plan(stored, str(plan_file), recorded, gpus)
    placed = empty_last(stored.rows(intake.layer_ids), gpus)
    if engine is not None:
        VALIDATORS[str(engine)](
            plan_file,
            current=intake.current,
            num_gpus=gpus,
            num_experts=recorded.num_experts,
            num_slots=slots,
            layer_ids=recorded.layer_ids,
            num_hidden_layers=recorded.num_hidden_layers,
        )
    saved = [None] * problem.num_layers if certificate is None else read_certificates(certificate)
    with naming_layers(intake.layer_ids):
        with output.counting_bar(problem.num_layers, "proving anew") as show:
            bounds = verified_bounds(problem, saved, show)
        score = evaluate(problem, placed, bounds)
        reached = None if problem.has_cost else dispatch_score(without_topology(problem), placed)
    notes = () if reached is None else check_notes(problem, reached, score.model_gap)
    moves = moves_between(intake, placed)
    output.warn(notes)
    steps = forecasts(
        intake,
        {str(plan_file): placed},
        batches,
        with_bursts=with_bursts,
        model_gap=score.model_gap,
    )
    noise = None if steps is None else steps.noise
    saving = Saving()
    plan_checked = Plan(placed, gpus, problem.num_experts)
    saving.save(
        dispatch_weights, lambda to: write_weights(to, problem, plan_checked, intake.layer_ids)
    )
    if as_json:
        output.print_json(
            {
                "layers": list(intake.layer_ids),
                "dispatch": problem.dispatch,
                "messages": [*intake.notes, *notes],
                **asdict(score),
                **locality_json(problem, placed),
                "moves": moves,
                "nearest_copy": _reached(reached),
                **steps_json(steps),
            }
        )
    else:
        console = output.stdout()
        in_seconds = problem.counts_seconds
        if problem.has_topology:
            console.print(locality_table(problem, placed, score, intake.layer_ids, noise))
        else:
            console.print(
                evaluation_table(score, problem.dispatch, intake.layer_ids, in_seconds, noise)
            )
        print_noise(console, noise)
        if in_seconds:
            drawn = drawn_seconds(problem, placed)
            line = step_line(problem, score.objective, score.lower_bound, drawn)
            console.print(line, highlight=False)
        if reached is not None:
            console.print(dispatch_table(reached, intake.layer_ids))
        print_steps(console, steps)
        if moves is not None:
            console.print(moves_line(moves, problem), highlight=False)
    saving.finish()
    _check_limits(score, max_gap, min_balancedness)


def _reached(reached: DispatchScore | None) -> dict[str, Any] | None:
    """The plan under other dispatches; nothing where seconds count, which know one."""
    if reached is None:
        return None
    shares = {"apart": reached.nearest_excess, "needs_dispatch": reached.needs_dispatch}
    return {**asdict(reached), **shares}


def _check_limits(score: Evaluation, max_gap: float | None, min_balancedness: float | None) -> None:
    """Raise PlanError where a plan is worse than was asked for."""
    if max_gap is not None and score.model_gap > max_gap:
        raise PlanError(
            f"the model gap is {score.model_gap:.6g}, above --max-gap {max_gap:g}; plan for "
            "longer, or prove a higher bound with `eplb-opt plan --certificate`."
        )
    reached = model_balancedness(score.balancedness, score.objective)
    if min_balancedness is not None and reached < min_balancedness:
        raise PlanError(
            f"the balancedness is {reached:.6g}, below --min-balancedness {min_balancedness:g}; "
            "plan for longer, or ask `eplb-opt size` how many slots it takes."
        )


def bound_command(
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
    step_cost: CostOption = None,
    batch_tokens: BatchTokens = None,
    experts_per_token: ExpertsPerToken = None,
    time_limit: opt.TimeLimit = 10.0,
    effort: opt.Effort = None,
    target_gap: opt.TargetGap = 0.0,
    model: opt.Model = opt.ModelName("cpsat"),
    workers: opt.Workers = None,
    certificate_file: opt.CertificateFile = None,
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
    """Prove how low the largest GPU load of each layer can possibly be, or its seconds with --cost.

    Plans are searched for beside it, which shows how far a bound may still rise. `check` proves
    the certificates anew. Ctrl-C, SIGTERM and SIGHUP end it early, as they end `plan`.

    Example: eplb-opt bound loads.npz --gpus 32 --slots 288 --time-limit 60
    """
    check_cost_alone(step_cost, batch_tokens, experts_per_token)
    machine = opt.machine(slots, gpus, nodes, groups, colocation, dispatch)
    machine = with_cost(machine, step_cost, batch_tokens, experts_per_token)
    files = opt.Files(
        loads, with_scenarios, load_format, map_file, experts, None, phase, tuple(weights or ())
    )
    rules = gpu.RuleTexts(lost_gpus, gpu_slots, gpu_speeds, pins, bans, spread)
    intake = read_problem(opt.Asked(files, machine, rules))
    limit = None if effort is not None else time_limit
    with interruption() as asked:
        with watched(limit, "proving", verbose) as progress:
            result = plan(
                intake.problem,
                time_limit=limit,
                effort=effort,
                target_gap=target_gap,
                model=str(model),
                workers=workers,
                progress=progress,
                stop=asked.event,
            )
        saving = Saving()
        save_proofs(saving, certificate_file, result)
        output.warn(tuple(with_names(text, intake.layer_ids) for text in result.messages))
        if certificate_file is not None:
            announce_check(intake.asked, certificate_file)
        try:
            _print_bounds(result, intake, as_json)
        finally:
            saving.finish()
    asked.finish()


def _print_bounds(result: Result, intake: Intake, as_json: bool) -> None:
    if as_json:
        output.print_json(
            {
                "layers": list(intake.layer_ids),
                "messages": [*intake.notes, *result.messages],
                "lower_bound": result.lower_bound,
                "bound_source": result.bound_source,
                "objective": result.objective,
                "gap": result.gap,
                "model_gap": result.model_gap,
            }
        )
    else:
        output.stdout().print(bound_table(result, intake.layer_ids))
