"""SGLang's recorder: one file of logical counts, or files of single passes from every rank."""

from __future__ import annotations

import re
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.torch_file import Claims, is_tensor, read_pt, tensor_values
from eplb_opt.io.files import naming
from eplb_opt.io.recordings.folding import Fold
from eplb_opt.io.recordings.recording import Recording
from eplb_opt.io.shapes import check_load_shape, id_array, keys_found, load_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eplb_opt.io.containers.folder import Folder
    from eplb_opt.io.recordings.recording import Part, Progress

    #: Name, bytes and reader of each file.
    Sources = list[tuple[str, int, Callable[[], Any]]]

#: Mode stat: [steps, hidden layers, experts], the ranks already added.
LOAD_KEY = "logical_count"
#: Modes per_pass and per_token: records of one rank, and the map that was in force.
RECORDS_KEY = "records"
MAP_KEY = "last_physical_to_logical_map"
COUNT_KEY = "global_physical_count"

#: The time in a dump's name, by which several are put in order.
TIME = re.compile(r"recorder_(\d{1,12}(?:\.\d{1,12})?)")
MAX_PASS_ID = 2**62


def has_loads(document: Any) -> bool:
    """Whether a document is a recording of SGLang's."""
    return isinstance(document, dict) and (LOAD_KEY in document or RECORDS_KEY in document)


def has_dumps(folder: Folder) -> bool:
    """Whether a folder holds files that may be dumps."""
    return bool(folder.named(".pt"))


def loads_from_sglang(document: Any) -> Recording:
    """The recording in one file, which has a row for every hidden layer."""
    if not has_loads(document):
        found = keys_found(document) if isinstance(document, dict) else type(document).__name__
        raise FormatError(f"{found}; there is no key {LOAD_KEY} or {RECORDS_KEY}.")
    return _recording([("", 1, lambda: document)])


def loads_from_sglang_folder(folder: Folder) -> Recording:
    """The recording of all ranks, or several dumps one after the other; one is open at a time."""
    return _recording(dump_sources(folder))


def dump_sources(folder: Folder) -> Sources:
    """The dumps of a folder in the order of their times."""
    names = sorted(folder.named(".pt"), key=lambda name: (_time(name), name))
    return [
        (name, (folder.path / name).stat().st_size, partial(read_pt, folder.path / name))
        for name in names
    ]


def _recording(sources: Sources) -> Recording:
    ranks: set[int] = set()
    return Recording(partial(_parts, sources, ranks), ranks=ranks)


def _parts(sources: Sources, ranks: set[int], progress: Progress) -> Iterator[Part]:
    """All parts; the ranks that wrote single passes are added to `ranks`."""
    done, total, passes, kinds = 0, sum(size for _, size, _ in sources), Passes(), set()
    writers: dict[int, str] = {}
    num_steps = 0
    for name, size, read in sources:
        with naming(name) if name else nullcontext():
            document = read()
            kinds.add(_kind(document))
            if len(kinds) > 1:
                raise FormatError(
                    f"it has {_kind(document)}, other files of the folder have not; keep the "
                    "files of one recording in a folder."
                )
            if LOAD_KEY in kinds:
                _refuse_second_total(document, name, writers)
            steps = _steps(document, num_steps) if LOAD_KEY in kinds else passes.parts(document)
            for share, part in steps:
                yield part
                progress(done + int(share * size), total)
                num_steps = part[0] + 1
        done += size
    passes.check_ranks()
    ranks.update(passes.ranks)


def _refuse_second_total(document: Any, name: str, writers: dict[int, str]) -> None:
    """Refuse totals of two ranks: in mode stat each holds the tokens of all of them already."""
    rank = document.get("rank")
    if type(rank) is not int:
        return
    writers.setdefault(rank, name)
    if len(writers) > 1:
        other = next(r for r in writers if r != rank)
        raise FormatError(
            f"it is the total of rank {rank}, and {writers[other]} is that of rank {other}: each "
            "holds the tokens of all ranks, and together they would count twice. Keep the files "
            f"of one rank in the folder, or give {writers[other]} itself."
        )


