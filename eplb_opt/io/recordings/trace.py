"""Loads over time, whatever they are read from: a header, the steps in order, and their sum."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.loads import Loads, checked_layer_ids, checked_num_hidden_layers
from eplb_opt.io.origin import Origin, StepWatch
from eplb_opt.io.recordings.recording import added, no_progress
from eplb_opt.io.shapes import load_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from eplb_opt.io.recordings.recording import Progress

    # Yields a call that takes a number of steps and reads them, [num, num_layers, num_experts].
    Opener = Callable[[], AbstractContextManager[Callable[[int], np.ndarray]]]

#: Steps read at a time take about this much memory.
CHUNK_BYTES = 16 * 2**20
#: A float sum below it is off by less than what is left up to 2**63.
SAFE_SUM = 2.0**62


@dataclass(frozen=True, eq=False)
class Trace:
    """A recording in time order, of which only a chunk at a time is in memory.

    Parameters
    ----------
    shape
        (num_steps, num_layers, num_experts).
    opener
        A context in which steps can be read one after the other.
    layer_ids
        Place of each MoE layer among the model's hidden layers.
    num_hidden_layers
        Layers of the model, dense ones included; by default up to the last MoE layer.
    model
        Name of the model, for files that hold several; "" where it is not told.
    """

    shape: tuple[int, int, int]
    opener: Opener
    layer_ids: tuple[int, ...]
    num_hidden_layers: int = 0
    model: str = ""

    def __post_init__(self) -> None:
        count = checked_num_hidden_layers(self.num_hidden_layers, self.layer_ids)
        object.__setattr__(self, "num_hidden_layers", count)

    @classmethod
    def of(cls, load: Any, layer_ids: Any = (), num_hidden_layers: int = 0) -> Trace:
        """A recording that is in memory already.

        Raises
        ------
        FormatError
            When it is no array of loads.
        """
        steps = load_array(load)
        ids = checked_layer_ids(layer_ids, steps.shape[1])
        return cls(steps.shape, partial(_in_memory, steps), ids, num_hidden_layers)

    @property
    def num_steps(self) -> int:
        """Steps of the recording."""
        return self.shape[0]

    def chunks(self, every: int | None = None) -> Iterator[np.ndarray]:
        """The steps from the first to the last, int64 or float64 [num, num_layers, num_experts].

        Parameters
        ----------
        every
            No chunk reaches over a multiple of it.

        Raises
        ------
        FormatError
            When the file ends early or holds what cannot be loads.
        """
        most = max(1, CHUNK_BYTES // (8 * self.shape[1] * self.shape[2]))
        done = 0
        with self.opener() as take:
            while done < self.num_steps:
                room = every - done % every if every else self.num_steps
                chunk = load_array(take(min(most, room, self.num_steps - done)))
                _check_values(chunk, done)
                yield chunk
                done += len(chunk)

    def total(self, progress: Progress | None = None) -> Loads:
        """The sum over all steps, as one snapshot.

        Parameters
        ----------
        progress
            Called with the bytes read and the bytes there are.

        Raises
        ------
        FormatError
            When integers leave 64 bits, and as `chunks` does.
        """
        total: np.ndarray | None = None
        done, watch = 0, StepWatch()
        for chunk in self.chunks():
            watch.add(chunk)
            part = _summed(chunk)
            total = part if total is None else added(total, part)
            done += chunk.nbytes
            (progress or no_progress)(done, chunk.nbytes // len(chunk) * self.num_steps)
        return Loads(
            np.asarray(total)[None],
            self.layer_ids,
            self.num_hidden_layers,
            origin=Origin(watch.steps()),
        )


@contextmanager
def _in_memory(steps: np.ndarray) -> Iterator[Callable[[int], np.ndarray]]:
    position = 0

    def take(num: int) -> np.ndarray:
        nonlocal position
        position += num
        return steps[position - num : position]

    yield take


def _summed(chunk: np.ndarray) -> np.ndarray:
    """The sum of some steps; a step at a time where integers may leave 64 bits."""
    if chunk.dtype.kind == "f" or chunk.sum(axis=0, dtype=np.float64).max() < SAFE_SUM:
        return np.asarray(chunk.sum(axis=0))
    return reduce(added, chunk)


def _check_values(chunk: np.ndarray, first: int) -> None:
    good = np.isfinite(chunk) & (chunk >= 0)
    if not good.all():
        at = np.argwhere(~good)[0]
        raise FormatError(
            f"load[{first + at[0]}, {at[1]}, {at[2]}] = {chunk[tuple(at)]}; "
            "loads are finite and at least 0."
        )
