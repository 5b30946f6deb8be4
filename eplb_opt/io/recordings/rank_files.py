"""Recordings of which every rank has written its own file: which belong together, and their sum."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.origin import Origin
from eplb_opt.io.recordings.recording import added

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eplb_opt.io.loads import Loads

#: rank3.csv, load_rank-3.npy, rank3_step9_expert_counts.pt, rank_00003_of_00008.csv
RANK = re.compile(
    r"(?<![a-z0-9])rank[-_]?(\d{1,6})(?:[-_]?of[-_]?(\d{1,6}))?(?![0-9a-z])",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class RankFile:
    """What a file's name says of the rank that wrote it.

    Parameters
    ----------
    name
        The path as it was given.
    rank
        The rank.
    num_ranks
        Ranks in all; None where the name does not tell.
    recording
        The path without the rank: the same for all files of a recording.
    """

    name: str
    rank: int
    num_ranks: int | None
    recording: str


def rank_file(path: str) -> RankFile | None:
    """What the name says; None where it does not speak of a rank."""
    pure = PurePath(path)
    found = RANK.search(pure.name)
    if found is None:
        return None
    rest = pure.name[: found.start()] + "rank#" + pure.name[found.end() :]
    num_ranks = None if found[2] is None else int(found[2])
    return RankFile(path, int(found[1]), num_ranks, str(pure.with_name(rest)))


def rank_files(paths: Iterable[str]) -> list[RankFile]:
    """Those paths whose names speak of a rank, by rank."""
    found = [file for file in map(rank_file, paths) if file is not None]
    return sorted(found, key=lambda file: (file.recording, file.rank))


def added_ranks(files: Sequence[RankFile], parts: Sequence[Loads]) -> Loads:
    """The loads of one recording, added up over the ranks that wrote them.

    Parameters
    ----------
    files
        The files' names.
    parts
        The loads of each. Layers are brought together by their ids, so that each rank may know
        others; long tables may end at different experts.

    Raises
    ------
    FormatError
        Where a rank is missing or there twice, or the loads are of different shapes.
    """
    check_ranks(files)
    first = parts[0]
    layer_ids = tuple(sorted({layer_id for part in parts for layer_id in part.layer_ids}))
    num_experts = max(part.num_experts for part in parts)
    for file, part in zip(files, parts, strict=True):
        differs = part.num_snapshots != first.num_snapshots
        short = part.num_experts < num_experts and not part.origin.may_lack_experts
        strange = part.layer_ids != first.layer_ids and not part.origin.may_lack_experts
        if differs or short or strange:
            raise FormatError(
                f"{file.name} has {part.num_snapshots} snapshots x {part.num_layers} layers x "
                f"{part.num_experts} experts, {files[0].name} has {first.num_snapshots} x "
                f"{first.num_layers} x {first.num_experts}; ranks of one recording are added up, "
                "and have all the same."
            )
    total = np.zeros((first.num_snapshots, len(layer_ids), num_experts), dtype=np.int64)
    for part in parts:
        wide = np.zeros(total.shape, dtype=part.load.dtype)
        at = [layer_ids.index(layer_id) for layer_id in part.layer_ids]
        wide[:, at, : part.num_experts] = part.load
        total = added(total, wide)
    origin = Origin(
        ranks=tuple(file.rank for file in files),
        may_lack_experts=any(part.origin.may_lack_experts for part in parts),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.origin.notes)),
    )
    count = max(part.num_hidden_layers for part in parts)
    return replace(first, load=total, layer_ids=layer_ids, num_hidden_layers=count, origin=origin)


def check_ranks(files: Sequence[RankFile]) -> None:
    """Refuse files of a recording that has others, too.

    Raises
    ------
    FormatError
        With the first rank that is missing or there twice.
    """
    counts = Counter(file.rank for file in files)
    twice = [rank for rank, count in counts.items() if count > 1]
    if twice:
        names = [file.name for file in files if file.rank == twice[0]]
        raise FormatError(f"rank {twice[0]} is there twice: {' and '.join(names[:2])}; keep one.")
    told = {file.num_ranks for file in files if file.num_ranks is not None}
    if len(told) > 1:
        raise FormatError(f"the names speak of {' and of '.join(map(str, sorted(told)))} ranks.")
    ranks = sorted(counts)
    num_ranks = told.pop() if told else ranks[-1] + 1
    # Names such as 1_of_8 may count from 1.
    first = 1 if ranks[-1] == num_ranks and ranks[0] > 0 else 0
    missing = sorted(set(range(first, first + num_ranks)) - set(ranks))
    if missing:
        raise FormatError(
            f"there are files of {len(ranks)} ranks ({_listed(ranks)}) of {num_ranks}; those of "
            f"{_listed(missing)} are missing, and with them the tokens that they counted. Give the "
            "files of all ranks."
        )


def _listed(ranks: Sequence[int]) -> str:
    """Some numbers for a message.

    >>> _listed([0, 1, 2, 5])
    '0, 1, 2, 5'
    """
    shown = ", ".join(map(str, ranks[:8]))
    return f"{shown}, ..." if len(ranks) > 8 else shown
