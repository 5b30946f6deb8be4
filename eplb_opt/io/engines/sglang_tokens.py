"""SGLang's recorder in mode per_token: the physical experts of every token of every pass.

A file a rank, as in mode per_pass; a record has besides, for the tokens that this rank has run:
topk_ids_of_layer, int32 [hidden layers, tokens, 8], ids of physical slots, -1 in rows of dense
layers, in columns that a model of fewer experts a token leaves over, and for padding; input_ids and
positions, a number a token; extend_seq_lens, forward_mode, misc_objects. Which rank a token starts
on is the record's rank. Read in SGLang 0.5.23, `srt/eplb/expert_distribution.py`,
`_DetailSinglePassGatherer` and `_DetailAccumulator`.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.torch_file import Claims, is_tensor, tensor_values
from eplb_opt.io.engines.sglang_recorder import MAP_KEY, RECORDS_KEY, Passes, dump_sources
from eplb_opt.io.files import naming
from eplb_opt.io.recordings.recording import first_moe_layer, no_progress
from eplb_opt.io.recordings.token_slots import Repeats, experts_of_slots
from eplb_opt.io.recordings.tokens import TokenChunk, TokenRecording
from eplb_opt.io.shapes import id_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.io.containers.folder import Folder
    from eplb_opt.io.engines.sglang_recorder import Sources
    from eplb_opt.io.recordings.recording import Progress

TOPK_KEY = "topk_ids_of_layer"
INPUTS_KEY = "input_ids"


def has_tokens(document: Any) -> bool:
    """Whether a document is a dump of single passes, with or without tokens."""
    return isinstance(document, dict) and RECORDS_KEY in document


def tokens_from_sglang(document: Any) -> TokenRecording:
    """The tokens of one rank's file, or of a folder with the files of all ranks.

    Raises
    ------
    FormatError
        When it is no recording of single tokens, or is damaged.
    """
    return _recording([("", 1, lambda: document)])


def tokens_from_sglang_folder(folder: Folder) -> TokenRecording:
    """The tokens in the files of all ranks; one is open at a time."""
    return _recording(dump_sources(folder))


def _recording(sources: Sources) -> TokenRecording:
    notes: list[str] = []
    first, num_rows, num_experts = _outline(sources)
    reader = partial(_chunks, sources, first, num_experts, notes)
    layer_ids = tuple(range(first, num_rows))
    return TokenRecording(reader, layer_ids, num_experts, num_rows, notes=notes)


def _outline(sources: Sources) -> tuple[int, int, int]:
    """The first layer with experts, the hidden layers, and the experts of a layer.

    The first record that holds a token tells, for every token goes through all layers.
    """
    for _, placed, _, slots in _records(sources, no_progress):
        busy = np.asarray((slots >= 0).any(axis=(1, 2)))
        if busy.any():
            return first_moe_layer(busy), len(placed), int(placed.max()) + 1
    raise FormatError("there is no token in it; record while the server has requests.")


def _chunks(
    sources: Sources, first: int, num_experts: int, notes: list[str], tell: Progress
) -> Iterator[TokenChunk]:
    passes, repeats = Passes(), Repeats()
    for record, placed, name, slots in _records(sources, tell, passes):
        with naming(name) if name else nullcontext():
            if (slots[:first] >= 0).any():
                raise FormatError(
                    f"pass {record['forward_pass_id']} has experts in layers before {first}, which "
                    "the first pass has none in; are the files of one server?"
                )
            experts = experts_of_slots(slots[first:], placed[first:])
            if experts.max(initial=-1) >= num_experts:
                raise FormatError(f"its map has more experts than {num_experts}, as the first has.")
        rank = record["rank"]
        repeats.see(record["forward_pass_id"], rank, slots[first:])
        layer_idx = tuple(range(len(experts)))
        yield TokenChunk(layer_idx, experts, np.full(experts.shape[1], rank, dtype=np.int64))
    passes.check_ranks()
    notes[:] = repeats.notes()


def _records(
    sources: Sources, tell: Progress, passes: Passes | None = None
) -> Iterator[tuple[dict[str, Any], np.ndarray, str, np.ndarray]]:
    """Each record with the map of its file, the file's name, and its slots [rows, tokens, k]."""
    passes = passes or Passes()
    done, total = 0, sum(size for _, size, _ in sources)
    for name, size, read in sources:
        with naming(name) if name else nullcontext():
            records, placed = _opened(read(), passes)
        claims = Claims()
        for i, record in enumerate(records):
            with naming(name) if name else nullcontext():
                slots = _slots(record, placed, claims)
            yield record, placed, name, slots
            tell(done + size * (i + 1) // len(records), total)
        done += size


def _opened(document: Any, passes: Passes) -> tuple[list[dict[str, Any]], np.ndarray]:
    if not has_tokens(document):
        raise FormatError(
            f"there are no {RECORDS_KEY} of single passes in it: it holds sums. Record with "
            "--expert-distribution-recorder-mode per_token."
        )
    records = passes.met(document)
    return records, id_array(tensor_values(document[MAP_KEY], MAP_KEY), MAP_KEY)


def _slots(record: dict[str, Any], placed: np.ndarray, claims: Claims) -> np.ndarray:
    """The slots of a record's tokens, int64 [hidden layers, tokens, experts a token]."""
    values = record.get(TOPK_KEY)
    if values is None:
        raise FormatError(
            f"a record has no {TOPK_KEY}: it was recorded in mode per_pass. Record with "
            "--expert-distribution-recorder-mode per_token."
        )
    if is_tensor(values):
        claims.add(values, TOPK_KEY)
    slots = np.asarray(tensor_values(values, TOPK_KEY))
    if slots.ndim != 3 or slots.dtype.kind not in "iu" or len(slots) != len(placed):
        raise FormatError(
            f"{TOPK_KEY} is {slots.dtype} {list(slots.shape)}; integers [{len(placed)} hidden "
            "layers, tokens, experts a token] are due."
        )
    inputs = record.get(INPUTS_KEY)
    if isinstance(inputs, list) and len(inputs) != slots.shape[1]:
        raise FormatError(
            f"pass {record['forward_pass_id']} has {len(inputs)} {INPUTS_KEY} and "
            f"{slots.shape[1]} tokens in {TOPK_KEY}; the file is damaged."
        )
    return slots.astype(np.int64)
