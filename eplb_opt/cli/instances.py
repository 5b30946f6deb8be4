"""`eplb-opt instances`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.bench import best_known, library
from eplb_opt.bench.verify import verify
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.errors import FormatError
from eplb_opt.planner import plan
from eplb_opt.report.instances import instance_rows, instance_table

app = typer.Typer(help="The stored instances: list, generate, verify, solve.", no_args_is_help=True)

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Instances; all by default.")
]


@app.command("list")
def list_command(as_json: opt.Json = False) -> None:
    """Show every instance with the best that is known of it.

    Example: eplb-opt instances list
    """
    rows = instance_rows(best_known.load_best_known())
    if as_json:
        output.print_json(rows)
    else:
        output.stdout().print(instance_table(rows))


@app.command("generate")
def generate_command(
    folder: Annotated[Path, typer.Argument(help="Where to write them.", show_default=False)],
) -> None:
    """Write the load files anew; the same bytes on every machine.

    Example: eplb-opt instances generate /tmp/instances
    """
    for path in library.generate(folder):
        print(path)


@app.command("verify")
def verify_command() -> None:
    """Check the stored files: digests, loads, worked examples, no objective below a bound.

    Example: eplb-opt instances verify
    """
    offences = verify()
    if offences:
        raise FormatError("; ".join(offences))
    print(f"{len(library.names())} instances are as they should be")


@app.command("solve")
def solve_command(
    instances: Names = None, time_limit: opt.TimeLimit = 10.0, workers: opt.Workers = None
) -> None:
    """Plan instances and keep what is better than the best known.

    Example: eplb-opt instances solve deepseek-v3-288-32 --time-limit 60
    """
    for name in instances or library.names():
        problem = library.get(name).problem()
        with output.progress_bar(time_limit, name) as progress:
            result = plan(problem, time_limit=time_limit, workers=workers, progress=progress)
        best_known.update_best_known(
            name,
            source=f"eplb-opt {time_limit:g} s",
            objective=[pair.objective for pair in result.bounds],
            lower_bound=[pair.lower for pair in result.bounds],
        )
        print(f"{name}: model gap {result.model_gap:.2e}, {result.elapsed:.1f} s")
