"""How much later than asked a call with a time limit returns."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench.hot import HEADLINE, NO_WAIT
from eplb_opt.clock import core_wait
from eplb_opt.engines.serving.call import rebalance

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds.
LIMITS = (0.001, 0.002, 0.005, 0.02)

BURN = "while True: pass"


@dataclass(frozen=True)
class OvershootRow:
    """Seconds past the limit over many calls; negative is before it.

    Parameters
    ----------
    setting
        What else kept the machine busy, a few words.
    time_limit
        Seconds that each call was given.
    calls
        Calls made.
    unpreempted
        Calls whose thread had a core whenever it wanted one; the percentiles are theirs, and
        `worst_of_all` is over all calls.
    median, percentile_99, worst, worst_of_all
        Seconds past the limit.
    """

    setting: str
    time_limit: float
    calls: int
    unpreempted: int
    median: float
    percentile_99: float
    worst: float
    worst_of_all: float


def overshoot_rows(calls: int) -> Iterator[OvershootRow]:
    """Measure `calls` calls a limit: alone, in four threads, and with another process at work."""
    for limit in LIMITS:
        yield _row("one thread", limit, _in_threads(limit, calls, 1))
        yield _row("four threads", limit, _in_threads(limit, calls, 4))
        with _busy_core():
            yield _row("other core busy", limit, _in_threads(limit, calls, 1))


def _row(setting: str, limit: float, samples: np.ndarray) -> OvershootRow:
    late, waited = samples[:, 0] - limit, samples[:, 1]
    calm = late[waited <= NO_WAIT]
    shown = calm if len(calm) else late
    return OvershootRow(
        setting,
        limit,
        len(late),
        len(calm),
        float(np.median(shown)),
        float(np.percentile(shown, 99)),
        float(shown.max()),
        float(late.max()),
    )


def _in_threads(limit: float, calls: int, num_threads: int) -> np.ndarray:
    """Seconds that every call took and that it waited for a core, float64 [calls, 2]."""
    model, machine = HEADLINE
    weight = model.load().astype(np.float32)
    sizes = machine.num_slots, machine.num_groups, machine.num_nodes, machine.num_gpus
    samples = np.zeros((num_threads, max(calls // num_threads, 1), 2))

    def work(rows: np.ndarray) -> None:
        rebalance(weight, *sizes, time_limit=limit)
        for row in rows:
            waited, began = core_wait(), time.perf_counter()
            rebalance(weight, *sizes, time_limit=limit)
            row[0] = time.perf_counter() - began
            row[1] = core_wait() - waited

    threads = [threading.Thread(target=work, args=(rows,)) for rows in samples]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return samples.reshape(-1, 2)


@contextmanager
def _busy_core() -> Iterator[None]:
    """Another process that does nothing else."""
    with subprocess.Popen([sys.executable, "-c", BURN]) as process:
        try:
            yield
        finally:
            process.kill()
