"""`eplb-opt instances show`."""

from __future__ import annotations

from typing import Annotated

import typer

from eplb_opt.bench import best_known, library
from eplb_opt.bench.instance import to_row
from eplb_opt.bench.instance_tables import known_table
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.complete import instance_names
from eplb_opt.cli.instances.arguments import Folder


def show_command(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="An instance.", autocompletion=instance_names)
    ],
    folder: Folder = None,
    as_json: opt.Json = False,
) -> None:
    """Show what is known of an instance, layer by layer: values, who found them, and the proofs.

    Example: eplb-opt instances show mixtral-8x7b-16-8
    """
    instance = library.get(name, folder)
    known = best_known.load_best_known(folder)[name]
    if as_json:
        output.print_json({**to_row(instance), "known": known})
    elif known:
        output.stdout().print(known_table(instance, known))
    else:
        print(f"nothing is known of {name}; plan it: eplb-opt instances improve {name}")
