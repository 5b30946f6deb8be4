"""The options of the HTML report, and its writing."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eplb_opt.cli import output
from eplb_opt.cli.check_line import check_line
from eplb_opt.cli.outputs import input_files
from eplb_opt.io import VALIDATORS, read_total
from eplb_opt.io.fingerprint import fingerprint
from eplb_opt.io.plausible import Question, examine
from eplb_opt.report.deployment import Deployment
from eplb_opt.report.html import write_report
from eplb_opt.report.scenarios import check_held_out

if TYPE_CHECKING:
    from eplb_opt.cli.options import Asked
    from eplb_opt.io import Loads
    from eplb_opt.planner.topologies import TopologyReport
    from eplb_opt.report.gap import GapReport
    from eplb_opt.report.steps import Batch, StepReport
    from eplb_opt.result import Result

ReportFile = Annotated[
    Path | None,
    typer.Option("--report", help="Where to write an HTML report that opens offline."),
]
HeldOut = Annotated[
    list[Path] | None,
    typer.Option(
        "--held-out", help="Loads the plan is scored on without having seen them; repeatable."
    ),
]


def read_held_out(paths: list[Path] | None, recorded: Loads) -> dict[str, Any]:
    """Total loads by the file's name, of the shape that is planned for.

    Raises
    ------
    ProblemError
        When one has another shape; better now than when the plan is done.
    """
    read = [read_total(path) for path in paths or []]
    output.warn(tuple(note for loads in read for note in examine([loads], Question())))
    held_out = {str(path): loads.total for path, loads in zip(paths or [], read, strict=True)}
    for name, load in held_out.items():
        check_held_out(name, load, (recorded.num_layers, recorded.num_experts))
    return held_out


def save_report(
    context: typer.Context,
    path: Path,
    result: Result,
    recorded: Loads,
    *,
    current: tuple[str, Any] | None,
    held_out: dict[str, Any],
    gap: GapReport | None = None,
    topology: TopologyReport | None = None,
    asked: Asked | None = None,
    batches: tuple[Batch, ...] = (),
    steps: StepReport | None = None,
) -> None:
    """Write the report of one command.

    Parameters
    ----------
    context
        Typer's context of the command; its object holds the arguments as they were typed.
    path
        The file to write.
    result, recorded
        The result, and the recording that was planned for.
    current
        Name and map of the plan in force, or None.
    held_out
        Loads that the plan has not seen, from `read_held_out`.
    gap
        The gap report, from `gap_report`, where there is one.
    topology
        Plans with more and less kept at home, where they were made.
    asked
        What was planned for, where the page is to say how the plan gets into its engine.
    batches, steps
        Sizes of batches, and what steps see at them.
    """
    name, placed = current or ("", None)
    write_report(
        path,
        result,
        current=placed,
        current_name=name,
        gap=gap,
        topology=topology,
        held_out=held_out,
        layer_ids=recorded.layer_ids,
        command=shlex.join(["eplb-opt", *(context.obj or [])]),
        inputs={str(path): fingerprint(path) for path in input_files(context.params)},
        deployment=None if asked is None else _deployment(context, asked),
        batches=batches,
        steps=steps,
    )


def _deployment(context: typer.Context, asked: Asked) -> Deployment:
    """The plan's file, which was written before the page."""
    given = context.params
    path, engine = given["output_file"], str(given["engine"])
    if path is None or not path.is_file():  # a device takes a plan and keeps none
        return Deployment("", engine)
    check = check_line(asked, given["certificate_file"], path, engine)
    if engine in VALIDATORS:
        check += f" --engine {engine}"
        if given["current"] is not None:
            check += f" --current {shlex.quote(str(given['current']))}"
    return Deployment(str(path), engine, fingerprint(path), check)
