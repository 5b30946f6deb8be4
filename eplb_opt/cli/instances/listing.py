"""`eplb-opt instances list`."""

from __future__ import annotations

from eplb_opt.bench import best_known, library
from eplb_opt.bench.instance_tables import instance_rows, instance_table
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.instances.arguments import Folder


def list_command(folder: Folder = None, as_json: opt.Json = False) -> None:
    """Show every instance with the best that is known of it.

    Example: eplb-opt instances list
    """
    rows = instance_rows(library.load_table(folder), best_known.load_best_known(folder))
    if as_json:
        output.print_json(rows)
    else:
        output.stdout().print(instance_table(rows))
