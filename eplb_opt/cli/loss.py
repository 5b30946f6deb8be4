"""`eplb-opt plan-for-loss`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from eplb_opt.cli import gpu_options as gpu
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.gpu_options import SpreadName
from eplb_opt.cli.intake import read_problem
from eplb_opt.cli.outputs import Saving
from eplb_opt.cli.plan_output import PlanWriter
from eplb_opt.planner.evaluate import evaluate
from eplb_opt.planner.plan_for_loss import plan_for_loss
from eplb_opt.report.loss import loss_table

if TYPE_CHECKING:
    from eplb_opt.cli.intake import Intake
    from eplb_opt.planner.plan_for_loss import LossPlan


def loss_command(
    loads: opt.LoadsFiles,
    gpus: opt.Gpus,
    slots: opt.Slots,
    of: Annotated[SpreadName, typer.Option("--of", help="What is lost at a time.")] = SpreadName(
        "gpu"
    ),
    nodes: opt.Nodes = 1,
    groups: opt.Groups = 1,
    colocation: opt.ColocationOption = opt.Colocation("allow"),
    time_limit: opt.TimeLimit = 10.0,
    effort: opt.Effort = None,
    workers: opt.Workers = None,
    output_file: opt.OutputFile = None,
    engine: opt.EngineOption = opt.Engine("npz"),
    load_format: opt.FormatOption = None,
    map_file: opt.MapFile = None,
    experts: opt.Experts = None,
    lost_gpus: gpu.LostGpus = None,
    gpu_slots: gpu.GpuSlots = None,
    gpu_speeds: gpu.GpuSpeeds = None,
    pins: gpu.Pins = None,
    bans: gpu.Bans = None,
    as_json: opt.Json = False,
) -> None:
    """A plan for the worst single loss: the least load on any GPU that is left, nothing moved.

    Where the slots allow it every expert stands on two GPUs or nodes, and no loss takes one.

    Example: eplb-opt plan-for-loss loads.npz --gpus 32 --slots 512 --of gpu --output plan.npz
    """
    rule = opt.colocation_for(str(engine), str(colocation))
    machine = opt.machine(slots, gpus, nodes, groups, rule, "uniform")
    files = opt.Files(loads, False, load_format, map_file, experts)
    rules = gpu.RuleTexts(lost_gpus, gpu_slots, gpu_speeds, pins, bans)
    intake = read_problem(opt.Asked(files, machine, rules, opt.written_for(engine, output_file)))
    writer = PlanWriter(intake.recorded[0], None)
    if output_file is not None:
        writer.rehearse(output_file, str(engine), intake.problem)
    with output.spinner("planning"):
        found = plan_for_loss(
            intake.problem,
            str(of),
            time_limit=None if effort is not None else time_limit,
            effort=effort,
            workers=workers,
        )
    output.warn(found.messages)
    saving = Saving()
    saving.save_plan(output_file, lambda to, kind: writer.write(to, kind, found.plan), str(engine))
    try:
        _print(found, intake, str(of), as_json=as_json)
    finally:
        saving.finish()


def _print(found: LossPlan, intake: Intake, of: str, *, as_json: bool) -> None:
    whole = evaluate(intake.problem, found.plan)
    if not as_json:
        output.stdout().print(loss_table(found, whole, of, intake.layer_ids))
        return
    output.print_json(
        {
            "layers": list(intake.layer_ids),
            "messages": [*intake.notes, *found.messages],
            "of": of,
            "elapsed_seconds": found.elapsed,
            "objective": whole.objective,
            "balancedness": whole.balancedness,
            "largest_after_loss": found.after.largest_load,
            "worst_loss": found.after.worst,
            "experts_lost": found.after.experts_lost,
            "tokens_lost": [float(share) for share in found.after.tokens_lost],
            "survives": found.after.survives,
            "unprepared_largest_after_loss": found.unprepared.largest_load,
            "unprepared_experts_lost": found.unprepared.experts_lost,
            "lower_bound": found.lower_bound,
        }
    )
