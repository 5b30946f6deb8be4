"""Files of single tokens: which format one has, and its tokens; and writing our own."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers import token_arrays
from eplb_opt.io.containers.detect import container_of
from eplb_opt.io.containers.folder import read_folder
from eplb_opt.io.containers.npz import Archive, has_tokens, npz_bytes
from eplb_opt.io.engines import sglang_recorder, sglang_tokens, trtllm_tokens
from eplb_opt.io.files import PathLike, naming, open_checked, write_atomically
from eplb_opt.io.loads import checked_layer_ids
from eplb_opt.io.read import Format, read_by
from eplb_opt.io.recordings.token_slots import experts_of_slots
from eplb_opt.io.shapes import keys_found

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eplb_opt.io.placement import StoredPlan
    from eplb_opt.io.recordings.recording import Progress
    from eplb_opt.io.recordings.tokens import TokenChunk, TokenRecording


# The first row that recognises a document wins, else the last one of its container.
TOKEN_FORMATS: tuple[Format[TokenRecording], ...] = (
    Format("sglang", "pt", sglang_tokens.tokens_from_sglang, sglang_tokens.has_tokens),
    Format("trtllm", "folder", trtllm_tokens.tokens_from_trtllm, trtllm_tokens.has_tokens),
    Format("sglang", "folder", sglang_tokens.tokens_from_sglang_folder, sglang_recorder.has_dumps),
    Format("npz", "npz", token_arrays.tokens_from_npz, has_tokens),
)


def open_tokens(
    path: PathLike, format: str | None = None, *, stored: StoredPlan | None = None
) -> TokenRecording:
    """A recording of single tokens, read as it is walked through.

    Parameters
    ----------
    path
        SGLang's dump in mode per_token, or the folder with those of all ranks; TensorRT-LLM's
        folder of statistics; our own .npz; or a .npy [num_tokens, num_layers, experts_per_token].
    format
        "sglang", "trtllm", "npz" or "npy"; by default from the content, then the extension.
    stored
        The map that was in force, where the ids are those of slots (TensorRT-LLM with a load
        balancer). SGLang's dumps bring it themselves.

    Raises
    ------
    FormatError
        With the file, what was found and the mend.
    MissingDependency
        When a .pt file needs torch, or TensorRT-LLM's safetensors.
    """
    with naming(path):
        file = open_checked(path, folders=True)
        if format == "npy" or (format is None and container_of(file) == "npy"):
            name, tokens = "npy", token_arrays.tokens_from_npy(file)
        else:
            row, tokens = read_by(path, format, TOKEN_FORMATS)
            name = row.name
        if stored is not None:
            if name == "sglang":
                raise FormatError("it brings its own map; leave the other out.")
            tokens = _folded(tokens, stored)
    reader = partial(_named, path, tokens)
    return replace(tokens, reader=reader, format=name, source=os.fspath(path))


def _named(path: PathLike, tokens: TokenRecording, tell: Progress) -> Iterator[TokenChunk]:
    with naming(path):
        yield from tokens.reader(tell)


def _folded(tokens: TokenRecording, stored: StoredPlan) -> TokenRecording:
    """The same with the experts in its slots."""
    placed = stored.rows(tokens.layer_ids)

    def reader(tell: Progress) -> Iterator[TokenChunk]:
        for chunk in tokens.reader(tell):
            rows = placed[list(chunk.layer_idx)]
            yield replace(chunk, experts=experts_of_slots(chunk.experts, rows))

    num_experts = stored.num_experts or int(placed.max()) + 1
    return replace(tokens, reader=reader, num_experts=num_experts)


def read_pairs(
    path: PathLike, *, stored: StoredPlan | None = None
) -> tuple[np.ndarray, tuple[int, ...]] | None:
    """The co-occurrence that TensorRT-LLM has counted, where a folder holds it.

    Parameters
    ----------
    path
        Its folder of statistics.
    stored
        The map that was in force, where the ids are those of slots.

    Returns
    -------
    tuple or None
        In how many tokens two experts fire together, int64 [num_layers, num_experts, num_experts],
        and the layers' ids; None where nothing of the kind is there.

    Raises
    ------
    FormatError
        With the file, what was found and the mend.
    """
    with naming(path):
        file = open_checked(path, folders=True)
        found = trtllm_tokens.pairs_from_trtllm(read_folder(file)) if file.is_dir() else None
        if found is None or stored is None:
            return found
        pairs, layer_ids = found
        return _folded_pairs(pairs, stored.rows(layer_ids), stored.num_experts), layer_ids


def _folded_pairs(pairs: np.ndarray, placed: np.ndarray, num_experts: int | None) -> np.ndarray:
    if placed.shape != pairs.shape[:2]:
        raise FormatError(
            f"there are pairs of {pairs.shape[1]} slots, and the map has {placed.shape[1]}."
        )
    num = num_experts or int(placed.max()) + 1
    folded = np.zeros((len(pairs), num, num), dtype=np.int64)
    for layer, row in enumerate(placed):
        held = np.flatnonzero(row >= 0)
        np.add.at(folded[layer], np.ix_(row[held], row[held]), pairs[layer][np.ix_(held, held)])
    return folded


def write_tokens(path: PathLike, recording: TokenRecording) -> None:
    """Write a recording as our own .npz, whole or not at all; it is walked through twice.

    Parameters
    ----------
    path
        The file; an old one stays until the new one is complete on the disk.
    recording
        The tokens, which need not fit into memory.

    Raises
    ------
    FormatError
        When the file cannot be written, or some tokens were recorded in some layers alone.
    """
    write_atomically(path, token_arrays.token_pieces(recording))


def write_by_layer(
    path: PathLike, name: str, values: np.ndarray, layer_ids: Sequence[int], num_hidden_layers: int
) -> None:
    """Write what a recording has shown of each layer, as an .npz, whole or not at all.

    Parameters
    ----------
    path
        The file.
    name
        What it is: "sources" or "homes", say.
    values
        [num_layers, ...].
    layer_ids
        Place of each layer among the model's hidden layers.
    num_hidden_layers
        Layers of the model.

    Raises
    ------
    FormatError
        When the file cannot be written.
    """
    beside = {
        name: np.asarray(values),
        "layer_ids": np.array(layer_ids, dtype=np.int64),
        "num_hidden_layers": np.array(num_hidden_layers, dtype=np.int64),
    }
    write_atomically(path, npz_bytes(beside))


def read_by_layer(path: PathLike, name: str, layer_ids: Sequence[int]) -> np.ndarray:
    """What `write_by_layer` has written, for some of the layers.

    Parameters
    ----------
    path
        An .npz with an array of this name; where it has no `layer_ids`, a row for each of those
        asked for.
    name
        What it is.
    layer_ids
        The layers whose rows are wanted, ascending.

    Raises
    ------
    FormatError
        With the file, what was found and the mend.
    """
    with naming(path):
        file = open_checked(path)
        container = container_of(file)
        if container != "npz":
            raise FormatError(f"this is {container}; an .npz with an array {name} is due.")
        arrays = Archive(file)
        if name not in arrays:
            raise FormatError(f"{keys_found(arrays)}; there is no array {name}.")
        values = arrays[name]
        if values.ndim < 2 or values.dtype.kind not in "iu":
            raise FormatError(
                f"{name} is {values.dtype} {list(values.shape)}; integers [layers, ...] are due."
            )
        there = checked_layer_ids(arrays.layer_ids(), len(values))
        if "layer_ids" not in arrays and len(values) == len(layer_ids):
            return values
        missing = sorted(set(layer_ids) - set(there))
        if missing:
            raise FormatError(f"there is no row for layer {missing[0]} in {name}.")
        return np.asarray(values[[there.index(layer_id) for layer_id in layer_ids]])
