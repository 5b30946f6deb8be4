"""The options of what a step sees, for every command that tells of plans."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eplb_opt.cli import output
from eplb_opt.cli.recordings import agreed, recordings
from eplb_opt.cli.step_cost import read_cost
from eplb_opt.errors import ProblemError
from eplb_opt.io.plausible import Question
from eplb_opt.report.step_tables import step_table
from eplb_opt.report.steps import Batch, StepReport, step_report

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from rich.console import Console

    from eplb_opt.cli.intake import Intake
    from eplb_opt.report.steps import BatchNoise

BatchTokens = Annotated[
    list[int] | None,
    typer.Option(
        "--batch-tokens",
        min=1,
        help="Tokens of a GPU in a step: what balancedness steps will see; repeatable.",
    ),
]
ExpertsPerToken = Annotated[
    int | None,
    typer.Option(
        "--experts-per-token", min=1, help="Experts that a token goes to; with --batch-tokens."
    ),
]
WithBursts = Annotated[
    bool,
    typer.Option(
        "--bursts",
        help="The snapshots of LOADS are single steps: tell how far they vary beyond chance.",
    ),
]


def check_batch(
    batch_tokens: list[int] | None,
    experts_per_token: int | None,
    with_bursts: bool = False,
    cost: str | None = None,
) -> tuple[Batch, ...]:
    """The sizes of batches that were asked for; half of a size is refused.

    Parameters
    ----------
    batch_tokens, experts_per_token, with_bursts, cost
        As the options have them; a cost may know how many experts a token goes to.
    """
    if cost is not None and experts_per_token is None:
        experts_per_token = read_cost(cost).experts_per_token
    if cost is None and bool(batch_tokens) != (experts_per_token is not None):
        raise typer.BadParameter("--batch-tokens and --experts-per-token go together.")
    if with_bursts and not batch_tokens:
        raise typer.BadParameter("--bursts needs --batch-tokens and --experts-per-token.")
    if cost is not None and len(batch_tokens or []) != 1:
        raise typer.BadParameter("--cost needs one --batch-tokens, the tokens of a GPU in a step.")
    sizes = dict.fromkeys(batch_tokens or [])
    return tuple(Batch(tokens, experts_per_token or 1) for tokens in sizes)


def forecasts(
    intake: Intake,
    plans: Mapping[str, Any],
    batches: tuple[Batch, ...],
    *,
    with_bursts: bool = False,
    model_gap: float | None = None,
) -> StepReport | None:
    """What steps see of plans; None where no size was given. What is odd is said.

    Parameters
    ----------
    intake
        What was read.
    plans
        Name -> plan, ours or the checked one first.
    batches
        From `check_batch`.
    with_bursts
        Whether the recording's snapshots are steps.
    model_gap
        The first plan's gap to the proven bound.
    """
    # Balancedness in tokens says nothing of plans for seconds, whose line tells of drawn steps.
    if not batches or intake.problem.has_cost:
        return None
    steps = _recorded_steps(intake) if with_bursts else None
    found = step_report(intake.problem, plans, batches, steps=steps, model_gap=model_gap)
    output.warn(found.messages)
    return found


def steps_json(report: StepReport | None) -> dict[str, Any]:
    """What JSON has of it; nothing where no size was given."""
    return {} if report is None else {"steps": asdict(report)}


def print_steps(console: Console, report: StepReport | None) -> None:
    """Write the table and the advice, where a size was given."""
    if report is None:
        return
    console.print(step_table(report, console.width))
    if report.dispersion is not None:
        console.print(
            f"The recorded steps vary {report.dispersion:.3g} times as much as by chance "
            "(variance of the experts' shares).",
            highlight=False,
        )
    console.print(report.advice, highlight=False)


def print_noise(console: Console, noise: BatchNoise | None) -> None:
    """Write what the stars in the table above mean, where a size was given."""
    if noise is not None:
        console.print(f"{noise.note}.", highlight=False, markup=False)


def _recorded_steps(intake: Intake) -> np.ndarray:
    """The snapshots of the recording, [num_steps, num_layers, num_experts]."""
    if intake.asked.files.phase is not None:
        raise ProblemError("--bursts is for all steps of a recording; leave --phase out.")
    files = replace(intake.asked.files, with_scenarios=True)
    recorded, files = recordings(files, Question())
    recorded, _, _ = agreed(recorded, None, files)
    if len(recorded) > 1 or recorded[0].num_snapshots < 2:
        raise ProblemError(
            f"--bursts needs one recording of two or more steps; there are {len(recorded)} with "
            f"{recorded[0].num_snapshots} in the first. Record single passes (SGLang: "
            "--expert-distribution-recorder-mode per_pass)."
        )
    return recorded[0].load
