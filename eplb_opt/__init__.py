"""Expert-parallel load balancing, solved exactly: the best plan and a proof of how good it is.

Importing this package loads numpy alone, and what the serving call needs; the other names below
load their rooms when they are first used, and solvers and torch load in the rooms that need them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eplb_opt.engines.rebalance import rebalance_experts
from eplb_opt.errors import (
    EngineError,
    FormatError,
    MissingDependency,
    PlanError,
    ProblemError,
    RebalanceError,
)
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.costs import CostTable
from eplb_opt.problem.problem import Problem
from eplb_opt.problem.step_cost import StepCost
from eplb_opt.problem.topology import Topology

if TYPE_CHECKING:
    from eplb_opt.engines.dispatch.call import dispatch
    from eplb_opt.placement.move_cost import MoveAssessment, MoveCost
    from eplb_opt.placement.transfers import Schedule, Transfer, transfers
    from eplb_opt.planner.evaluate import Evaluation, evaluate, lower_bound
    from eplb_opt.planner.frontier import frontier
    from eplb_opt.planner.plan_for_loss import LossPlan, plan_for_loss
    from eplb_opt.planner.planner import plan
    from eplb_opt.planner.topologies import TopologyReport, topologies
    from eplb_opt.planner.warmup import warmup
    from eplb_opt.result import Result, Status, StopReason
    from eplb_opt.workloads.forecast.call import Forecast, forecast
    from eplb_opt.workloads.tokens.counts import co_occurrence, token_sources
    from eplb_opt.workloads.tokens.homes import co_occurrence_homes, token_homes
    from eplb_opt.workloads.tokens.traffic import measured_price
    from eplb_opt.workloads.tokens.visits import NodeVisits, node_visits

    __version__: str

__all__ = [
    "CostTable",
    "EngineError",
    "Evaluation",
    "Forecast",
    "FormatError",
    "LossPlan",
    "MissingDependency",
    "MoveAssessment",
    "MoveCost",
    "NodeVisits",
    "Plan",
    "PlanError",
    "Problem",
    "ProblemError",
    "RebalanceError",
    "Result",
    "Schedule",
    "Status",
    "StepCost",
    "StopReason",
    "Topology",
    "TopologyReport",
    "Transfer",
    "co_occurrence",
    "co_occurrence_homes",
    "dispatch",
    "evaluate",
    "forecast",
    "frontier",
    "lower_bound",
    "measured_price",
    "node_visits",
    "plan",
    "plan_for_loss",
    "rebalance_experts",
    "token_homes",
    "token_sources",
    "topologies",
    "transfers",
    "warmup",
]

#: Rooms of the names that are loaded when they are first used.
_ROOMS = {
    "Evaluation": "planner.evaluate",
    "Forecast": "workloads.forecast.call",
    "LossPlan": "planner.plan_for_loss",
    "MoveAssessment": "placement.move_cost",
    "MoveCost": "placement.move_cost",
    "NodeVisits": "workloads.tokens.visits",
    "Result": "result",
    "Schedule": "placement.transfers",
    "Status": "result",
    "StopReason": "result",
    "TopologyReport": "planner.topologies",
    "Transfer": "placement.transfers",
    "co_occurrence": "workloads.tokens.counts",
    "co_occurrence_homes": "workloads.tokens.homes",
    "dispatch": "engines.dispatch.call",
    "evaluate": "planner.evaluate",
    "forecast": "workloads.forecast.call",
    "frontier": "planner.frontier",
    "lower_bound": "planner.evaluate",
    "measured_price": "workloads.tokens.traffic",
    "node_visits": "workloads.tokens.visits",
    "plan": "planner.planner",
    "plan_for_loss": "planner.plan_for_loss",
    "token_homes": "workloads.tokens.homes",
    "token_sources": "workloads.tokens.counts",
    "topologies": "planner.topologies",
    "transfers": "placement.transfers",
    "warmup": "planner.warmup",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _ROOMS:
        value = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _version() -> str:
    """The installed version, which the build took from the last tag; 0+unknown without one."""
    # What reads it is slow to import, and no serving process asks.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("eplb-opt")
    except PackageNotFoundError:  # the sources are on the path, but were never installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS, "__version__"})