def _kind(document: Any) -> str:
    if not has_loads(document):
        raise FormatError(f"there is no key {LOAD_KEY} or {RECORDS_KEY}; it is no dump.")
    return LOAD_KEY if LOAD_KEY in document else RECORDS_KEY


def _steps(document: Any, first: int) -> Iterator[tuple[float, Part]]:
    """The steps of mode stat; a tensor on the disk stays there."""
    values = document[LOAD_KEY]
    if is_tensor(values):
        Claims().add(values, LOAD_KEY)
    else:
        values = load_array(values, LOAD_KEY)
    check_load_shape(values, LOAD_KEY)
    steps = values if values.ndim == 3 else values[None]
    for i in range(len(steps)):
        yield (i + 1) / len(steps), (first + i, np.asarray(tensor_values(steps[i], LOAD_KEY)))


class Passes:
    """Which passes of which ranks were met; the records are told from each other by them."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str], np.ndarray] = {}

    def parts(self, document: Any) -> Iterator[tuple[float, Part]]:
        """Loads of experts, one part a record, and how much of the file is done.

        Raises
        ------
        FormatError
            When records are damaged or were met before.
        """
        records = self.met(document)
        fold = Fold(id_array(tensor_values(document[MAP_KEY], MAP_KEY), MAP_KEY))
        claims = Claims()
        for i, record in enumerate(records):
            values = record.get(COUNT_KEY)
            if is_tensor(values):
                claims.add(values, COUNT_KEY)
            load = fold(tensor_values(values, COUNT_KEY), COUNT_KEY)
            yield (i + 1) / len(records), (record["forward_pass_id"], load)

    def met(self, document: Any) -> list[dict[str, Any]]:
        """The records of a file, now met.

        Raises
        ------
        FormatError
            When they are damaged or were met before.
        """
        records = document[RECORDS_KEY]
        if not isinstance(records, list) or MAP_KEY not in document:
            raise FormatError(f"{RECORDS_KEY} is no list, or there is no {MAP_KEY}.")
        self._meet(records)
        return records

    @property
    def ranks(self) -> set[int]:
        """Ranks whose passes were met."""
        return {rank for rank, _ in self._seen}

    def check_ranks(self) -> None:
        """Refuse a recording in which a rank's file is missing.

        Raises
        ------
        FormatError
            With the first rank that is missing.
        """
        ranks = self.ranks
        if ranks and max(ranks) + 1 != len(ranks):
            missing = next(rank for rank in range(len(ranks)) if rank not in ranks)
            raise FormatError(
                f"there is rank {max(ranks)}, but none of rank {missing}: give the folder with "
                "the files of all ranks."
            )

    def _meet(self, records: list[Any]) -> None:
        groups: dict[tuple[int, str], list[int]] = {}
        for record in records:
            if not isinstance(record, dict):
                raise FormatError(f"a record is a {type(record).__name__}, not a dictionary.")
            who = (_whole(record, "rank"), str(record.get("gatherer_key", "")))
            groups.setdefault(who, []).append(_whole(record, "forward_pass_id"))
        for who, passes in groups.items():
            both = np.concatenate([self._seen.get(who, np.zeros(0, np.int64)), np.array(passes)])
            self._seen[who], count = np.unique(both, return_counts=True)
            if (count > 1).any():
                raise FormatError(
                    f"rank {who[0]} has pass {self._seen[who][count > 1][0]} twice; keep the "
                    "files of one server in a folder."
                )


def _whole(record: dict[Any, Any], key: str) -> int:
    value = record.get(key)
    if type(value) is not int or not 0 <= value <= MAX_PASS_ID:
        raise FormatError(f"a record has {key} = {str(value)[:40]}; a whole number is due.")
    return value


def _time(name: str) -> float:
    found = TIME.search(name)
    return float(found[1]) if found else 0.0
