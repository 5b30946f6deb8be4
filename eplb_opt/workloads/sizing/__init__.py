"""How many redundant slots, on how many GPUs: sizes swept, each with a plan and a proven bound."""

from eplb_opt.workloads.sizing.report import HeldOut, SizeReport, SizeRow, TargetStatus
from eplb_opt.workloads.sizing.sizes import Size, make_sizes
from eplb_opt.workloads.sizing.sweep import sweep

__all__ = [
    "HeldOut",
    "Size",
    "SizeReport",
    "SizeRow",
    "TargetStatus",
    "make_sizes",
    "sweep",
]
