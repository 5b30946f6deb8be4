"""The option that writes how a plan's tokens are best split over its copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from eplb_opt.engines.dispatch.call import dispatch
from eplb_opt.engines.dispatch.weights import log2phy_prob
from eplb_opt.errors import FormatError
from eplb_opt.io.containers.npy import npy_bytes
from eplb_opt.io.containers.npz import npz_bytes
from eplb_opt.io.containers.plain_json import json_bytes
from eplb_opt.io.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.placement.plan import Plan
    from eplb_opt.problem.problem import Problem

DispatchWeights = Annotated[
    Path | None,
    typer.Option(
        "--dispatch-weights",
        help="Where to write each slot's share of its expert's tokens under optimal dispatch "
        "(.npz, .npy, .json).",
    ),
]

Arrays = dict[str, np.ndarray]
#: Extension to packing; .npz holds the probabilities beside the map of slots, too.
PACKINGS: dict[str, Callable[[Arrays], bytes]] = {
    ".npz": npz_bytes,
    ".npy": lambda arrays: npy_bytes(arrays["weights"]),
    ".json": lambda arrays: json_bytes(arrays["weights"].tolist()),
}


def check_weights_file(path: Path | None) -> None:
    """Refuse a name that tells no format, before the work.

    Raises
    ------
    FormatError
        With the known ones.
    """
    if path is not None and path.suffix.lower() not in PACKINGS:
        raise FormatError(
            f"--dispatch-weights {path}: the extension {path.suffix!r} is unknown; known: "
            f"{', '.join(PACKINGS)}."
        )


def write_weights(path: Path, problem: Problem, plan: Plan, layer_ids: Sequence[int]) -> None:
    """Write the weights of `eplb_opt.dispatch`.

    Parameters
    ----------
    path
        A name that `check_weights_file` has passed.
    problem
        The loads, [num_layers, num_experts] or with scenarios before, and the speeds of the GPUs.
    plan
        The plan whose slots get the weights.
    layer_ids
        Names of the layers.
    """
    weights = dispatch(plan, problem.load, gpu_speed=problem.gpu_speed)
    slots = plan.logical_to_physical
    arrays = {
        "weights": weights,
        "logical_to_physical": slots,
        "log2phy_prob": log2phy_prob(weights, slots),
        "layer_ids": np.array(layer_ids, dtype=np.int64),
    }
    write_atomically(path, PACKINGS[path.suffix.lower()](arrays))
