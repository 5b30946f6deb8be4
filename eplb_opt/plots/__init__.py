"""Figures by matplotlib: gaps, moves, GPU loads, progress and replays.

Every function takes a result and, if wanted, the axes to draw on, and returns the axes; none
shows or saves; `save` writes the figure of some axes to a file. `history` and `replay` are drawn
over time (`over_time`), `gaps` and `moves` by layer (`layers`), `heat_map` and `replica_counts` as
maps of all layers (`heat`), `scenarios` by load (`loads`), `pareto` by moved slots (`frontier`) and
`topology` by what is served off home.
`ledger` draws measurements: `profile` and `anytime`. `axes` has the colours and the way to a file.
"""

from eplb_opt.plots.axes import check_format, save
from eplb_opt.plots.frontier import pareto
from eplb_opt.plots.heat import heat_map, replica_counts
from eplb_opt.plots.layers import gaps, moves
from eplb_opt.plots.ledger import anytime, profile
from eplb_opt.plots.loads import scenarios
from eplb_opt.plots.over_time import history, replay
from eplb_opt.plots.topology import topology

__all__ = [
    "anytime",
    "check_format",
    "gaps",
    "heat_map",
    "history",
    "moves",
    "pareto",
    "profile",
    "replay",
    "replica_counts",
    "save",
    "scenarios",
    "topology",
]
