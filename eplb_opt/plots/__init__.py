"""Figures of a result; each takes an optional axes and returns it, and none is shown or saved."""

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
