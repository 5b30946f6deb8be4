"""`eplb-opt instances verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.bench import library
from eplb_opt.bench.verify import verify
from eplb_opt.cli import output
from eplb_opt.errors import FormatError


def verify_command(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="The project's own by default.")
    ] = None,
) -> None:
    """Prove every stored value again from plans and certificates alone; compare the files.

    No planner is called. Plans pass the checker and are scored exactly, certificates are verified,
    and bounds without one are computed again.

    Example: eplb-opt instances verify
    """
    with output.counting_bar(len(library.names(folder)), "verifying") as show:
        found = verify(folder, progress=show)
    if found.offences:
        count = len(found.offences)
        raise FormatError("\n".join([f"{count} things are wrong:", *found.offences]))
    print(
        f"{found.instances} instances: the objectives and bounds of {found.objectives} layers are "
        "proven again"
    )
    if found.unknown:
        print(f"nothing is known of {len(found.unknown)}: {', '.join(found.unknown[:5])} ...")
