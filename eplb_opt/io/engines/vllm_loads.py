"""vLLM's offline loads (not yet shipped): safetensors with a tensor [layers, experts] a model.

Pull request 41141, state of August 2026. The name of a tensor is that of the model, metadata say
version 1, and values are float32: a sum of window averages, or counts that it holds exactly up to
2**24.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.safetensors_file import safetensors_bytes
from eplb_opt.io.engines.models import NO_MODEL, pick_model
from eplb_opt.io.loads import Loads

if TYPE_CHECKING:
    from eplb_opt.io.containers.safetensors_file import Tensors
    from eplb_opt.io.recordings.trace import Trace

VERSION_KEY, VERSION = "version", "1"
#: Whole numbers up to it are float64 without loss.
EXACT = 2.0**53


def choose(tensors: Tensors, model: str | None) -> tuple[Tensors, str]:
    """The file and the tensor of one model.

    Raises
    ------
    FormatError
        When the version is unknown, or no tensor or several may be meant.
    """
    version = tensors.metadata.get(VERSION_KEY, VERSION)
    if version != VERSION:
        raise FormatError(f"the metadata say version {version[:40]}; known: {VERSION}.")
    names = [name for name, shape in tensors.shapes.items() if len(shape) == 2]
    if not names:
        shapes = ", ".join(f"{k[:40]} {list(s)}" for k, s in list(tensors.shapes.items())[:4])
        raise FormatError(
            f"its tensors are {shapes or 'none'}; loads are [layers, experts], one tensor a model. "
            "Of TensorRT-LLM's statistics, name the folder with the files of all ranks."
        )
    return tensors, pick_model(names, model)


def loads_from_tensor(chosen: tuple[Tensors, str]) -> Loads:
    """Loads of a model, as integers where all of them are whole."""
    tensors, name = chosen
    load = tensors[name].astype(np.float64)
    if (load == np.round(load)).all() and (np.abs(load) <= EXACT).all():
        load = load.astype(np.int64)
    return Loads(load, source=name)


def tensor_chunks(trace: Trace) -> list[bytes]:
    """The loads of a model, summed over the steps.

    Raises
    ------
    FormatError
        Without the model's name, by which vLLM looks the tensor up.
    """
    if not trace.model:
        raise FormatError(NO_MODEL.format("of the model as it is served, such as org/name"))
    (load,) = trace.total().load
    return [safetensors_bytes({trace.model: load.astype(np.float32)}, {VERSION_KEY: VERSION})]
