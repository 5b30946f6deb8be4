"""Recordings of single tokens: which experts each one goes to, and which rank it starts on."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.files import naming
from eplb_opt.io.loads import Loads, checked_layer_ids, checked_num_hidden_layers
from eplb_opt.io.origin import Origin
from eplb_opt.io.recordings.recording import added, no_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from eplb_opt.io.recordings.recording import Progress

    Reader = Callable[[Progress], Iterator["TokenChunk"]]

#: The rank of a token that starts nobody knows where.
NO_RANK = -1
#: Entries (tokens times layers times experts a token) of a chunk; they take 32 MiB.
CHUNK_ENTRIES = 2**22
#: No model has as many experts in a layer, or sends a token to as many.
MAX_EXPERTS, MAX_EXPERTS_PER_TOKEN = 2**20, 2**10
#: No server has as many ranks.
MAX_RANKS = 2**16


@dataclass(frozen=True, eq=False)
class TokenChunk:
    """Some tokens in some layers.

    Parameters
    ----------
    layer_idx
        The layers, as places in the recording's `layer_ids`, ascending.
    experts
        int64 [num_layers of the chunk, num_tokens, experts_per_token], logical expert ids. -1 where
        a token goes to fewer experts; a token that has nothing but -1 in a layer is not there.
    rank
        int64 [num_tokens], the rank that each token starts on; -1 where nobody knows.
    """

    layer_idx: tuple[int, ...]
    experts: np.ndarray
    rank: np.ndarray

    @property
    def num_tokens(self) -> int:
        """Tokens of the chunk."""
        return int(self.experts.shape[1])

    def parts(self) -> Iterator[TokenChunk]:
        """The chunk in parts of a few million entries."""
        layers, num, experts_per_token = self.experts.shape
        size = max(1, CHUNK_ENTRIES // max(1, layers * experts_per_token))
        for first in range(0, num, size):
            tokens = slice(first, first + size)
            yield replace(self, experts=self.experts[:, tokens], rank=self.rank[tokens])


@dataclass(frozen=True, eq=False)
class TokenRecording:
    """Tokens of a model's MoE layers, of which only a chunk at a time is in memory.

    Parameters
    ----------
    reader
        Yields all chunks in any order, telling its argument how far it is; it is called anew for
        each walk.
    layer_ids
        Place of each MoE layer among the model's hidden layers, ascending.
    num_experts
        Logical experts a layer.
    num_hidden_layers
        Layers of the model, dense ones included; by default up to the last MoE layer.
    format
        Name of the format it is read from.
    source
        The file or folder.
    notes
        What was odd, in sentences; a walk over the chunks adds to them.
    """

    reader: Reader
    layer_ids: tuple[int, ...]
    num_experts: int
    num_hidden_layers: int = 0
    format: str = ""
    source: str = ""
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 1 <= self.num_experts <= MAX_EXPERTS:
            raise FormatError(f"num_experts={self.num_experts}; 1 to {MAX_EXPERTS} are due.")
        count = checked_num_hidden_layers(self.num_hidden_layers, self.layer_ids)
        object.__setattr__(self, "num_hidden_layers", count)

    @classmethod
    def of(
        cls,
        experts: Any,
        rank: Any = None,
        *,
        num_experts: int | None = None,
        layer_ids: Any = (),
        num_hidden_layers: int = 0,
    ) -> TokenRecording:
        """Tokens that are in memory already.

        Parameters
        ----------
        experts
            Integers [num_tokens, num_layers, experts_per_token], logical ids, -1 for none: as vLLM
            and SGLang return routed experts of a request.
        rank
            Integers [num_tokens], the rank that each token starts on, -1 where nobody knows; None
            where that is so of all.
        num_experts
            Logical experts a layer; by default one more than the largest id.
        layer_ids
            Place of each layer among the model's hidden layers. By default 0, 1, 2, ..., and
            leading layers in which all that stands is 0 are dense: SGLang returns a row for every
            hidden layer.
        num_hidden_layers
            Layers of the model; by default up to the last one here.

        Raises
        ------
        FormatError
            When the arrays are of other kinds or shapes.
        """
        array = np.asarray(experts)
        if array.ndim != 3 or array.dtype.kind not in "iu" or 0 in array.shape:
            raise FormatError(
                f"experts is {array.dtype} {list(array.shape)}; integers [num_tokens, num_layers, "
                "experts_per_token] are due, at least one of each."
            )
        ranks = np.full(len(array), NO_RANK) if rank is None else np.asarray(rank)
        if ranks.shape != (len(array),) or ranks.dtype.kind not in "iu":
            raise FormatError(
                f"rank is {ranks.dtype} {list(ranks.shape)}; one integer for each of the "
                f"{len(array)} tokens is due."
            )
        ids = checked_layer_ids(layer_ids, array.shape[1])
        num = int(array.max()) + 1 if num_experts is None else num_experts
        reader = partial(_in_memory, array, ranks)
        found = cls(reader, ids, max(num, 1), num_hidden_layers)
        if np.size(layer_ids) or array.shape[2] == 1:
            return found
        return found.without_dense((array == 0).all(axis=(0, 2)))

    @property
    def num_layers(self) -> int:
        """MoE layers."""
        return len(self.layer_ids)

    def chunks(self, progress: Progress | None = None) -> Iterator[TokenChunk]:
        """All tokens, a few million entries at a time.

        Parameters
        ----------
        progress
            Called with the bytes read and the bytes there are.

        Raises
        ------
        FormatError
            When there is no token, an id is none of an expert or of a rank, or a token goes to an
            expert twice: then the ids are of slots, and of another map than they are folded by.
        """
        is_empty = True
        for whole in _merged(self.reader(progress or no_progress)):
            for chunk in whole.parts():
                with self._naming():
                    self._check(chunk)
                is_empty = is_empty and not (chunk.experts >= 0).any()
                yield chunk
        with self._naming():
            if not is_empty:
                return
            raise FormatError("there is no token in it; record while the server has requests.")

    def of_layers(self, layer_ids: Sequence[int]) -> TokenRecording:
        """The tokens in some of the layers.

        Parameters
        ----------
        layer_ids
            Layers of the model, ascending.

        Raises
        ------
        FormatError
            When one of them was not recorded.
        """
        wanted = tuple(layer_ids)
        if wanted == self.layer_ids:
            return self
        missing = sorted(set(wanted) - set(self.layer_ids))
        if missing:
            raise FormatError(
                f"{self.source or 'the recording'} has no tokens in layer {missing[0]}; it has "
                f"{self.num_layers} layers from {self.layer_ids[0]} to {self.layer_ids[-1]}."
            )
        place = {self.layer_ids.index(layer_id): i for i, layer_id in enumerate(wanted)}

        def reader(tell: Progress) -> Iterator[TokenChunk]:
            for chunk in self.reader(tell):
                held = [at for at, idx in enumerate(chunk.layer_idx) if idx in place]
                if held:
                    idx = tuple(place[chunk.layer_idx[at]] for at in held)
                    yield TokenChunk(idx, chunk.experts[held], chunk.rank)

        return replace(self, reader=reader, layer_ids=wanted)

    def without_dense(self, is_zero: np.ndarray) -> TokenRecording:
        """The tokens without leading layers that hold nothing but zeros.

        Parameters
        ----------
        is_zero
            bool [num_layers], the layers in which every token has 0 in all places: no router sends
            a token to expert 0 several times.

        Raises
        ------
        FormatError
            When those are all layers.
        """
        if not is_zero.any():
            return self
        if is_zero.all():
            raise FormatError("all tokens go to expert 0 alone: it was not recorded.")
        return self.of_layers(self.layer_ids[int(is_zero.argmin()) :])

    def total(self, progress: Progress | None = None) -> Loads:
        """The loads: assignments of each expert, as one snapshot.

        Parameters
        ----------
        progress
            Called with the bytes read and the bytes there are.

        Raises
        ------
        FormatError
            As `chunks` does.
        """
        total = np.zeros((self.num_layers, self.num_experts), dtype=np.int64)
        ranks: set[int] = set()
        for chunk in self.chunks(progress):
            ranks.update(np.unique(chunk.rank).tolist())
            for layer_idx, experts in zip(chunk.layer_idx, chunk.experts, strict=True):
                counts = np.bincount(experts[experts >= 0], minlength=self.num_experts)
                total[layer_idx] = added(total[layer_idx], counts)
        known = tuple(sorted(ranks - {NO_RANK}))
        origin = Origin(ranks=known)
        return Loads(
            total[None], self.layer_ids, self.num_hidden_layers, self.format, self.source, origin
        )

    def _naming(self) -> AbstractContextManager[None]:
        """Put the file before a message, where the tokens are of one."""
        return naming(self.source) if self.source else nullcontext()

    def _check(self, chunk: TokenChunk) -> None:
        experts = chunk.experts
        if experts.shape[2] > MAX_EXPERTS_PER_TOKEN:
            raise FormatError(
                f"tokens go to {experts.shape[2]} experts, more than {MAX_EXPERTS_PER_TOKEN}."
            )
        if experts.size and not (experts.min() >= -1 and experts.max() < self.num_experts):
            raise FormatError(
                f"tokens go to experts {experts.min()} to {experts.max()}; ids are 0 to "
                f"{self.num_experts - 1}, and -1 for none."
            )
        if chunk.rank.size and not (chunk.rank.min() >= NO_RANK and chunk.rank.max() < MAX_RANKS):
            raise FormatError(
                f"tokens start on ranks {chunk.rank.min()} to {chunk.rank.max()}; ranks are 0 to "
                f"{MAX_RANKS - 1}, and -1 where nobody knows."
            )
        in_order = np.sort(experts, axis=2)
        twice = (in_order[..., 1:] == in_order[..., :-1]) & (in_order[..., 1:] >= 0)
        if twice.any():
            layer, token, place = np.argwhere(twice)[0]
            raise FormatError(
                f"layer {self.layer_ids[chunk.layer_idx[layer]]}: a token goes to expert "
                f"{in_order[layer, token, place]} twice, and no router does that. If these are "
                "slots, the map is not the one that was in force: record without a rebalance."
            )


def _in_memory(experts: np.ndarray, rank: np.ndarray, progress: Progress) -> Iterator[TokenChunk]:
    num, num_layers, experts_per_token = experts.shape
    size = max(1, CHUNK_ENTRIES // (num_layers * experts_per_token))
    for first in range(0, num, size):
        part = experts[first : first + size].astype(np.int64).transpose(1, 0, 2)
        yield TokenChunk(
            tuple(range(num_layers)), part, rank[first : first + size].astype(np.int64)
        )
        progress(first + part.shape[1], num)


def _merged(chunks: Iterable[TokenChunk]) -> Iterator[TokenChunk]:
    """Chunks of one shape after the other as one: recorded steps have few tokens."""
    waiting: list[TokenChunk] = []
    entries = 0
    for chunk in chunks:
        first = waiting[0] if waiting else chunk
        is_like = chunk.layer_idx == first.layer_idx
        is_like = is_like and chunk.experts.shape[2] == first.experts.shape[2]
        if waiting and not (is_like and entries + chunk.experts.size <= CHUNK_ENTRIES):
            yield _joined(waiting)
            waiting, entries = [], 0
        waiting.append(chunk)
        entries += chunk.experts.size
    if waiting:
        yield _joined(waiting)


def _joined(chunks: list[TokenChunk]) -> TokenChunk:
    if len(chunks) == 1:
        return chunks[0]
    experts = np.concatenate([chunk.experts for chunk in chunks], axis=1)
    rank = np.concatenate([chunk.rank for chunk in chunks])
    return TokenChunk(chunks[0].layer_idx, experts, rank)
