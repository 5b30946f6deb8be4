"""The directory of a job: one file a layer, written as layers get better and read back later."""

from __future__ import annotations

import math
import os
import shlex
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb_opt.errors import FormatError, ProblemError
from eplb_opt.io.containers.plain_json import json_bytes, read_json
from eplb_opt.io.files import naming, open_checked, write_atomically
from eplb_opt.io.fingerprint import value_fingerprint
from eplb_opt.planner.job.identity import differences, identity_of
from eplb_opt.planner.job.lock import Lock
from eplb_opt.planner.job.proof import verified
from eplb_opt.planner.job.records import Record, layer_document, read_layer
from eplb_opt.planner.reasons import named
from eplb_opt.planner.worker import difference, installed_versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.io.files import PathLike
    from eplb_opt.planner.arguments import Request
    from eplb_opt.planner.incumbents import Incumbents
    from eplb_opt.result import ObjectiveBounds
    from eplb_opt.solver import Answer

#: The file that says whose job it is, and its mark with the version of its format.
JOB_FILE, MARK, FORMAT = "job.json", "eplb_opt_job", 1
KEYS = {MARK, "fingerprint", "identity", "versions", "noise", "start"}
#: Under a clock files are written at most once in so many seconds, or so many times what writing
#: them took.
SECONDS_BETWEEN, PART_OF_TIME = 1.0, 50
#: Files that are written at a time.
MAX_WRITERS = 8
#: Files that a message names one by one.
MOST_NAMED = 3


