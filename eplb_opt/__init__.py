"""Expert-parallel load balancing, solved exactly: the best plan and a proof of how good it is.

Importing this package loads numpy alone; solvers and torch load in the rooms that need them.
"""

from eplb_opt.engines.rebalance import rebalance_experts
from eplb_opt.errors import (
    EngineError,
    FormatError,
    MissingDependency,
    PlanError,
    ProblemError,
    RebalanceError,
)
from eplb_opt.evaluation import Evaluation, evaluate, lower_bound
from eplb_opt.flows.door import dispatch
from eplb_opt.frontiers import frontier
from eplb_opt.losses import LossPlan, plan_for_loss
from eplb_opt.moves import Transfer, transfers
from eplb_opt.plan import Plan
from eplb_opt.planner import plan
from eplb_opt.problem import Problem
from eplb_opt.result import Result, Status, StopReason
from eplb_opt.warmup import warmup

__version__ = "0.1.0"

__all__ = [
    "EngineError",
    "Evaluation",
    "FormatError",
    "LossPlan",
    "MissingDependency",
    "Plan",
    "PlanError",
    "Problem",
    "ProblemError",
    "RebalanceError",
    "Result",
    "Status",
    "StopReason",
    "Transfer",
    "dispatch",
    "evaluate",
    "frontier",
    "lower_bound",
    "plan",
    "plan_for_loss",
    "rebalance_experts",
    "transfers",
    "warmup",
]
