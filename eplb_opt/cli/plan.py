"""`eplb-opt plan`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.check_line import announce_check, save_proofs
from eplb_opt.cli.dispatch import deploy_notes, noise_note
from eplb_opt.cli.outputs import Saving
from eplb_opt.cli.report import (
    BatchTokens,
    ExpertsPerToken,
    HeldOut,
    ReportFile,
    check_batch,
    read_held_out,
    save_report,
)
from eplb_opt.cli.scenarios import read_problem
from eplb_opt.cli.stopping import interruption
from eplb_opt.io import Loads, read_plan, write_plan
from eplb_opt.io.kept_slots import in_kept_slots
from eplb_opt.placement.plan import Plan
from eplb_opt.planner.planner import plan
from eplb_opt.problem.problem import Problem
from eplb_opt.report.gap_tables import scenario_table_text
from eplb_opt.report.html import import_jinja
from eplb_opt.report.scenarios import scenario_table
from eplb_opt.report.tables import result_table
from eplb_opt.result import Result


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
    time_limit: opt.TimeLimit = 10.0,
    effort: opt.Effort = None,
    target_gap: opt.TargetGap = 0.0,
    noise: opt.Noise = None,
    model: opt.Model = opt.ModelName("cpsat"),
    workers: opt.Workers = None,
    current: Annotated[
        Path | None,
        typer.Option("--current", help="The plan in force: a start; moves are counted."),
    ] = None,
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
    output_file: Annotated[
        Path | None, typer.Option("--output", help="Where to write the plan.")
    ] = None,
    certificate_file: opt.CertificateFile = None,
    engine: Annotated[
        opt.Engine, typer.Option("--engine", help="In whose format to write it.")
    ] = opt.Engine("npz"),
    report_file: ReportFile = None,
    batch_tokens: BatchTokens = None,
    experts_per_token: ExpertsPerToken = None,
    held_out: HeldOut = None,
    load_format: opt.FormatOption = None,
    as_json: opt.Json = False,
) -> None:
    """Find the best plan in the time given, and prove how good it is.

    Ctrl-C, SIGTERM and SIGHUP end the search early: the best so far is written and printed, and the
    exit code is 128 and the signal's number.

    Example: eplb-opt plan loads.npz --gpus 32 --slots 288 --engine sglang --output plan.json
    """
    opt.check_noise(noise, [dispatch])
    check_batch(batch_tokens, experts_per_token)
    colocation_rule = opt.colocation_for(str(engine), str(colocation))
    machine = opt.machine(slots, gpus, nodes, groups, colocation_rule, dispatch)
    asked_for = opt.Asked(loads, machine, with_scenarios, load_format)
    (recorded, *_), problem = read_problem(asked_for)
    in_force = None if current is None else read_plan(current, layer_ids=recorded.layer_ids)
    limit = None if effort is not None else time_limit
    unseen = read_held_out(held_out, recorded)
    writer = _PlanWriter(recorded, in_force)
    if output_file is not None:
        writer.rehearse(output_file, str(engine), problem)
    if report_file is not None:
        import_jinja()
    with interruption() as asked:
        with output.progress_bar(limit, "planning") as progress:
            result = plan(
                problem,
                time_limit=limit,
                effort=effort,
                target_gap=target_gap,
                noise=noise,
                current=in_force,
                max_moves=max_moves,
                move_tolerance=move_tolerance,
                model=str(model),
                workers=workers,
                progress=progress,
                stop=asked.event,
            )
        saving = Saving()
        saving.save_plan(output_file, lambda to, kind: writer(to, kind, result), str(engine))
        save_proofs(saving, certificate_file, result)
        before = None if current is None else (str(current), in_force)
        saving.save(
            report_file,
            lambda to: save_report(
                context,
                to,
                result,
                recorded,
                current=before,
                held_out=unseen,
                asked=None if saving.failures else asked_for,
            ),
        )
        output.warn((*result.messages, *noise_note(result, noise)))
        if output_file is not None:
            output.warn(deploy_notes(result, str(engine)))
        if certificate_file is not None:
            announce_check(asked_for, certificate_file, output_file, str(engine))
        plans = {"eplb-opt": result.plan} | ({} if before is None else {before[0]: in_force})
        try:
            _print(result, plans, unseen, as_json)
        finally:
            saving.finish()
    asked.finish()


def _print(result: Result, plans: dict[str, Any], unseen: dict[str, Any], as_json: bool) -> None:
    scored = scenario_table(result.problem, plans, unseen) if unseen else None
    if as_json:
        output.print_json(output.result_json(result) | ({"loads": scored} if scored else {}))
        return
    console = output.stdout()
    console.print(result_table(result))
    if scored:
        console.print(scenario_table_text(scored, console.width))


@dataclass(frozen=True, eq=False)
class _PlanWriter:
    """Writes a plan with what its recording tells.

    Parameters
    ----------
    recorded
        The recording that is planned for.
    in_force
        The plan in force, for engines that restrict what may change.
    """

    recorded: Loads
    in_force: np.ndarray | None

    def __call__(self, path: Path, engine: str, result: Result) -> None:
        facts = {name: getattr(result, name) for name in ("objective", "lower_bound", "status")}
        self._write(path, engine, result.plan, **facts)

    def rehearse(self, path: Path, engine: str, problem: Problem) -> None:
        """Raise what would be raised at the end whatever the plan: a package that is missing, say.

        The plan for it deals the experts out in turn, so that none is twice on a GPU.
        """
        row = np.arange(problem.num_slots) % problem.num_experts
        placed = np.tile(row, (problem.num_layers, 1))
        plan = Plan(placed, problem.num_gpus, problem.num_experts)
        self._write(path, engine, plan, dry_run=True)

    def _write(self, path: Path, engine: str, plan: Plan, **facts: Any) -> None:
        write_plan(
            path,
            in_kept_slots(plan, engine, self.in_force),
            engine=engine,
            current=self.in_force,
            layer_ids=self.recorded.layer_ids,
            num_hidden_layers=self.recorded.num_hidden_layers,
            **facts,
        )
