"""A recording walked through in time order: plans from the past, scored on what follows."""

from eplb_opt.workloads.replay.choice import Choice, choose
from eplb_opt.workloads.replay.policies import (
    POLICIES,
    Policy,
    ReplanLimits,
    given,
    heuristic,
    heuristics,
    under,
)
from eplb_opt.workloads.replay.report import PolicyRun, ReplayReport
from eplb_opt.workloads.replay.walk import replay

__all__ = [
    "POLICIES",
    "Choice",
    "Policy",
    "PolicyRun",
    "ReplanLimits",
    "ReplayReport",
    "choose",
    "given",
    "heuristic",
    "heuristics",
    "replay",
    "under",
]
