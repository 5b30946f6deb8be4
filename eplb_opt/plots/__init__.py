"""Figures by matplotlib: gaps, moves, GPU loads, progress and replays.

Every function takes a result and, if wanted, the axes to draw on, and returns the axes; none
shows or saves. `save` writes the figure of some axes to a file. The functions below are all
there is to know: `history` and `replay` are over time, `gaps` and `moves` by layer, `heat_map` and
`replica_counts` by layer and GPU or expert, `scenarios` by load, `pareto` by moved slots.
"""

from eplb_opt.plots.axes import check_format, save
from eplb_opt.plots.frontier import pareto
from eplb_opt.plots.heat import heat_map, replica_counts
from eplb_opt.plots.layers import gaps, moves
from eplb_opt.plots.loads import scenarios
from eplb_opt.plots.over_time import history, replay

__all__ = [
    "check_format",
    "gaps",
    "heat_map",
    "history",
    "moves",
    "pareto",
    "replay",
    "replica_counts",
    "save",
    "scenarios",
]
