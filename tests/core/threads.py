"""Every binding from eight threads at once, and from forked processes; run in a process of its own.

    python -m tests.core.threads [ROUNDS]

Threads have objects of their own; arrays and plain arguments they share. What one thread alone is
answered, all of them must be.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from typing import Any

import numpy as np

from tests.core import calls, scenes

NUM_THREADS = 8
NUM_FORKS = 3
SECONDS = 300


def answers(examples: list[calls.Call]) -> list[bytes]:
    """What these calls say, made in turn."""
    found = []
    for call in examples:
        this = calls.owner_of(call)
        args = [calls.thawed(a, calls.make) for a in call.args]
        kwargs = {k: calls.thawed(v, calls.make) for k, v in call.kwargs.items()}
        last = call.name.rpartition(".")[2]
        function = calls.attribute(call.name) if this is None else getattr(this, last)
        try:
            result: Any = function(*args, **kwargs)
        except Exception as error:  # a scene may have been refused; so is this call
            result = type(error).__name__
        written = [a for a in args if isinstance(a, np.ndarray)]
        # What the clock may end is asked too, and its answer left alone.
        timed = calls.clock_of(call) is not None
        found.append(b"" if timed else calls.digest([result, written]))
    return found


def forked(examples: list[calls.Call], expected: list[bytes]) -> bool:
    """Whether processes that begin in the middle of this one are answered alike."""
    children = []
    for _ in range(NUM_FORKS):
        child = os.fork()
        if child == 0:
            signal.alarm(SECONDS)  # ends a child that never answers
            os._exit(0 if answers(examples) == expected else 1)
        children.append(child)
    return all(os.waitpid(child, 0)[1] == 0 for child in children)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    faulthandler.enable()
    with calls.Recorder() as recorder:
        scenes.play()
    examples = [c for name, _ in calls.bindings() for c in recorder.examples[name][:2]]
    expected = answers(examples)
    alike: list[bool] = []
    begin = threading.Barrier(NUM_THREADS)

    def work() -> None:
        begin.wait()
        for _ in range(rounds):
            alike.append(answers(examples) == expected)

    threads = [threading.Thread(target=work) for _ in range(NUM_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same = forked(examples, expected)
    print(f"{len(examples)} calls, {len(alike)} times at once: {all(alike)}; in forks: {same}")
    sys.exit(0 if len(alike) == rounds * NUM_THREADS and all(alike) and same else 1)


if __name__ == "__main__":
    main()
