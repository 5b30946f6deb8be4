"""Batches of transfers in one JSON file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from eplb_opt.io.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.io.files import PathLike
    from eplb_opt.placement.transfers import Schedule

#: Key of the batches, and with it the mark of the format.
KEY = "eplb_opt_transfers"


def write_transfers(path: PathLike, schedule: Schedule, layer_ids: Sequence[int]) -> None:
    """Write the transfers of a schedule, batch by batch; the guide's formats describe the file.

    Parameters
    ----------
    path
        The file.
    schedule
        As of `eplb_opt.transfers`.
    layer_ids
        The model's own number of each layer.

    Raises
    ------
    FormatError
        When the file cannot be written; an old one is left as it was.
    """
    document: dict[str, Any] = {
        "num_slots": schedule.num_slots,
        "staging": schedule.staging,
        "lower_bound": schedule.lower_bound,
        "layer_ids": list(layer_ids),
        KEY: [[transfer._asdict() for transfer in batch] for batch in schedule],
    }
    write_atomically(path, json.dumps(document).encode())
