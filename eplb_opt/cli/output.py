"""Where the command line writes: results to stdout, progress to stderr."""

from __future__ import annotations

import json
import math
import sys
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from eplb_opt.cli.screen import Screen
from eplb_opt.io.files import write_atomically
from eplb_opt.report.tables import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from eplb_opt.result import HistoryPoint, Result

#: A pipe has no width; tables then keep to what fits most screens.
PIPE_WIDTH = 120
#: Calls shorter than this finish before a person would look at a bar.
PROGRESS_SECONDS = 2.0

#: What JSON has of a warm start: all but its exact fractions.
START_FIELDS = ("name", "seconds", "objective", "gap", "num_best", "share_closed")


def stdout() -> Console:
    """The console for results; made at each call, so that redirection is honoured."""
    return Screen(width=None if sys.stdout.isatty() else PIPE_WIDTH)


def warn(messages: tuple[str, ...]) -> None:
    """Say on stderr what went wrong without costing the answer."""
    for message in messages:
        print(f"eplb-opt: note: {message}", file=sys.stderr)


def print_json(data: Any) -> None:
    """Print strict JSON; what is not finite becomes null."""
    print(json.dumps(_plain(data), indent=2, allow_nan=False))


def write_json(path: Path, data: Any) -> None:
    """Write strict JSON whole or not at all."""
    text = json.dumps(_plain(data), allow_nan=False) + "\n"
    write_atomically(path, text.encode())


def _plain(data: Any) -> Any:
    if is_dataclass(data) and not isinstance(data, type):
        return _plain(asdict(data))
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, np.ndarray | np.generic):
        return _plain(data.tolist())
    if isinstance(data, Fraction):
        return str(data)
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data


def result_json(result: Result, layer_ids: Sequence[int] = ()) -> dict[str, Any]:
    """A result as a script wants it, with the names of its layers."""
    return {
        "layers": list(layer_ids or range(result.problem.num_layers)),
        "dispatch": result.problem.dispatch,
        "noise": result.noise,
        "unit": "seconds" if result.problem.counts_seconds else None,
        "model_gap": result.model_gap,
        "stop_reason": result.stop_reason,
        "elapsed_seconds": result.elapsed,
        "messages": list(result.messages),
        "objective": result.objective,
        "lower_bound": result.lower_bound,
        "gap": result.gap,
        "balancedness": result.balancedness,
        "status": result.status,
        "bound_source": result.bound_source,
        "reasons": result.reasons,
        "moves": result.moves,
        "homes": result.homes,
        "off_home": result.off_home,
        "history": list(result.history),
        "starts": [
            {name: getattr(start, name) for name in START_FIELDS} for start in result.starts
        ],
    }


@contextmanager
def progress_bar(
    seconds: float | None, heading: str
) -> Iterator[Callable[[HistoryPoint], None] | None]:
    """A bar of the time used, with the gap as it closes; silent where stderr is no terminal.

    Yields
    ------
    A callable for `plan(progress=...)`, or None where no bar is wanted.
    """
    short = seconds is not None and seconds < PROGRESS_SECONDS
    if short or not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(heading, total=seconds, state="")

        def show(point: HistoryPoint) -> None:
            state = f"gap {percent(point.gap)} ({point.stage})"
            bar.update(task, completed=point.seconds, state=state)

        yield show


@contextmanager
def reading_bar(heading: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar of the bytes read; silent where stderr is no terminal.

    Yields
    ------
    A callable that takes the bytes done and the bytes there are, or None where no bar is wanted.
    """
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(heading, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def counting_bar(total: int, heading: str) -> Iterator[Callable[[int], None]]:
    """A bar of what is done out of a known number; silent where stderr is no terminal.

    Yields
    ------
    A callable that takes how much is done.
    """
    hidden = not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task(heading, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def spinner(heading: str) -> Iterator[None]:
    """Something that moves while work of unknown length goes on; silent in pipes."""
    with turns_bar(heading):
        yield


def announced(calls: Mapping[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    """Calls that are named on a terminal while they run for the first time.

    The first loads packages and compiles; later ones are timed, and a bar would cost them time.
    """
    return {name: _announced(name, call) for name, call in calls.items()}


def _announced(name: str, call: Callable[[], Any]) -> Callable[[], Any]:
    is_new = iter([True])

    def announce() -> Any:
        if not next(is_new, False):
            return call()
        with spinner(f"scoring {name}"):
            return call()

    return announce


@contextmanager
def turns_bar(heading: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar of turns that names the one at hand; silent where stderr is no terminal.

    Yields
    ------
    A callable that takes the turns done, those in all, and the next one's name.
    """
    hidden = not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task(heading, total=None)
        yield lambda done, total, name: bar.update(
            task, completed=done, total=total, description=f"{heading} {name}"
        )
