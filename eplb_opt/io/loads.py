"""The normal form that every file of loads is read into."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.origin import Origin, StepWatch
from eplb_opt.io.shapes import load_array

#: A model has some hundred layers; a million is a damaged file.
MAX_LAYER_ID = 10**6


@dataclass(frozen=True, eq=False)
class Loads:
    """Recorded loads of the MoE layers of a model.

    Parameters
    ----------
    load
        [num_snapshots, num_layers, num_experts], int64 or float64; one snapshot may be left out.
    layer_ids
        Place of each MoE layer among the model's hidden layers, ascending; by default 0, 1, 2, ...
    num_hidden_layers
        Layers of the model, dense ones included; by default up to the last MoE layer.
    format
        Name of the format it was read from.
    source
        The file, or what the file says of itself.
    origin
        What reading them has shown besides.

    Raises
    ------
    FormatError
        When the array is none of loads, or the layer ids do not fit it.
    """

    load: np.ndarray
    layer_ids: tuple[int, ...] = ()
    num_hidden_layers: int = 0
    format: str = ""
    source: str = ""
    origin: Origin = field(default_factory=Origin)

    def __post_init__(self) -> None:
        load = load_array(self.load)
        layer_ids = checked_layer_ids(self.layer_ids, load.shape[1])
        num_hidden_layers = checked_num_hidden_layers(self.num_hidden_layers, layer_ids)
        load.flags.writeable = False
        object.__setattr__(self, "load", load)
        object.__setattr__(self, "layer_ids", layer_ids)
        object.__setattr__(self, "num_hidden_layers", num_hidden_layers)

    @property
    def names_layers(self) -> bool:
        """Whether the layers are known to be these: those of a bare array are merely numbered."""
        plain = tuple(range(self.num_layers))
        return self.layer_ids != plain or self.num_hidden_layers != self.num_layers

    @property
    def num_snapshots(self) -> int:
        """Snapshots of the recording."""
        return int(self.load.shape[0])

    @property
    def num_layers(self) -> int:
        """MoE layers."""
        return int(self.load.shape[1])

    @property
    def num_experts(self) -> int:
        """Logical experts of a layer."""
        return int(self.load.shape[2])

    @property
    def total(self) -> np.ndarray:
        """Sum over the snapshots, [num_layers, num_experts].

        Raises
        ------
        FormatError
            When an integer sum leaves 64 bits.
        """
        if self.load.dtype.kind == "i":
            # A float sum is off by a share of n * 2**-53 at most: the factor of 2 covers it.
            rough = np.abs(self.load.astype(np.float64)).sum(axis=0)
            if rough.max() >= 2.0**62:
                raise FormatError(
                    f"{self.source or 'load'}: an expert's loads add up to about "
                    f"{rough.max():.3g}, beyond 2**62; divide the loads by a constant."
                )
        return np.asarray(self.load.sum(axis=0))

    def watched(self) -> Loads:
        """The same loads, with what their snapshots show where nobody has looked yet."""
        if self.origin.steps is not None:
            return self
        watch = StepWatch()
        watch.add(self.load)
        return replace(self, origin=replace(self.origin, steps=watch.steps()))


def checked_layer_ids(layer_ids: Any, num_layers: int) -> tuple[int, ...]:
    """Ascending layer ids, one a layer; 0, 1, 2, ... where none are given.

    Raises
    ------
    FormatError
        When they are not.
    """
    try:
        ids = np.asarray([] if layer_ids is None else layer_ids)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"layer_ids are no list of integers: {error}.") from error
    if ids.size == 0:
        return tuple(range(num_layers))
    if ids.dtype.kind not in "iu" or ids.shape != (num_layers,):
        raise FormatError(
            f"layer_ids has type {ids.dtype} and shape {list(ids.shape)}; it must be one integer "
            f"for each of the {num_layers} layers."
        )
    listed = [int(layer_id) for layer_id in ids]
    if listed[0] < 0 or listed[-1] > MAX_LAYER_ID or (np.diff(listed) <= 0).any():
        raise FormatError(f"layer_ids {listed[:8]}... must ascend from 0 or more; sort the layers.")
    return tuple(listed)


def checked_num_hidden_layers(num_hidden_layers: Any, layer_ids: tuple[int, ...]) -> int:
    """Layers of the model; up to the last id where not given.

    Raises
    ------
    FormatError
        When the last layer id lies beyond.
    """
    least = layer_ids[-1] + 1
    count = int(num_hidden_layers) if num_hidden_layers else least
    if not least <= count <= MAX_LAYER_ID + 1:
        raise FormatError(
            f"num_hidden_layers={count} is off for layer id {layer_ids[-1]}; take {least} or more."
        )
    return count
