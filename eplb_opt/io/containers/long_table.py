"""Long tables of loads: a row for each expert that was hit, in any order, absent ones are zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.files import check_ratio
from eplb_opt.io.loads import MAX_LAYER_ID, Loads
from eplb_opt.io.origin import Origin

if TYPE_CHECKING:
    from collections.abc import Sequence

EXPERT_COLUMNS = ("expert", "expert_id", "expert_idx", "logical_expert", "logical_expert_id")
COUNT_COLUMNS = ("count", "load", "tokens", "num_tokens", "token_count")
#: No model has more experts in a layer.
MAX_EXPERT_ID = 2**20
#: What a row takes in a file, about: what the table claims is compared with it.
ROW_BYTES = 8


def loads_of_rows(
    snapshot: Sequence[str] | None,
    layer: np.ndarray,
    expert: np.ndarray,
    count: np.ndarray,
) -> Loads:
    """Loads of the rows of a long table.

    Rows that name the same expert again, such as those of another rank, are added up, which is
    noted. Layers keep their ids; there may be more experts than the last one that was hit.

    Parameters
    ----------
    snapshot
        The snapshot of each row, told apart by their texts, in the order of their first rows; None
        for a single one.
    layer, expert
        Ids, int64 [num_rows], from 0.
    count
        int64 or float64 [num_rows].

    Raises
    ------
    FormatError
        For an id that is none, or a table that claims far more than it holds.
    """
    _check_ids("layer", layer, MAX_LAYER_ID)
    _check_ids("expert", expert, MAX_EXPERT_ID)
    labels = ["" for _ in layer] if snapshot is None else list(snapshot)
    order = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    step = np.array([order[label] for label in labels])
    layer_ids, at = np.unique(layer, return_inverse=True)
    shape = (len(order), len(layer_ids), int(expert.max()) + 1)
    check_ratio(8 * int(np.prod(shape, dtype=np.float64)), ROW_BYTES * len(layer))
    load = np.zeros(shape, dtype=count.dtype)
    place = np.ravel_multi_index((step, at, expert), shape)
    np.add.at(load.reshape(-1), place, count)
    num_again = len(place) - len(np.unique(place))
    notes: tuple[str, ...] = ()
    if num_again:
        notes = (
            f"{num_again} of {len(place)} rows name an expert of a layer again; they are added up, "
            "as those of several ranks are. A column step makes them snapshots.",
        )
    origin = Origin(may_lack_experts=True, notes=notes)
    return Loads(load, tuple(layer_ids.tolist()), origin=origin)


def _check_ids(name: str, ids: np.ndarray, most: int) -> None:
    if ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() > most:
        raise FormatError(
            f"the column {name} holds {ids.min()} to {ids.max()}; it must hold whole numbers from "
            f"0 to {most}."
        )
