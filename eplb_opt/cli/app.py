"""The commands of `eplb-opt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import eplb_opt
from eplb_opt.cli import bench, config, instances, output
from eplb_opt.cli.convert import convert_command
from eplb_opt.cli.example import example_command
from eplb_opt.cli.frontier import frontier_command
from eplb_opt.cli.gap import gap_command
from eplb_opt.cli.guide import guide_command
from eplb_opt.cli.help import App
from eplb_opt.cli.inspect import bound_command, check_command
from eplb_opt.cli.loss import loss_command
from eplb_opt.cli.plan import plan_command
from eplb_opt.cli.replay import replay_command
from eplb_opt.cli.size import size_command
from eplb_opt.cli.tokens import tokens_command
from eplb_opt.cli.topology import topology_command
from eplb_opt.cli.watch import watch_command
from eplb_opt.planner.warmup import warmup

EPILOG = (
    f"Options typed again and again go into {config.FILE} in the current folder, or the file that "
    f"${config.VARIABLE} or {config.OPTION} names: gpus = 32 at the top for every command, under "
    "[plan] for one. Exit codes: 0 done, 2 bad input or usage, 3 a plan breaks a rule, 1 our "
    "fault, 128 and its number where a signal cut the work short."
)

app = App(help="Plan expert-parallel replicas and placements, with a proven bound.", epilog=EPILOG)
app.command("plan")(plan_command)
app.command("gap")(gap_command)
app.command("check")(check_command)
app.command("size")(size_command)
app.command("topology")(topology_command)
app.command("tokens")(tokens_command)
app.command("bound")(bound_command)
app.command("replay")(replay_command)
app.command("watch")(watch_command)
app.command("convert")(convert_command)
app.command("frontier")(frontier_command)
app.command("plan-for-loss")(loss_command)
app.command("example")(example_command)
app.command("guide")(guide_command)
app.add_typer(instances.app, name="instances")
app.add_typer(bench.app, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"eplb-opt {eplb_opt.__version__}")
        raise typer.Exit


@app.callback()
def root(
    config_file: Annotated[
        Path | None,
        typer.Option(config.OPTION, help="Defaults of options, in TOML; anywhere on the line."),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Plan expert-parallel replicas and placements, with a proven bound."""


@app.command("warmup")
def warmup_command(
    everything: Annotated[
        bool, typer.Option("--all", help="Also the solvers that `plan` imports when it needs them.")
    ] = False,
) -> None:
    """Load what the first call would load; nothing has to be compiled on your machine.

    Example: eplb-opt warmup --all
    """
    with output.spinner("loading"):
        seconds = warmup(everything)
    print(f"ready after {seconds:.1f} s")
