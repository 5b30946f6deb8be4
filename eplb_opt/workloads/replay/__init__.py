"""A recording walked through in time order: plans from the past, scored on what follows.

`walk.replay` is the main call; start there. It takes policies (`policies.Policy`: which loads of
the past to plan for, and which planner), lets each make a plan every so often (`run.Run`), and
scores the plan in force on every step (`scores`). The answer is a `report.ReplayReport` with one
`PolicyRun` for each policy. `choice.choose` replays all methods of condensing a recording and
takes the one whose plans were best on later steps.
"""

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
