"""`eplb-opt instances`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.bench import best_known, library
from eplb_opt.bench.instance_tables import instance_rows, instance_table
from eplb_opt.bench.verify import verify
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.complete import instance_names
from eplb_opt.cli.help import App
from eplb_opt.errors import FormatError
from eplb_opt.planner.planner import plan

app = App(help="The stored instances: list, generate, verify, solve.")

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME", help="Instances; all by default.", autocompletion=instance_names
    ),
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
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write them; it is made if need be.")
    ],
) -> None:
    """Write the load files anew; the same bytes on every machine.

    Example: eplb-opt instances generate /tmp/instances
    """
    with output.spinner("generating"):
        paths = library.generate(folder)
    for path in paths:
        print(path)


@app.command("verify")
def verify_command(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="The project's own by default.")
    ] = None,
) -> None:
    """Check the stored files: digests, loads, worked examples, no objective below a bound.

    Example: eplb-opt instances verify
    """
    with output.spinner("verifying"):
        offences = verify(folder)
    if offences:
        raise FormatError("\n".join([f"{len(offences)} things are wrong:", *offences]))
    print(f"{len(library.names())} instances are as they should be")


@app.command("solve")
def solve_command(
    instances: Names = None,
    time_limit: opt.TimeLimit = 10.0,
    model: opt.Model = opt.ModelName("cpsat"),
    workers: opt.Workers = None,
    as_json: opt.Json = False,
) -> None:
    """Plan instances and keep what is better than the best known.

    Example: eplb-opt instances solve deepseek-v3-288-32 --time-limit 60
    """
    chosen = [library.get(name) for name in instances or library.names()]
    rows = []
    for place, instance in enumerate(chosen):
        name, problem = instance.name, instance.problem()
        heading = f"{name} ({place + 1} of {len(chosen)})"
        with output.progress_bar(time_limit, heading) as progress:
            result = plan(
                problem,
                time_limit=time_limit,
                model=str(model),
                workers=workers,
                progress=progress,
            )
        best_known.update_best_known(
            name,
            source=f"eplb-opt {time_limit:g} s",
            objective=[pair.objective for pair in result.bounds],
            lower_bound=[pair.lower for pair in result.bounds],
        )
        rows.append({"name": name, "model_gap": result.model_gap, "seconds": result.elapsed})
        if not as_json:
            print(f"{name}: model gap {result.model_gap:.2e}, {result.elapsed:.1f} s")
    if as_json:
        output.print_json(rows)
