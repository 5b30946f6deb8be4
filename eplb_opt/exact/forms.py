"""The form of the exact model by how tokens reach their replicas; each solver takes either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eplb_opt.exact.counts.formulation import Formulation, formulate, list_choices
from eplb_opt.exact.counts.rules import RULES
from eplb_opt.exact.counts.values import to_plan, to_values
from eplb_opt.exact.flows.formulation import FlowFormulation, formulate_flows, list_hosts
from eplb_opt.exact.flows.rules import FLOW_RULES
from eplb_opt.exact.flows.values import flow_plan, flow_values

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from eplb_opt.exact.shared.rows import Rows

#: The columns of a model: of counts and replicas, or of hosts and flows.
AnyFormulation = Formulation | FlowFormulation


@dataclass(frozen=True)
class Form:
    """The functions that make one form of the model.

    Parameters
    ----------
    list_choices
        (problem, upper) to what plans of at most that worth can have.
    formulate
        (choices, lower bound, limits, change) to columns and sizes.
    rules
        Each from a formulation to rows.
    to_values, to_plan
        A plan as values of the columns, and back.
    """

    list_choices: Callable[..., Any]
    formulate: Callable[..., Any]
    rules: tuple[Callable[[Any], Rows], ...]
    to_values: Callable[[Any, np.ndarray], np.ndarray]
    to_plan: Callable[[Any, np.ndarray], np.ndarray]


#: By a problem's dispatch.
FORMS = {
    "uniform": Form(list_choices, formulate, RULES, to_values, to_plan),
    "optimal": Form(list_hosts, formulate_flows, FLOW_RULES, flow_values, flow_plan),
}
