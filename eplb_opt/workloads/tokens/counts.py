"""A recording of single tokens, added up: by the rank they start on, and by pairs of experts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError, ProblemError
from eplb_opt.io.recordings.tokens import NO_RANK, TokenRecording

if TYPE_CHECKING:
    from eplb_opt.io.recordings.recording import Progress
    from eplb_opt.io.recordings.tokens import TokenChunk


def as_recording(tokens: Any) -> TokenRecording:
    """A recording as it is, or an array [num_tokens, num_layers, experts_per_token] as one."""
    return tokens if isinstance(tokens, TokenRecording) else TokenRecording.of(tokens)


def token_sources(
    tokens: Any, num_ranks: int | None = None, *, progress: Progress | None = None
) -> np.ndarray:
    """Assignments by the rank that their token starts on.

    Parameters
    ----------
    tokens
        A recording from `eplb_opt.io.open_tokens`.
    num_ranks
        Ranks of the server; by default as many as the recording has.
    progress
        Called with the bytes read and the bytes there are.

    Returns
    -------
    ndarray
        int64 [num_layers, num_ranks, num_experts], tokens that start on a rank and go to an expert.

    Raises
    ------
    ProblemError
        When `num_ranks` is less than the recording has.
    FormatError
        When the recording does not say where tokens start, or is damaged.
    """
    recording = as_recording(tokens)
    shape = (recording.num_layers, num_ranks or 1, recording.num_experts)
    total = np.zeros(shape, dtype=np.int64)
    for chunk in recording.chunks(progress):
        if not chunk.num_tokens:
            continue
        if chunk.rank.min() == NO_RANK:
            raise FormatError(
                f"{recording.source or 'the recording'} does not say on which rank each token "
                "starts. SGLang's per_token dumps and TensorRT-LLM's raw statistics do."
            )
        seen = int(chunk.rank.max()) + 1
        if num_ranks is not None and seen > num_ranks:
            raise ProblemError(f"a token starts on rank {seen - 1}; num_ranks={num_ranks}.")
        if seen > total.shape[1]:
            total = np.pad(total, ((0, 0), (0, seen - total.shape[1]), (0, 0)))
        _add_sources(total, chunk)
    return total


def _add_sources(total: np.ndarray, chunk: TokenChunk) -> None:
    num_ranks, num_experts = total.shape[1:]
    for layer_idx, experts in zip(chunk.layer_idx, chunk.experts, strict=True):
        at = experts + num_experts * chunk.rank[:, None]
        counts = np.bincount(at[experts >= 0], minlength=num_ranks * num_experts)
        total[layer_idx] += counts.reshape(num_ranks, num_experts)


def co_occurrence(tokens: Any, *, progress: Progress | None = None) -> np.ndarray:
    """In how many tokens two experts fire together.

    Parameters
    ----------
    tokens
        A recording from `eplb_opt.io.open_tokens`, or integers [num_tokens, num_layers,
        experts_per_token], -1 for none.
    progress
        Called with the bytes read and the bytes there are.

    Returns
    -------
    ndarray
        int64 [num_layers, num_experts, num_experts], symmetric; the diagonal is the load. It is
        what TensorRT-LLM calls by this name, see `eplb_opt.io.read_pairs`.

    Raises
    ------
    FormatError
        When the recording is damaged.
    """
    recording = as_recording(tokens)
    num = recording.num_experts
    # Half of the pairs, the smaller id first; the other half is the same.
    half = np.zeros((recording.num_layers, num, num), dtype=np.int64)
    for chunk in recording.chunks(progress):
        first, second = np.triu_indices(chunk.experts.shape[2])
        for layer_idx, experts in zip(chunk.layer_idx, chunk.experts, strict=True):
            # -1 stands first in a row and makes its pairs negative.
            in_order = np.sort(experts, axis=1)
            is_there = in_order[:, first] >= 0
            at = in_order[:, first] * num + in_order[:, second]
            half[layer_idx] += np.bincount(at[is_there], minlength=num * num).reshape(num, num)
    return half + np.triu(half, 1).transpose(0, 2, 1)
