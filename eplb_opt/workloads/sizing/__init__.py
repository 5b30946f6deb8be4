"""How many slots on how many GPUs: each size planned, with a bound on what it can reach.

`sizes.make_sizes` lists the sizes, `sweep.sweep` plans each of them, and the answer is a
`report.SizeReport` with one `SizeRow` for each size. A row's `TargetStatus` says whether the size
reaches a balancedness, provably cannot, or is open. `HeldOut` is its worth on other loads.
"""

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
