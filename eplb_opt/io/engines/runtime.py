"""What a serving process asks of a placement before it takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import EngineRefusal
from eplb_opt.placement.scoring import replica_counts

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, eq=False)
class Runtime:
    """What the process knows of itself; None is not asked.

    Parameters
    ----------
    num_gpus, num_experts, num_slots
        GPUs of the machine; logical experts and slots of every layer.
    layer_ids
        Hidden layers that have experts.
    num_hidden_layers
        The least number of layers that the model has, dense ones included.
    current
        The map in force, int64 [num_layers, num_slots]; -1 is an empty slot.
    """

    num_gpus: int | None = None
    num_experts: int | None = None
    num_slots: int | None = None
    layer_ids: Sequence[int] | None = None
    num_hidden_layers: int | None = None
    current: np.ndarray | None = None


def check_map(
    placed: np.ndarray,
    runtime: Runtime,
    engine: str,
    names: Sequence[int] | None = None,
    *,
    keeps_padding: bool = False,
) -> None:
    """The rules that all engines share: full slots, known experts, each of them somewhere.

    Parameters
    ----------
    placed
        int64 [num_layers, num_slots], -1 for an empty slot.
    runtime
        The process that the placement has to fit.
    engine
        Its name in messages.
    names
        Names of the layers in messages; by default 0, 1, 2, ...
    keeps_padding
        Whether slots may be empty that are so in the map in force.

    Raises
    ------
    EngineRefusal
        With the layer, the slot or expert, and the engine.
    """
    num_layers, num_slots = placed.shape
    layers = range(num_layers) if names is None else names
    _check_slots(num_slots, runtime, engine)
    num_experts = runtime.num_experts or int(placed.max()) + 1
    is_empty = placed < 0
    if keeps_padding and runtime.current is not None and runtime.current.shape == placed.shape:
        is_empty &= runtime.current >= 0
    _refuse(is_empty, layers, "slot {} is empty", engine)
    _refuse(placed >= num_experts, layers, f"slot {{}} has none of {num_experts} experts", engine)
    if num_experts > num_slots:
        raise EngineRefusal(
            f"{num_experts} experts do not fit {num_slots} slots, which {engine} cannot take; "
            "mend the plan."
        )
    absent = replica_counts(placed, num_experts) == 0
    _refuse(absent, layers, "expert {} is on no GPU", engine)


def check_layer_count(num_found: int, runtime: Runtime, engine: str) -> None:
    """Refuse a map that has not one row for every layer with experts.

    Raises
    ------
    EngineRefusal
        With both numbers.
    """
    if runtime.layer_ids is not None and num_found != len(runtime.layer_ids):
        raise EngineRefusal(
            f"there are {num_found} layers; {engine} wants one for each of the "
            f"{len(runtime.layer_ids)} that have experts."
        )


def _check_slots(num_slots: int, runtime: Runtime, engine: str) -> None:
    if runtime.num_slots is not None and num_slots != runtime.num_slots:
        raise EngineRefusal(
            f"a layer has {num_slots} slots; {engine} is started with {runtime.num_slots}."
        )
    if runtime.num_gpus is not None and num_slots % runtime.num_gpus:
        raise EngineRefusal(
            f"{num_slots} slots are no multiple of {runtime.num_gpus} GPUs, which {engine} needs."
        )


def _refuse(bad: np.ndarray, layers: Sequence[int], what: str, engine: str) -> None:
    if bad.any():
        layer_idx, idx = np.argwhere(bad)[0]
        raise EngineRefusal(
            f"layer {layers[layer_idx]}: {what.format(idx)}, which {engine} cannot take; "
            "mend the plan."
        )
