"""`eplb-opt instances import`."""

from __future__ import annotations

from typing import Annotated

import typer

from eplb_opt.bench import library
from eplb_opt.bench.importing import import_loads
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.complete import machine_names
from eplb_opt.cli.instances.arguments import Folder
from eplb_opt.errors import FormatError
from eplb_opt.io import read_loads
from eplb_opt.io.containers.plain_json import parse_json
from eplb_opt.io.files import naming


def import_command(
    file: opt.LoadsFile,
    name: Annotated[str, typer.Option(help="Name of the load file in the folder.")],
    machines: Annotated[
        list[str],
        typer.Option(
            "--machine",
            help="SLOTSxGPUS or SLOTSxGPUS/NODES/GROUPS; an instance each.",
            autocompletion=machine_names,
        ),
    ],
    model: Annotated[str, typer.Option(help="Whose loads they are.")],
    source: Annotated[str, typer.Option(help="Where they come from: who recorded what.")],
    licence: Annotated[str, typer.Option(help="Under which licence they may be passed on.")],
    units: Annotated[
        str, typer.Option(help="The unit of the loads.")
    ] = "routed (token, expert) assignments",
    terms: Annotated[
        str, typer.Option(help='Further terms of the problem as JSON: {"dispatch": "optimal"}.')
    ] = "{}",
    scenarios: opt.Scenarios = False,
    format: opt.FormatOption = None,
    folder: Folder = None,
    as_json: opt.Json = False,
) -> None:
    """Take in loads from elsewhere as instances, with what they are and where they come from.

    Example: eplb-opt instances import day.npz --name day --machine 288x32 --model DeepSeek-V3
    --source our-cluster --licence CC0-1.0
    """
    with naming("--terms"):
        told = parse_json(terms)
        if not isinstance(told, dict):
            raise FormatError("the terms are an object of JSON.")
    made = import_loads(
        read_loads(file, None if format is None else str(format)),
        opt.parsed_machines(machines),
        library.find_folder() if folder is None else folder,
        name,
        {"model": model, "units": units, "source": source, "licence": licence},
        told,
        scenarios,
    )
    if as_json:
        output.print_json([instance.name for instance in made])
        return
    for instance in made:
        print(f"{instance.name}; plan it: eplb-opt instances improve {instance.name}")
