"""The map on the disk kept up with the recordings: looked at now and then, planned anew if changed.

`rounds.Watch` is the main class; start there. `Watch.round` looks at the recordings (`sources`),
plans where they are not those of the round before, and writes the map. What it has to know after a
restart is in `state`; `metrics` tells Prometheus; `loop.run` makes round after round.
"""

from eplb_opt.workloads.watch.loop import run
from eplb_opt.workloads.watch.metrics import import_prometheus, write_metrics
from eplb_opt.workloads.watch.rounds import Outcome, Round, Watch
from eplb_opt.workloads.watch.settings import Settings
from eplb_opt.workloads.watch.sources import Sources
from eplb_opt.workloads.watch.state import Figures, State

__all__ = [
    "Figures",
    "Outcome",
    "Round",
    "Settings",
    "Sources",
    "State",
    "Watch",
    "import_prometheus",
    "run",
    "write_metrics",
]
