"""lmdeploy: the loads that it plans from, and the counts that its recorder writes.

``LMDEPLOY_EPLB_EXPERTS_STATISTIC_FILE`` (0.18.0) names a JSON list [hidden layers][experts], dense
layers included; no map can be given. The recorder (pull request 3709) writes
``rank{r}_step{s}_expert_counts.pt``, a dictionary with counts [layers with experts, experts],
balancedness, step and rank. Its counts are those since the start, so that a later file of a rank
holds all of an earlier one.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.plain_json import json_bytes
from eplb_opt.io.containers.torch_file import read_pt, tensor_values
from eplb_opt.io.files import naming
from eplb_opt.io.recordings.recording import Recording, with_layers
from eplb_opt.io.shapes import keys_found, load_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.io.containers.folder import Folder
    from eplb_opt.io.loads import Loads
    from eplb_opt.io.recordings.recording import Part, Progress
    from eplb_opt.io.recordings.trace import Trace

COUNTS_KEY = "counts"
MARKS = ("balancedness", "step", "rank")
DUMP = re.compile(r"rank(\d{1,6})_step(\d{1,15})_expert_counts\.pt", re.ASCII)


def has_counts(document: Any) -> bool:
    """Whether a document is a dump of the recorder."""
    return isinstance(document, dict) and {COUNTS_KEY, *MARKS} <= document.keys()


def has_dumps(folder: Folder) -> bool:
    """Whether a folder holds dumps of the recorder, by their names."""
    return any(DUMP.fullmatch(name) for name in folder.names)


def loads_from_dump(document: Any) -> Recording:
    """The counts of one file, a row for every layer with experts."""
    counts = _counts(document)
    return Recording(lambda _: iter([(0, counts)]), tuple(range(len(counts))))


def loads_from_dumps(folder: Folder) -> Recording:
    """What came between the dumps of each rank, and all ranks of a step added up."""
    dumps = sorted(
        (int(found[2]), int(found[1]), name)
        for name in folder.names
        if (found := DUMP.fullmatch(name))
    )
    counts = _read(folder, dumps[0][2])
    return Recording(partial(_parts, folder, dumps), tuple(range(len(counts))))


def loads_from_lists(document: Any) -> Loads:
    """A row for every hidden layer; leading rows of zeros are dense layers."""
    if not isinstance(document, list):
        raise FormatError(
            f"a JSON {type(document).__name__}; lmdeploy reads a list [layers][experts]."
        )
    return with_layers(load_array(document), None)


def lists_chunks(trace: Trace) -> list[bytes]:
    """A list of loads for every hidden layer, zeros where it is dense, summed over the steps."""
    (load,) = trace.total().load
    rows = np.zeros((trace.num_hidden_layers, load.shape[1]), dtype=load.dtype)
    rows[list(trace.layer_ids)] = load
    return [json_bytes(rows)]


def _parts(folder: Folder, dumps: list[tuple[int, int, str]], progress: Progress) -> Iterator[Part]:
    before: dict[int, np.ndarray] = {}
    for done, (step, rank, name) in enumerate(dumps):
        counts = _read(folder, name)
        last = before.get(rank)
        # Where anything has fallen the server was started anew, and counted from zero.
        goes_on = last is not None and last.shape == counts.shape and (counts >= last).all()
        yield step, counts - last if goes_on else counts
        before[rank] = counts
        progress(done + 1, len(dumps))


def _read(folder: Folder, name: str) -> np.ndarray:
    with naming(name):
        return _counts(read_pt(folder.path / name))


def _counts(document: Any) -> np.ndarray:
    if not has_counts(document):
        found = keys_found(document) if isinstance(document, dict) else type(document).__name__
        raise FormatError(f"{found}; {COUNTS_KEY}, {', '.join(MARKS)} are due.")
    load = load_array(tensor_values(document[COUNTS_KEY], COUNTS_KEY), COUNTS_KEY)
    if len(load) != 1:
        raise FormatError(f"{COUNTS_KEY} have shape {list(load.shape)}; [layers, experts] is due.")
    return np.asarray(load[0])
