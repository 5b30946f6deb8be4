"""`eplb-opt check` and `eplb-opt bound`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.dispatch_rules import dispatch_score
from eplb_opt.evaluation import evaluate, verified_bounds
from eplb_opt.io import VALIDATORS, read_certificates, read_plan
from eplb_opt.planner import plan
from eplb_opt.report.dispatch import dispatch_table
from eplb_opt.report.tables import bound_table, evaluation_table


def check_command(
    plan_file: Annotated[
        Path, typer.Argument(metavar="PLAN", help="A plan file.", show_default=False)
    ],
    loads: opt.LoadsFile,
    gpus: opt.Gpus,
    slots: opt.Slots,
    nodes: opt.Nodes = 1,
    groups: opt.Groups = 1,
    colocation: opt.ColocationOption = opt.Colocation("allow"),
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", help="Proofs of the bounds, to be verified anew."),
    ] = None,
    engine: Annotated[
        opt.Runtime | None,
        typer.Option("--engine", help="Whose runtime must take the file as it is."),
    ] = None,
    current: Annotated[
        Path | None,
        typer.Option("--current", help="The plan in force, for runtimes that restrict moves."),
    ] = None,
    load_format: opt.FormatOption = None,
    as_json: opt.Json = False,
) -> None:
    """Check a plan against every rule and score it exactly; exit code 3 when it breaks one.

    It is scored under the uniform split and under nearest copy, where every GPU sends to the copy
    on itself, else on its node (--nodes), else to a fair one.

    With --certificate the saved bounds are proven again in integers, without any solver; a
    certificate that proves less than it claims is refused, with exit code 3 too.

    With --engine the file is also checked as that runtime reads it: unknown keys, missing layers,
    an expert twice on a device, changed slots, empty slots.

    Example: eplb-opt check plan.json loads.npz --gpus 32 --slots 288 --certificate proof.json
    """
    recorded = opt.total(loads, load_format)
    problem = opt.Topology(gpus, slots, nodes, groups, colocation).problem(recorded)
    placed = read_plan(plan_file, layer_ids=recorded.layer_ids)
    if engine is not None:
        VALIDATORS[str(engine)](
            plan_file,
            current=None if current is None else read_plan(current, layer_ids=recorded.layer_ids),
            num_gpus=gpus,
            num_experts=recorded.num_experts,
            num_slots=slots,
            layer_ids=recorded.layer_ids,
            num_hidden_layers=recorded.num_hidden_layers,
        )
    saved = [None] * problem.num_layers if certificate is None else read_certificates(certificate)
    score = evaluate(problem, placed, verified_bounds(problem, saved))
    reached = dispatch_score(problem, placed)
    if as_json:
        output.print_json(
            {**asdict(score), "nearest_copy": {**asdict(reached), "apart": reached.apart}}
        )
    else:
        output.stdout().print(evaluation_table(score))
        output.stdout().print(dispatch_table(reached))


def bound_command(
    loads: opt.LoadsFile,
    gpus: opt.Gpus,
    slots: opt.Slots,
    nodes: opt.Nodes = 1,
    groups: opt.Groups = 1,
    colocation: opt.ColocationOption = opt.Colocation("allow"),
    time_limit: opt.TimeLimit = 10.0,
    model: opt.Model = opt.ModelName("cpsat"),
    load_format: opt.FormatOption = None,
    as_json: opt.Json = False,
) -> None:
    """Prove how low the largest GPU load of each layer can possibly be.

    Example: eplb-opt bound loads.npz --gpus 32 --slots 288 --time-limit 60
    """
    recorded = opt.total(loads, load_format)
    problem = opt.Topology(gpus, slots, nodes, groups, colocation).problem(recorded)
    with output.progress_bar(time_limit, "proving") as progress:
        result = plan(problem, time_limit=time_limit, model=str(model), progress=progress)
    output.warn(result.messages)
    if as_json:
        output.print_json({"lower_bound": result.lower_bound, "bound_source": result.bound_source})
    else:
        output.stdout().print(bound_table(result))
