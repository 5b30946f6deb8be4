"""Loads of physical slots, as some engines save them: known by their shape, folded by a map."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.recordings.folding import Fold

if TYPE_CHECKING:
    from eplb_opt.io.loads import Loads
    from eplb_opt.io.placement import StoredPlan
    from eplb_opt.io.plausible.question import Question


def is_heat(shape: tuple[int, ...], question: Question) -> bool:
    """Whether an array of three dimensions is [layers, ranks, slots of a rank] for these GPUs.

    Loads that looked so would have as many layers as there are GPUs, and each GPU would have room
    for all experts.
    """
    num_gpus, num_slots = question.num_gpus, question.num_slots
    if len(shape) != 3 or num_gpus is None or num_slots is None or num_gpus < 2:
        return False
    return shape[1] == num_gpus and shape[1] * shape[2] == num_slots


def refuse_heat(shape: tuple[int, ...], question: Question) -> None:
    """Refuse loads of physical slots where there is no map to fold them by.

    Raises
    ------
    FormatError
        With the shape and the option.
    """
    if is_heat(shape, question):
        raise FormatError(
            f"shape {list(shape)} with --gpus {question.num_gpus} --slots {question.num_slots} is "
            "[layers, ranks, slots of a rank]: loads of physical slots, not of experts. Which "
            "expert stood in which slot is in the map that was in force: give it as --map FILE."
        )


def folded(loads: Loads, stored: StoredPlan, name: str) -> Loads:
    """Loads of experts from loads of physical slots.

    Parameters
    ----------
    loads
        [layers, slots], [snapshots, layers, slots], or [layers, ranks, slots of a rank], all read
        whole.
    stored
        The map that was in force while they were counted.
    name
        Where the map comes from, for messages.

    Raises
    ------
    FormatError
        When the shapes do not fit.
    """
    placed = stored.physical_to_logical
    if stored.is_every_layer:
        placed = np.tile(placed, (loads.load.shape[0 if _is_by_rank(loads, placed) else 1], 1))
    num_layers, num_slots = placed.shape
    if loads.load.shape[1:] == placed.shape:
        heat, layer_ids = loads.load, loads.layer_ids if loads.names_layers else None
    elif loads.load.shape[0] == num_layers and _is_by_rank(loads, placed):
        heat, layer_ids = loads.load.reshape(1, num_layers, num_slots), None
    else:
        raise FormatError(
            f"{loads.source}: loads of shape {list(loads.load.shape)} are none of the "
            f"{num_layers} layers x {num_slots} slots of {name}; [layers, slots], [snapshots, "
            "layers, slots] or [layers, ranks, slots of a rank] would be."
        )
    fold = Fold(placed)
    load = np.stack([fold(step, "the loads") for step in heat])
    text = (
        f"{loads.source}: loads of {num_slots} physical slots are folded by {name} into those of "
        f"{load.shape[2]} experts."
    )
    origin = replace(loads.origin, steps=None, notes=(*loads.origin.notes, text))
    ids = layer_ids or stored.layer_ids or ()
    count = loads.num_hidden_layers if layer_ids else stored.num_hidden_layers or 0
    return replace(
        loads, load=load, layer_ids=ids, num_hidden_layers=count, origin=origin
    ).watched()


def _is_by_rank(loads: Loads, placed: np.ndarray) -> bool:
    """Whether the last two dimensions together are the slots, as many a rank."""
    return bool(loads.load.shape[1] * loads.load.shape[2] == placed.shape[1])
