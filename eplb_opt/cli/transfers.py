"""The transfers from the plan in force to a new one: written, and summed up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eplb_opt.cli import output
from eplb_opt.io import write_transfers
from eplb_opt.io.kept_slots import in_kept_slots
from eplb_opt.placement.transfers import Schedule, transfers

if TYPE_CHECKING:
    import numpy as np

    from eplb_opt.cli.outputs import Saving
    from eplb_opt.io import Loads
    from eplb_opt.result import Result

TransfersFile = Annotated[
    Path | None,
    typer.Option(
        "--transfers", help="Where to write the transfers from --current to the plan, as JSON."
    ),
]


def check_transfers(path: Path | None, current: Path | None) -> None:
    """Refuse to list transfers from nowhere.

    Raises
    ------
    typer.BadParameter
        When there is no plan in force.
    """
    if path is not None and current is None:
        raise typer.BadParameter(
            "--transfers needs --current, the plan in force that they start from."
        )


def save_transfers(
    saving: Saving,
    path: Path | None,
    result: Result,
    engine: str,
    current: np.ndarray | None,
    recorded: Loads,
) -> dict[str, Any]:
    """Write the transfers to the plan as it is written for the engine.

    Parameters
    ----------
    saving
        Collects what fails.
    path
        The file; None where no transfers are asked for.
    result
        The new plan, with its problem.
    engine
        Where the plan will be used; some ask for slots to be kept.
    current
        The plan in force.
    recorded
        The recording, which knows the numbers of the layers.

    Returns
    -------
    dict
        What JSON output says of them; nothing without a file.
    """
    if path is None or current is None:
        return {}
    plan = in_kept_slots(result.plan, engine, current)
    schedule = transfers(current, plan, num_nodes=result.problem.num_nodes)
    saving.save(path, lambda to: write_transfers(to, schedule, recorded.layer_ids))
    output.warn((_sentence(schedule, path),))
    summary = {
        "transfers": schedule.num_transfers,
        "batches": len(schedule),
        "fewest_batches": schedule.lower_bound,
        "staging_slots": schedule.staging,
    }
    return {"transfers": summary}


def _sentence(schedule: Schedule, path: Path) -> str:
    staging = f", {len(schedule.staging)} staging slots in use" if schedule.staging else ""
    return (
        f"{schedule.num_transfers} transfers in {len(schedule)} batches (no fewer than "
        f"{schedule.lower_bound} are possible{staging}) are in {path}."
    )