class Job:
    """A call's hold of its job directory.

    Parameters
    ----------
    folder
        The directory; it is made where it is absent.
    request
        What the call asks.

    Attributes
    ----------
    noise
        The noise that the job is planned for; None where none has been chosen yet.
    messages
        What has to be told: a stale lock, files that are not believed, a full disk.

    Raises
    ------
    ProblemError
        When the directory is another call's, or somebody is at work in it.
    FormatError
        When it cannot be made, read or written.
    """

    def __init__(self, folder: PathLike, request: Request) -> None:
        self.folder = _made(folder)
        self.is_counted = request.budget.effort is not None
        self.identity = identity_of(request)
        self.fingerprint = value_fingerprint(self.identity)
        self.messages: list[str] = []
        try:
            self._lock = Lock.take(self.folder)
        except OSError as error:
            raise FormatError(f"{self.folder} cannot be locked: {error.strerror}.") from error
        try:
            _sweep(self.folder)
            self._kept = self._read()
        except BaseException:
            self._lock.release()
            raise
        if self._lock.stale:
            self.messages.append(
                f"the lock of {self.folder} was left by {self._lock.stale}, which is gone; it was "
                "taken over."
            )
        self.noise: float | None = None if self._kept is None else self._kept["noise"]
        self._telling = threading.Lock()
        self._num_layers = request.problem.num_layers
        self._records: dict[int, dict[str, Record]] = {}
        self._dirty: set[int] = set()
        self._due, self._write_seconds, self._is_refused = 0.0, 0.0, False

    def begin(self, incumbents: Incumbents, noise: float | None) -> None:
        """Note what the search begins with, and compare it with what the job began with.

        Parameters
        ----------
        incumbents
            The plans and bounds before the first turn.
        noise
            The noise that is planned for.

        Raises
        ------
        ProblemError
            When work is counted and the job began with others: the answer would be another one.
        """
        start = None
        if self.is_counted:
            pairs = [[pair.objective, pair.lower] for pair in incumbents.pairs()]
            start = value_fingerprint([incumbents.placed, pairs])
        document = {
            MARK: FORMAT,
            "fingerprint": self.fingerprint,
            "identity": self.identity,
            "versions": installed_versions(),
            "noise": noise,
            "start": start,
        }
        if self._kept is not None and start != self._kept["start"]:
            raise ProblemError(
                f"{self.folder} holds a job that began from other plans: the heuristics that make "
                "them are not those of then. Install the same packages, or take an empty directory."
            )
        # Written again where it was there: what that takes tells how long the end will take.
        began = time.monotonic()
        self._write(JOB_FILE, document if self._kept is None else self._kept)
        self._write_seconds = time.monotonic() - began

    def kept(self, incumbents: Incumbents) -> Iterator[tuple[int, Record]]:
        """What the job has kept, layer by layer, as far as it is true.

        Parameters
        ----------
        incumbents
            The plans and bounds before the first turn.
        """
        if self._kept is None:
            return
        wrong: list[str] = []
        unproven: dict[str, set[int]] = {}
        for layer_idx in range(incumbents.problem.num_layers):
            try:
                records = self._read_layer(layer_idx)
                layer, pair = incumbents.problem.layer(layer_idx), incumbents.pair(layer_idx)
                with naming(self.folder / layer_file(layer_idx)):
                    found = verified(layer, records, pair.lower, self.is_counted)
            except FormatError as error:
                wrong.append(str(error))
                self._dirty.add(layer_idx)
                continue
            for source in found.unproven:
                unproven.setdefault(source, set()).add(layer_idx)
            self._records[layer_idx] = {record.stage: record for record in found.records}
            yield from ((layer_idx, record) for record in found.records)
        self._tell(wrong, unproven)

    def turn(
        self,
        layer_idx: int,
        stage: str,
        answer: Answer,
        before: ObjectiveBounds,
        incumbents: Incumbents,
    ) -> None:
        """Keep what a turn has brought.

        Parameters
        ----------
        layer_idx, stage, answer
            The turn.
        before
            What was known of the layer before it.
        incumbents
            What is known now.
        """
        after = incumbents.pair(layer_idx)
        has_plan = answer.placed is not None and (
            answer.preferred or after.objective < before.objective
        )
        has_proof = answer.certificate is incumbents.certificates[layer_idx]
        brought = replace(
            answer,
            placed=answer.placed if has_plan else None,
            bound=answer.bound if after.lower > before.lower else None,
            certificate=answer.certificate if has_proof else None,
        )
        record = Record(stage, 1, brought, after.objective if has_plan else None)
        records = self._records.setdefault(layer_idx, {})
        known = records.pop(stage, None)  # and to the end: later plans take the place of earlier
        records[stage] = record if known is None else known.followed_by(record)
        self._dirty.add(layer_idx)

    def flush(self, at_once: bool = False) -> float:
        """Write what is new, unless that was done a moment ago; seconds until it is due.

        Where work is counted it is due at once: a turn that has ended is not to be taken again.

        Parameters
        ----------
        at_once
            Whether to write in any case.
        """
        if not self._dirty:
            return math.inf
        left = self._due - time.monotonic()
        if left > 0 and not at_once:
            return left
        began = time.monotonic()
        self._write_layers()
        ended = time.monotonic()
        if not self.is_counted or self._dirty:  # the disk may be full
            self._due = ended + max(SECONDS_BETWEEN, PART_OF_TIME * (ended - began))
        return self._due - ended if self._dirty else math.inf

    @property
    def closing_seconds(self) -> float:
        """Seconds that writing all layers is expected to take; part of the call's time limit."""
        return self._write_seconds * (1 + self._num_layers // MAX_WRITERS)

    def close(self) -> None:
        """Write what is left, and let others at the directory."""
        self.flush(at_once=True)
        self._lock.release()

    def _read(self) -> dict[str, Any] | None:
        """The content of the job's own file; None where the directory is new."""
        path = self.folder / JOB_FILE
        if not path.exists():
            return None
        with naming(path):
            document = read_json(open_checked(path))
            if not isinstance(document, dict) or document.get(MARK) != FORMAT:
                raise FormatError(f"this is no job (format {FORMAT}); take another directory.")
            if set(document) != KEYS or not isinstance(document["identity"], dict):
                raise FormatError("the job's file was changed; take another directory.")
            self._compare(document)
            noise = document["noise"]
            if noise is not None and not (type(noise) in (int, float) and 0 <= noise < math.inf):
                raise FormatError("noise is no size; the file was changed.")
        return document

    def _compare(self, document: dict[str, Any]) -> None:
        differs = differences(self.identity, document["identity"])
        if differs or document["fingerprint"] != self.fingerprint:
            raise ProblemError(
                f"{self.folder} holds the job of another call ({differs or 'it was changed'}). "
                "Repeat that call, or take an empty directory."
            )
        versions = document["versions"]
        if not isinstance(versions, dict):
            raise FormatError("versions is no object; the file was changed.")
        other = difference(versions, installed_versions())
        if not other:
            return
        if self.is_counted:
            raise ProblemError(
                f"{self.folder} holds a job of other versions: here is {other}. Counted work "
                "promises one answer: install those versions, or take an empty directory."
            )
        self.messages.append(f"the job in {self.folder} was begun with others: here is {other}.")

    def _read_layer(self, layer_idx: int) -> list[Record]:
        path = self.folder / layer_file(layer_idx)
        if not path.exists():
            return []
        with naming(path):
            return read_layer(read_json(open_checked(path)), self.fingerprint, layer_idx)

    def _tell(self, wrong: list[str], unproven: dict[str, set[int]]) -> None:
        self.messages += [f"{why} The layer begins anew." for why in wrong[:MOST_NAMED]]
        if len(wrong) > MOST_NAMED:
            self.messages.append(
                f"{len(wrong) - MOST_NAMED} more files of {self.folder} are wrong; their layers "
                "begin anew."
            )
        for source, layers in unproven.items():
            self.messages.append(
                f"bounds of {source} say more than certificates prove, so they are proven again "
                f"({named(layers)})."
            )

    def _write_layers(self) -> None:
        """Write the layers that have something new; a disk waits for several at a time."""
        layers = sorted(self._dirty)
        if len(layers) < 2:
            done = [self._write_layer(layer_idx) for layer_idx in layers]
        else:
            with ThreadPoolExecutor(MAX_WRITERS, thread_name_prefix="eplb-opt-job") as pool:
                done = list(pool.map(self._write_layer, layers))
        self._dirty.difference_update(
            layer_idx for layer_idx, is_done in zip(layers, done, strict=True) if is_done
        )

    def _write_layer(self, layer_idx: int) -> bool:
        records = list(self._records.get(layer_idx, {}).values())
        document = layer_document(self.fingerprint, layer_idx, records)
        return self._write(layer_file(layer_idx), document)

    def _write(self, name: str, document: dict[str, Any]) -> bool:
        """Write a file; where the system refuses, the call goes on and says so once."""
        try:
            write_atomically(self.folder / name, json_bytes(document))
        except FormatError as error:
            with self._telling:
                if not self._is_refused:
                    self.messages.append(f"{error} The job keeps what it had.")
                self._is_refused = True
            return False
        return True


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed in the middle of writing have left."""
    for pattern in (".eplb-*.tmp", ".lock-*"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def layer_file(layer_idx: int) -> str:
    """The name of a layer's file."""
    return f"layer-{layer_idx:06d}.json"


def is_begun(folder: PathLike) -> bool:
    """Whether a directory holds a job."""
    return os.path.exists(os.path.join(folder, JOB_FILE))


def _made(folder: PathLike) -> Path:
    path = Path(os.path.abspath(folder))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise FormatError(f"{path} is a file; a job is kept in a directory.") from error
    except OSError as error:
        raise FormatError(
            f"{path} cannot be made: {error.strerror}; try mkdir -p {shlex.quote(str(path))}."
        ) from error
    return path
