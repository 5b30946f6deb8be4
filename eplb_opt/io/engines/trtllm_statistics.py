"""TensorRT-LLM's EXPERT_STATISTIC_PATH: a folder of routed counts, a file a rank."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.plain_json import read_json
from eplb_opt.io.containers.safetensors_file import array_of, damaged, opened
from eplb_opt.io.files import naming, open_checked
from eplb_opt.io.loads import checked_layer_ids
from eplb_opt.io.recordings.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.io.containers.folder import Folder
    from eplb_opt.io.recordings.recording import Part, Progress

META = "meta_info.json"
#: Not `rank0_raw.safetensors`, which holds what was routed and not how much: `trtllm_tokens`.
RANK_FILE = re.compile(r"rank(\d{1,6})\.safetensors", re.ASCII)
TENSOR = re.compile(r"(\d{1,15})_(\d{1,6})", re.ASCII)

#: Iteration to its layers, in the order of the file.
Index = dict[int, list[int]]


def is_statistics(folder: Folder) -> bool:
    """Whether a folder holds statistics."""
    return META in folder.names


def loads_from_trtllm(folder: Folder) -> Recording:
    """The counts of all ranks added up, under the absolute ids of the layers.

    Raises
    ------
    FormatError
        When a rank's file is missing, or files hold anything else.
    MissingDependency
        When safetensors is not installed.
    """
    num_experts = num_experts_of(folder)
    ranks = {int(found[1]): name for name in folder.names if (found := RANK_FILE.fullmatch(name))}
    if sorted(ranks) != list(range(len(ranks))) or not ranks:
        raise FormatError(
            f"{META} stands beside the files of the ranks {sorted(ranks)[:8]}; "
            "rank0.safetensors and those of all other ranks are due."
        )
    files = [ranks[rank] for rank in sorted(ranks)]
    layers: set[int] = set()
    for name in files:
        with opened(folder.path / name) as tensors:
            layers.update(*index_of(tensors).values())
    layer_ids = checked_layer_ids(sorted(layers), len(layers)) if layers else ()
    parts = partial(_parts, folder, files, layer_ids, num_experts)
    return Recording(parts, layer_ids, set(ranks))


def _parts(
    folder: Folder, files: list[str], layer_ids: tuple[int, ...], num_experts: int, tell: Progress
) -> Iterator[Part]:
    sizes = [(folder.path / name).stat().st_size for name in files]
    place = {layer_id: i for i, layer_id in enumerate(layer_ids)}
    for file_idx, name in enumerate(files):
        done = sum(sizes[:file_idx])
        with opened(folder.path / name) as tensors:
            index = index_of(tensors)
            for i, (iteration, layers) in enumerate(index.items()):
                rows = [_row(tensors, f"{iteration}_{layer}", num_experts) for layer in layers]
                load = np.zeros((len(layer_ids), num_experts), dtype=rows[0].dtype)
                load[[place[layer] for layer in layers]] = rows
                yield iteration, load
                tell(done + sizes[file_idx] * (i + 1) // len(index), sum(sizes))


def num_experts_of(folder: Folder) -> int:
    """Experts of a layer, or its slots where a load balancer is configured.

    Raises
    ------
    FormatError
        When the folder does not tell.
    """
    with naming(META):
        meta = read_json(open_checked(folder.path / META))
        num_experts = meta.get("num_experts") if isinstance(meta, dict) else None
        if type(num_experts) is not int or num_experts < 1:
            raise FormatError(f"num_experts is {str(num_experts)[:40]}; a number is due.")
        return num_experts


def index_of(tensors: Any) -> Index:
    """The iterations of a file, and the layers of each.

    Raises
    ------
    FormatError
        When tensors have other names, or iterations different layers.
    """
    index: Index = {}
    for key in tensors.keys():  # noqa: SIM118  # the file is no dict
        found = TENSOR.fullmatch(key)
        if not found or f"{int(found[1])}_{int(found[2])}" != key:
            raise FormatError(f"a tensor is called {key[:40]!r}; iteration_layer is due.")
        index.setdefault(int(found[1]), []).append(int(found[2]))
    if len({tuple(sorted(layers)) for layers in index.values()}) > 1:
        raise FormatError("the iterations have different layers; each has all layers of the rank.")
    return index


def _row(tensors: Any, key: str, num_experts: int) -> np.ndarray:
    try:
        shape = list(tensors.get_slice(key).get_shape())
    except Exception as error:
        raise damaged(error) from error
    if shape != [num_experts]:
        raise FormatError(f"{key} has shape {shape}; {META} tells of {num_experts} experts.")
    return array_of(tensors, key)
