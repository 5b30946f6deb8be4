"""The option that has plans made, and scored, for the seconds of a step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from eplb_opt.io.step_costs import read_step_cost
from eplb_opt.problem.presets import preset_names
from eplb_opt.problem.step_cost import StepCost

if TYPE_CHECKING:
    from eplb_opt.problem.machine import Machine

COST_HELP = (
    "Count the seconds of a step instead of tokens: a preset, <gpu>/<model>/<fp8|bf16> such as "
    "h100/deepseek-v3/fp8, or a CSV file of tokens,seconds of one expert. With --batch-tokens."
)
CostOption = Annotated[str | None, typer.Option("--cost", metavar="<cost>", help=COST_HELP)]


def read_cost(text: str) -> StepCost:
    """The cost of an option: a file where there is one of that name, else a preset.

    Raises
    ------
    FormatError
        When the file holds no table.
    ProblemError
        When a part of the preset's name is unknown.
    """
    if Path(text).is_file():
        return read_step_cost(Path(text))
    parts = text.split("/")
    if len(parts) not in (2, 3):
        raise typer.BadParameter(
            f"--cost {text}: there is no such file, and a preset is <gpu>/<model> or "
            f"<gpu>/<model>/<dtype>: {', '.join(preset_names()[:3])}, ..."
        )
    return StepCost.preset(*parts)


class BatchCost(NamedTuple):
    """A cost, and the batches that it is for."""

    cost: StepCost
    batch_tokens: int
    experts_per_token: int | None


def batch_cost(
    text: str, batch_tokens: list[int] | None, experts_per_token: int | None
) -> BatchCost:
    """What the options say, or what they lack.

    Parameters
    ----------
    text, batch_tokens, experts_per_token
        As the options have them.
    """
    if batch_tokens is None or len(batch_tokens) != 1:
        raise typer.BadParameter("--cost needs one --batch-tokens, the tokens of a GPU in a step.")
    cost = read_cost(text)
    if experts_per_token is None and cost.experts_per_token is None:
        raise typer.BadParameter(
            "--cost with a file needs --experts-per-token, how many experts a token goes to."
        )
    return BatchCost(cost, batch_tokens[0], experts_per_token)


def with_cost(
    machine: Machine,
    text: str | None,
    batch_tokens: list[int] | None,
    experts_per_token: int | None,
) -> Machine:
    """The machine with the cost that its plans are made for; as it is without one.

    Parameters
    ----------
    machine
        The machine as the command line gives it.
    text
        What `--cost` says, or None.
    batch_tokens, experts_per_token
        The size of a batch, as their options say.
    """
    if text is None:
        return machine
    found = batch_cost(text, batch_tokens, experts_per_token)
    return replace(
        machine,
        cost=found.cost,
        batch_tokens=found.batch_tokens,
        experts_per_token=found.experts_per_token,
    )


def check_cost_alone(
    text: str | None, batch_tokens: list[int] | None, experts_per_token: int | None
) -> None:
    """Refuse the size of a batch where nothing but a cost reads it.

    Parameters
    ----------
    text, batch_tokens, experts_per_token
        As the options have them.
    """
    if text is None and (batch_tokens or experts_per_token is not None):
        raise typer.BadParameter("--batch-tokens and --experts-per-token go with --cost here.")


def refuse_report(text: str | None, report_file: Path | None) -> None:
    """Refuse a page for a plan that is made for seconds: it speaks of loads throughout."""
    if text is not None and report_file is not None:
        raise typer.BadParameter(
            "--report shows loads and does not go with --cost; leave one of them out."
        )
