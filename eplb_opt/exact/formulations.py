"""The formulations of the exact model, by how tokens are dispatched; each backend solves either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eplb_opt.exact.counts.formulation import CountFormulation, formulate, list_choices
from eplb_opt.exact.counts.rules import RULES
from eplb_opt.exact.counts.values import to_plan, to_values
from eplb_opt.exact.flows.formulation import FlowFormulation, formulate_flows, list_hosts
from eplb_opt.exact.flows.rules import FLOW_RULES
from eplb_opt.exact.flows.values import flow_plan, flow_values

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from eplb_opt.exact.shared.constraints import LinearConstraints

#: The columns of a model: counts and replicas, or hosts and flows.
AnyFormulation = CountFormulation | FlowFormulation


@dataclass(frozen=True)
class FormulationFunctions:
    """The functions that write one formulation of the model and read its solution.

    Parameters
    ----------
    list_choices
        From a problem and an upper bound to what plans of at most that value can have.
    formulate
        From choices, a lower bound, `ScaleLimits` and a `Change` to columns and sizes.
    rules
        Functions from a formulation to the linear constraints of one rule.
    to_values, to_plan
        Functions from a plan to values of the columns, and back.
    """

    list_choices: Callable[..., Any]
    formulate: Callable[..., Any]
    rules: tuple[Callable[[Any], LinearConstraints], ...]
    to_values: Callable[[Any, np.ndarray], np.ndarray]
    to_plan: Callable[[Any, np.ndarray], np.ndarray]


#: By `Problem.dispatch`.
FORMULATIONS = {
    "uniform": FormulationFunctions(list_choices, formulate, RULES, to_values, to_plan),
    "optimal": FormulationFunctions(
        list_hosts, formulate_flows, FLOW_RULES, flow_values, flow_plan
    ),
}
