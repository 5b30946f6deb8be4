"""A recording put in order on the disk, so that it can be walked through in little memory."""

from __future__ import annotations

import os
import tempfile
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.recordings.recording import added, first_moe_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eplb_opt.io.recordings.recording import Progress, Recording


class Spool:
    """Steps in a file that has no name: it goes with this object, even when the process is killed.

    Its folder is the system's for temporary files (TMPDIR). A step takes 8 bytes an expert.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the object
        weakref.finalize(self, self._file.close)
        self._place: dict[int, int] = {}
        self._outline: np.ndarray | None = None
        self.busy: np.ndarray | None = None

    @classmethod
    def of(cls, recording: Recording, progress: Progress | None = None) -> Spool:
        """All parts of a recording.

        Raises
        ------
        FormatError
            When the recording is damaged or the disk is full.
        """
        spool = cls()
        try:
            for step, load in recording.checked(progress):
                spool.add(step, load)
        except OSError as error:
            raise FormatError(
                f"{tempfile.gettempdir()}: no room to put the steps in order ({error}); set TMPDIR."
            ) from error
        return spool

    def add(self, step: int, load: np.ndarray) -> None:
        """Add loads [num_layers, num_experts] to a step."""
        if self._outline is None:
            self._outline, self.busy = load, np.zeros(len(load), dtype=bool)
        self.busy |= (load != 0).any(axis=1)
        if step in self._place:
            load = added(self._row(self._place[step]), load)
        row = self._place.setdefault(step, len(self._place))
        content = np.ascontiguousarray(load).tobytes()
        done = 0
        while done < len(content):
            done += os.pwrite(self._file.fileno(), content[done:], row * len(content) + done)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(num_steps, num_layers, num_experts), without leading layers that nothing went to."""
        outline = self._outlined()
        return len(self._place), outline.shape[0], outline.shape[1]

    def first_moe_layer(self) -> int:
        """See `eplb_opt.io.recordings.recording.first_moe_layer`."""
        return first_moe_layer(np.asarray(self.busy))

    @contextmanager
    def taking(self, first_layer: int = 0) -> Iterator[Callable[[int], np.ndarray]]:
        """A call that reads the next steps, whose number it is given, without the first layers."""
        rows = [self._place[step] for step in sorted(self._place)]
        position = 0

        def take(num: int) -> np.ndarray:
            nonlocal position
            position += num
            steps = rows[position - num : position]
            return np.stack([self._row(row)[first_layer:] for row in steps])

        yield take

    def _row(self, row: int) -> np.ndarray:
        outline = self._outlined()
        content = os.pread(self._file.fileno(), outline.nbytes, row * outline.nbytes)
        return np.frombuffer(content, dtype=outline.dtype).reshape(outline.shape)

    def _outlined(self) -> np.ndarray[Any, Any]:
        if self._outline is None:
            raise FormatError("there are no steps in it.")
        return self._outline
