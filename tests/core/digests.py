"""Prints, for every binding, how often the scenes called it and a sum of its answers' digests.

Run in a process of its own, once for each build that is compared.
"""

from __future__ import annotations

import json

from eplb_opt.core import _core
from tests.core import calls, scenes


def main() -> None:
    with calls.Recorder() as recorder:
        scenes.play()
    sums = {name: [recorder.times[name], recorder.sums[name] % 2**64] for name in recorder.times}
    print(json.dumps({"core": _core.__file__, "sums": sums}))


if __name__ == "__main__":
    main()
