"""What the plan in force says of the server, against the loads and the options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.io.plausible.question import listed, note, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.io.loads import Loads
    from eplb_opt.io.placement import StoredPlan
    from eplb_opt.io.plausible.question import Finding, Question


def other_gpus(stored: StoredPlan, loads: Loads, question: Question) -> Finding | None:
    """A file that tells the number of its GPUs."""
    if stored.num_gpus in (None, question.num_gpus) or question.num_gpus is None:
        return None
    return refusal(
        f"it is of {stored.num_gpus} GPUs, and --gpus is {question.num_gpus}. Give --gpus "
        f"{stored.num_gpus}, or a plan of {question.num_gpus}."
    )


def other_slots(stored: StoredPlan, loads: Loads, question: Question) -> Finding | None:
    """Another number of slots, empty ones included."""
    num_slots = stored.physical_to_logical.shape[1]
    if question.num_slots in (None, num_slots):
        return None
    num_empty = int((stored.physical_to_logical < 0).sum(axis=1).max())
    padding = f" ({num_empty} of them empty)" if num_empty else ""
    return refusal(
        f"it has {num_slots} slots a layer{padding}, and --slots is {question.num_slots}. Give "
        f"--slots {num_slots}; or leave --current out, for a server with other slots starts anew."
    )


def other_layers(stored: StoredPlan, loads: Loads, question: Question) -> Finding | None:
    """Other layers than the loads have, where both name theirs."""
    ids = stored.layer_ids
    if ids is None or stored.is_every_layer or not loads.names_layers:
        return None
    unknown = sorted(set(loads.layer_ids) - set(ids))
    if unknown:
        return refusal(
            f"it has the layers {listed(ids)}, and LOADS has {listed(unknown)} besides: they are "
            "of other layers, or of other models."
        )
    missing = sorted(set(ids) - set(loads.layer_ids))
    if not missing:
        return None
    text = f"it has the layers {listed(ids)}, of which LOADS lacks {listed(missing)}"
    if question.engine:
        return refusal(
            f"{text}: a plan for {question.engine} would lack them too. Give loads of all layers."
        )
    return note(f"{text}; the plan is for those of LOADS.")


def unnamed_layers(stored: StoredPlan, loads: Loads, question: Question) -> Finding | None:
    """More or fewer rows than loads, and nothing that says which is which."""
    num_rows, num_layers = len(stored.physical_to_logical), loads.num_layers
    if num_rows == num_layers or stored.is_every_layer:
        return None
    if loads.names_layers and (stored.layer_ids is not None or loads.layer_ids[-1] < num_rows):
        return None
    text = f"it has {num_rows} rows, and LOADS has {num_layers} layers"
    if num_rows < num_layers or loads.names_layers:
        return refusal(f"{text}: they are of different models.")
    num_more = num_rows - num_layers
    return refusal(
        f"{text} without names: which rows are theirs? If the first {num_more} are dense, name the "
        f"others: eplb-opt convert LOADS named.npz --kind loads --layers {num_more}-{num_rows - 1} "
        f"--num-hidden-layers {num_rows}; and give named.npz as LOADS."
    )


def other_model(stored: StoredPlan, loads: Loads, question: Question) -> Finding | None:
    """Another number of hidden layers."""
    told = stored.num_hidden_layers
    if told is None or not loads.names_layers or loads.layer_ids[-1] < told:
        return None
    return refusal(
        f"it is of a model with {told} hidden layers, and LOADS has layer {loads.layer_ids[-1]}."
    )


def other_experts(stored: StoredPlan, loads: Loads, question: Question) -> Finding | None:
    """Another number of experts than the loads have."""
    placed = stored.physical_to_logical
    num_experts = stored.num_experts or int(placed.max()) + 1
    if num_experts == loads.num_experts:
        return None
    if num_experts > loads.num_experts and loads.origin.may_lack_experts:
        return None  # carried over: see `with_experts`
    if loads.num_experts == placed.shape[1] > num_experts:
        return refusal(
            f"it holds {num_experts} experts in {placed.shape[1]} slots, and LOADS has "
            f"{loads.num_experts} columns: as many as slots. If LOADS was counted by slot, give "
            "the map of that time as --map FILE, and the loads are folded by it."
        )
    return refusal(
        f"it holds {num_experts} experts, and LOADS has "
        f"{loads.num_experts}: they are of different models, or LOADS is not what it seems."
    )


def homeless_experts(stored: StoredPlan, loads: Loads, question: Question) -> Finding | None:
    """Experts that stand nowhere: no server runs so."""
    placed = stored.physical_to_logical
    num_experts = max(stored.num_experts or 0, int(placed.max()) + 1)
    for at, row in enumerate(placed):
        count = np.bincount(row[row >= 0], minlength=num_experts)
        if (count == 0).any():
            missing = np.flatnonzero(count == 0).tolist()
            name = at if stored.layer_ids is None else stored.layer_ids[at]
            return refusal(
                f"in layer {name} expert{'s' * (len(missing) > 1)} {listed(missing)} of "
                f"{num_experts} stand{'s' * (len(missing) == 1)} in no slot: no server runs so. Is "
                "it a plan, and of this model?"
            )
    return None


def uneven_padding(stored: StoredPlan, loads: Loads, question: Question) -> Finding | None:
    """Empty slots that differ from layer to layer, or lie between full ones."""
    placed, num_gpus = stored.physical_to_logical, question.num_gpus
    if num_gpus is None or placed.shape[1] % num_gpus or not (placed < 0).any():
        return None
    is_full = placed.reshape(len(placed), num_gpus, -1) >= 0
    used = is_full.sum(axis=2)
    if not question.tells_slots and (used != used[0]).any():
        at = int(np.argwhere((used != used[0]).any(axis=1))[0, 0])
        return refusal(
            f"its GPUs hold {listed(used[0].tolist())} experts in the first layer, and "
            f"{listed(used[at].tolist())} in row {at}. Plans have the same empty slots in every "
            "layer: say how many slots each GPU can fill, with --gpu-slots."
        )
    return None


#: In this order: the first refusal is raised.
CHECKS: tuple[Callable[[StoredPlan, Loads, Question], Finding | None], ...] = (
    other_gpus,
    other_slots,
    other_layers,
    unnamed_layers,
    other_model,
    other_experts,
    homeless_experts,
    uneven_padding,
)
