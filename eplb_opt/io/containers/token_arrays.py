"""Experts of single tokens as arrays: our .npz, and a bare .npy of what engines return."""

from __future__ import annotations

import zipfile
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.chunks import Drain
from eplb_opt.io.containers.npy import header_bytes, npy_bytes, read_outline
from eplb_opt.io.containers.npz import TOKENS_KEY, Archive, opened
from eplb_opt.io.containers.steps import StepHeader, step_header, taking
from eplb_opt.io.files import check_ratio
from eplb_opt.io.loads import checked_layer_ids
from eplb_opt.io.recordings.recording import no_progress
from eplb_opt.io.recordings.tokens import CHUNK_ENTRIES, NO_RANK, TokenChunk, TokenRecording

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eplb_opt.io.loads import Loads
    from eplb_opt.io.recordings.recording import Progress
    from eplb_opt.io.recordings.tokens import Reader

#: The rank that each token starts on, integers [num_tokens]; -1, or no such array: not known.
RANK_KEY = "source_rank"


def tokens_from_npz(arrays: Archive) -> TokenRecording:
    """Our own archive: topk_ids [num_tokens, num_layers, experts_per_token], and what goes with it.

    Beside them source_rank [num_tokens], layer_ids, num_hidden_layers and num_experts, each of
    which may be absent.

    Raises
    ------
    FormatError
        When there is no such array, or the others do not fit it.
    """
    if TOKENS_KEY not in arrays:
        raise FormatError(
            f"there is no array {TOKENS_KEY} [tokens, layers, experts a token]; counts alone tell "
            "of no single token."
        )
    name = f"{TOKENS_KEY}.npy"
    with opened(arrays.path) as archive, archive.open(name) as member:
        info = archive.getinfo(name)
        check_ratio(info.file_size, info.compress_size)
        header = _checked(step_header(member, info.file_size))
    rank = arrays.get(RANK_KEY, None)
    if rank is not None and (rank.shape != header.shape[:1] or rank.dtype.kind not in "iu"):
        raise FormatError(
            f"{RANK_KEY} is {rank.dtype} {list(rank.shape)}; one integer for each of the "
            f"{header.shape[0]} tokens is due."
        )
    return _recording(
        partial(_chunks, arrays.path, name, header, rank),
        checked_layer_ids(arrays.layer_ids(), header.shape[1]),
        arrays.scalar("num_experts"),
        arrays.scalar("num_hidden_layers"),
    )


def tokens_from_npy(path: Path) -> TokenRecording:
    """A bare array [num_tokens, num_layers, experts_per_token], as engines return it of requests.

    Raises
    ------
    FormatError
        When it is of another kind or shape.
    """
    with path.open("rb") as file:
        header = step_header(file, path.stat().st_size)
    if header is None:
        array = read_outline(path)
        raise FormatError(f"it is {array.dtype} {list(array.shape)}; {WANTED}.")
    reader = partial(_chunks, path, None, _checked(header), None)
    return _recording(reader, checked_layer_ids((), header.shape[1]), 0, 0)


def loads_from_tokens(arrays: Archive) -> Loads:
    """The sum over the tokens of an archive."""
    return tokens_from_npz(arrays).total()


WANTED = (
    "integers [tokens, layers, experts a token] are due, in the order of C and at least one of each"
)


def _checked(header: StepHeader | None) -> StepHeader:
    if header is None or header.dtype.kind not in "iu":
        found = "" if header is None else f"{TOKENS_KEY} is {header.dtype} {list(header.shape)}; "
        raise FormatError(f"{found}{WANTED}.")
    return header


def _recording(
    reader: Reader, layer_ids: tuple[int, ...], num_experts: int, num_hidden_layers: int
) -> TokenRecording:
    """The recording; what was not told, the experts and the dense layers, is looked for."""
    if num_experts:
        return TokenRecording(reader, layer_ids, num_experts, num_hidden_layers)
    most, is_zero = -1, np.ones(len(layer_ids), dtype=bool)
    for chunk in reader(no_progress):
        most = max(most, int(chunk.experts.max(initial=-1)))
        is_zero &= (chunk.experts == 0).all(axis=(1, 2)) & (chunk.experts.shape[2] > 1)
    found = TokenRecording(reader, layer_ids, max(most + 1, 1), num_hidden_layers)
    return found.without_dense(is_zero)


def _chunks(
    path: Path, member: str | None, header: StepHeader, rank: np.ndarray | None, tell: Progress
) -> Iterator[TokenChunk]:
    num_tokens, num_layers, experts_per_token = header.shape
    size = max(1, CHUNK_ENTRIES // (num_layers * experts_per_token))
    with ExitStack() as stack:
        take = stack.enter_context(taking(path, member, header))
        for first in range(0, num_tokens, size):
            part = take(min(size, num_tokens - first)).astype(np.int64).transpose(1, 0, 2)
            start = np.full(part.shape[1], NO_RANK) if rank is None else rank[first : first + size]
            yield TokenChunk(tuple(range(num_layers)), part, start.astype(np.int64))
            tell(first + part.shape[1], num_tokens)


def token_pieces(recording: TokenRecording) -> Iterator[bytes]:
    """The bytes of our archive, a chunk at a time.

    Raises
    ------
    FormatError
        When some tokens were recorded in some layers alone.
    """
    sink = Drain()
    beside = {
        "layer_ids": np.array(recording.layer_ids, dtype=np.int64),
        "num_experts": np.array(recording.num_experts, dtype=np.int64),
        "num_hidden_layers": np.array(recording.num_hidden_layers, dtype=np.int64),
    }
    width, rank = 0, []
    for chunk in recording.chunks():  # the first walk says how large it will be
        if len(chunk.layer_idx) != recording.num_layers:
            raise FormatError("some tokens were recorded in some layers alone; they have no row.")
        width = max(width, chunk.experts.shape[2])
        rank.append(chunk.rank)
    beside[RANK_KEY] = np.concatenate(rank).astype(np.int32)
    shape = (len(beside[RANK_KEY]), recording.num_layers, width)
    narrow = np.dtype(np.int16 if recording.num_experts <= np.iinfo(np.int16).max else np.int32)
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in beside.items():
            archive.writestr(_member(name), npy_bytes(array))
        with archive.open(_member(TOKENS_KEY), "w", force_zip64=True) as member:
            member.write(header_bytes(shape, narrow))
            for chunk in recording.chunks():
                row = np.full((chunk.num_tokens, *shape[1:]), -1, dtype=narrow)
                row[:, :, : chunk.experts.shape[2]] = chunk.experts.transpose(1, 0, 2)
                member.write(row.tobytes())
                yield sink.take()
    yield sink.take()


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(f"{name}.npy")  # its date is 1980: no clock in the bytes
    member.create_system, member.compress_type = 3, zipfile.ZIP_DEFLATED
    return member
