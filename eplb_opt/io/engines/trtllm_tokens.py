"""TensorRT-LLM's EXPERT_STATISTIC_PATH where it holds more than counts: tokens, co-occurrence.

Read in `tensorrt_llm/_torch/expert_statistic.py`, class `ExpertStatistic`, of three states of the
repository. All name tensors "{iteration}_{layer}", and none says whether its ids are of experts or
of slots: they are of slots where a load balancer is configured (`_maybe_add_info` gets
`token_selected_slots`), and num_experts in meta_info.json is then the number of slots.

- Most states write counts alone, see `trtllm_statistics`.
- Commit 7ce477f also writes ``rank{r}_raw.safetensors``: int32 [tokens, experts a token] of the
  rank. A layer's further chunks of an iteration replace earlier ones, while the counts add up.
- An earlier one, with scripts such as `report_send_ranks_per_token.py`, writes
  ``token_selected_experts_rank{r}.safetensors``, the same with chunks one after the other, and
  ``cooccurrence_rank{r}.safetensors``: int32 [num_experts, num_experts], in how many of the rank's
  tokens both fire; the diagonal is the count.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.safetensors_file import array_of, opened
from eplb_opt.io.engines.trtllm_statistics import META, Index, index_of, num_experts_of
from eplb_opt.io.files import naming
from eplb_opt.io.loads import checked_layer_ids
from eplb_opt.io.recordings.recording import added
from eplb_opt.io.recordings.token_slots import Repeats
from eplb_opt.io.recordings.tokens import TokenChunk, TokenRecording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.io.containers.folder import Folder
    from eplb_opt.io.recordings.recording import Progress

TOKEN_FILES = (
    re.compile(r"rank(\d{1,6})_raw\.safetensors", re.ASCII),
    re.compile(r"token_selected_experts_rank(\d{1,6})\.safetensors", re.ASCII),
)
PAIR_FILE = re.compile(r"cooccurrence_rank(\d{1,6})\.safetensors", re.ASCII)


def has_tokens(folder: Folder) -> bool:
    """Whether a folder holds statistics, with or without tokens."""
    return META in folder.names


def tokens_from_trtllm(folder: Folder) -> TokenRecording:
    """The tokens of all ranks, under the absolute ids of the layers.

    Raises
    ------
    FormatError
        When there are counts alone, a rank's file is missing, or files hold anything else.
    MissingDependency
        When safetensors is not installed.
    """
    num_experts = num_experts_of(folder)
    files = next((found for kind in TOKEN_FILES if (found := _files(folder, kind))), None)
    if files is None:
        raise FormatError(
            f"beside {META} there is no rank0_raw.safetensors and no "
            "token_selected_experts_rank0.safetensors: counts alone tell of no single token. Most "
            "versions of TensorRT-LLM write nothing else."
        )
    layers: set[int] = set()
    for name in files:
        with opened(folder.path / name) as tensors:
            layers.update(*index_of(tensors).values())
    layer_ids = checked_layer_ids(sorted(layers), len(layers)) if layers else ()
    if not layer_ids:
        raise FormatError("there is no token in it; record while the server has requests.")
    notes: list[str] = []
    reader = partial(_chunks, folder, files, layer_ids, notes)
    return TokenRecording(reader, layer_ids, num_experts, notes=notes)


def pairs_from_trtllm(folder: Folder) -> tuple[np.ndarray, tuple[int, ...]] | None:
    """In how many tokens two experts fire together, as recorded, and the layers' ids.

    Returns
    -------
    tuple or None
        int64 [num_layers, num_experts, num_experts] over all ranks and iterations, and the absolute
        ids of the layers; None where nothing of the kind was written.

    Raises
    ------
    FormatError
        When a rank's file is missing, or files hold anything else.
    """
    files = _files(folder, PAIR_FILE)
    if not files:
        return None
    num_experts = num_experts_of(folder)
    total: dict[int, np.ndarray] = {}
    for name in files:
        with naming(name), opened(folder.path / name) as tensors:
            for iteration, layers in index_of(tensors).items():
                for layer in layers:
                    pairs = _pairs(tensors, f"{iteration}_{layer}", num_experts)
                    total[layer] = added(total[layer], pairs) if layer in total else pairs
    if not total:
        return None
    ids = sorted(total)
    return np.stack([total[layer] for layer in ids]), checked_layer_ids(ids, len(ids))


def _pairs(tensors: Any, key: str, num_experts: int) -> np.ndarray:
    pairs = array_of(tensors, key)
    if pairs.shape != (num_experts, num_experts) or pairs.dtype.kind not in "iu":
        raise FormatError(
            f"{key} is {pairs.dtype} {list(pairs.shape)}; {META} tells of {num_experts} experts."
        )
    pairs = pairs.astype(np.int64)
    if pairs.min(initial=0) < 0 or (pairs != pairs.T).any() or (pairs.diagonal() < pairs).any():
        raise FormatError(
            f"{key} is no table of pairs: it must be symmetric, at least 0, and on the diagonal no "
            "less than anywhere in its column."
        )
    return pairs


def _files(folder: Folder, kind: re.Pattern[str]) -> list[str]:
    """The files of a kind by rank; none where there are none.

    Raises
    ------
    FormatError
        When some rank's is missing.
    """
    ranks = {int(found[1]): name for name in folder.names if (found := kind.fullmatch(name))}
    if sorted(ranks) != list(range(len(ranks))):
        raise FormatError(
            f"there are {', '.join(list(ranks.values())[:4])}, and not those of all ranks from 0 "
            "on; copy the whole folder."
        )
    return [ranks[rank] for rank in sorted(ranks)]


def _chunks(
    folder: Folder, files: list[str], layer_ids: tuple[int, ...], notes: list[str], tell: Progress
) -> Iterator[TokenChunk]:
    sizes = [(folder.path / name).stat().st_size for name in files]
    place = {layer_id: i for i, layer_id in enumerate(layer_ids)}
    repeats = Repeats()
    for rank, name in enumerate(files):
        done = sum(sizes[:rank])
        with naming(name), opened(folder.path / name) as tensors:
            index: Index = index_of(tensors)
            for i, (iteration, layers) in enumerate(index.items()):
                by_shape: dict[tuple[int, ...], dict[int, np.ndarray]] = {}
                for layer in sorted(layers):
                    ids = _ids(tensors, f"{iteration}_{layer}")
                    by_shape.setdefault(ids.shape, {})[place[layer]] = ids
                for held in by_shape.values():
                    experts = np.stack(list(held.values()))
                    repeats.see(iteration, rank, experts)
                    start = np.full(experts.shape[1], rank, dtype=np.int64)
                    yield TokenChunk(tuple(held), experts, start)
                tell(done + sizes[rank] * (i + 1) // len(index), sum(sizes))
    notes[:] = repeats.notes()


def _ids(tensors: Any, key: str) -> np.ndarray:
    ids = array_of(tensors, key)
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise FormatError(
            f"{key} is {ids.dtype} {list(ids.shape)}; integers [tokens, experts a token] are due."
        )
    return ids.astype(np.int64)
