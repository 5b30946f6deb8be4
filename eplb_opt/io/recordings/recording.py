"""Recordings whose parts come one at a time, in any order, from one file or from many."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.files import MAX_UNPACKED_BYTES
from eplb_opt.io.loads import Loads
from eplb_opt.io.origin import Origin
from eplb_opt.io.shapes import load_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    #: Called with the bytes done and the bytes there are.
    Progress = Callable[[int, int], None]
    #: A step, and loads [num_layers, num_experts] to be added to it.
    Part = tuple[int, np.ndarray]


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Loads that are not in memory.

    Parameters
    ----------
    parts
        Yields them all, telling its argument how far it is. Those of a step are added up.
    layer_ids
        Hidden layers of the rows; None where there is a row for every hidden layer, and those of
        dense layers are zeros.
    ranks
        Ranks that have counted, where the recording tells; they are added while the parts are
        walked through.
    """

    parts: Callable[[Progress], Iterator[Part]]
    layer_ids: tuple[int, ...] | None = None
    ranks: set[int] = field(default_factory=set)

    def checked(self, progress: Progress | None = None) -> Iterator[Part]:
        """The parts, all of one shape and type, int64 or float64.

        Raises
        ------
        FormatError
            When they are not, or hold what cannot be loads.
        """
        first: np.ndarray | None = None
        for step, values in self.parts(progress or no_progress):
            (load,) = load_array(values[None])
            first = load if first is None else first
            if load.shape != first.shape or load.dtype != first.dtype:
                raise FormatError(
                    f"step {step} has loads {load.dtype} {list(load.shape)}, the first one "
                    f"{first.dtype} {list(first.shape)}; all steps must be of one model."
                )
            if not (np.isfinite(load) & (load >= 0)).all():
                raise FormatError(f"step {step} holds loads below 0 or not finite.")
            yield step, load
        if first is None:
            raise FormatError("there are no steps in it; record while the server has requests.")


def added(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The sum of loads of at least 0.

    Raises
    ------
    FormatError
        When integers leave 64 bits.
    """
    total = left + right
    if total.dtype.kind == "i" and (total < right).any():
        raise FormatError("loads add up beyond 64-bit integers; record a shorter time.")
    return np.asarray(total)


def total_of(recording: Recording, progress: Progress | None = None) -> Loads:
    """The sum over all steps, as one snapshot; takes the memory of a step."""
    total: np.ndarray | None = None
    for _, load in recording.checked(progress):
        total = load if total is None else added(total, load)
    if total is None:
        raise FormatError("there are no steps in it.")
    return _with_ranks(with_layers(total[None], recording.layer_ids), recording)


def whole_of(recording: Recording) -> Loads:
    """All steps in memory, in ascending order.

    Raises
    ------
    FormatError
        When they are too large for that.
    """
    steps: dict[int, np.ndarray] = {}
    for step, load in recording.checked():
        steps[step] = added(steps[step], load) if step in steps else load
        if len(steps) * load.nbytes > MAX_UNPACKED_BYTES:
            raise FormatError(
                f"{len(steps)} steps take more than {MAX_UNPACKED_BYTES} bytes; read it with "
                "open_trace or read_total."
            )
    whole = with_layers(np.stack([steps[step] for step in sorted(steps)]), recording.layer_ids)
    return _with_ranks(whole, recording)


def _with_ranks(loads: Loads, recording: Recording) -> Loads:
    return replace(loads, origin=Origin(ranks=tuple(sorted(recording.ranks))))


def with_layers(load: np.ndarray, layer_ids: tuple[int, ...] | None) -> Loads:
    """Loads [num_snapshots, num_layers, num_experts] without the rows of dense layers."""
    if layer_ids is not None:
        return Loads(load, layer_ids)
    first = first_moe_layer((load != 0).any(axis=(0, 2)))
    num_hidden_layers = load.shape[1]
    return Loads(load[:, first:], tuple(range(first, num_hidden_layers)), num_hidden_layers)


def first_moe_layer(busy: np.ndarray) -> int:
    """The first layer that anything was routed to.

    Dense layers are rows of zeros in all steps, and so is an MoE layer that nothing was routed to.
    Models have their dense layers first, so only leading rows of zeros are dropped; an
    idle layer after the first busy one stays.

    Raises
    ------
    FormatError
        When there is none.
    """
    if not busy.any():
        raise FormatError(
            f"all of the {len(busy)} layers are zero: dense and MoE ones look alike; "
            "record while the server has requests."
        )
    return int(busy.argmax())
