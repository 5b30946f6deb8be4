"""Writing placements for the engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.errors import FormatError
from eplb_opt.io.deepseek import placement_to_deepseek
from eplb_opt.io.files import PathLike, naming, write_atomically
from eplb_opt.io.loads import checked_layer_ids, checked_num_hidden_layers
from eplb_opt.io.npz import placement_to_npz
from eplb_opt.io.placement import Placement
from eplb_opt.io.sglang import placement_to_sglang
from eplb_opt.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

#: A new engine is one file and one line here.
WRITERS: dict[str, Callable[[Placement], bytes]] = {
    "npz": placement_to_npz,
    "deepseek": placement_to_deepseek,
    "sglang": placement_to_sglang,
}


def write_plan(
    path: PathLike,
    plan: Plan | np.ndarray,
    *,
    engine: str = "npz",
    num_gpus: int | None = None,
    num_experts: int | None = None,
    layer_ids: Sequence[int] | None = None,
    num_hidden_layers: int | None = None,
    objective: np.ndarray | None = None,
    lower_bound: np.ndarray | None = None,
    status: Sequence[str] | None = None,
) -> None:
    """Write a placement whole or not at all.

    Parameters
    ----------
    path
        The file; an old one stays until the new one is complete on the disk.
    plan
        A Plan, or a [num_layers, num_slots] map.
    engine
        A name of `WRITERS`.
    num_gpus, num_experts
        Of a bare map: GPUs (by default 1), and experts (by default up to the largest id).
    layer_ids
        Place of each planned layer among the hidden layers, ascending; by default 0, 1, 2, ...
    num_hidden_layers
        Of the model; by default up to the last planned layer.
    objective, lower_bound
        Of a result, one a layer; kept in our own npz only.
    status
        Of a result, one a layer; kept in our own npz only.

    Raises
    ------
    FormatError
        When the engine is unknown or cannot take the plan, or the file cannot be written.
    PlanError
        When the map is none.
    MissingDependency
        When a .pt file needs torch.
    """
    if engine not in WRITERS:
        raise FormatError(f"engine {engine!r} is unknown; known: {', '.join(WRITERS)}.")
    if not isinstance(plan, Plan):
        plan = Plan(plan, num_gpus or 1, num_experts or 0)
    with naming(path):
        ids = checked_layer_ids(layer_ids, plan.num_layers)
        count = checked_num_hidden_layers(num_hidden_layers, ids)
        placement = Placement(plan, ids, count, objective, lower_bound, status)  # type: ignore[arg-type]
        content = WRITERS[engine](placement)
    write_atomically(path, content)
