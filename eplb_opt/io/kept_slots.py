"""What an engine asks of a plan beyond the problem's rules, done before it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.io.engines.validate import VALIDATORS
from eplb_opt.placement.plan import Plan
from eplb_opt.placement.survivors import keep_slots

if TYPE_CHECKING:
    import numpy as np


def in_kept_slots(plan: Plan, engine: str, current: np.ndarray | None) -> Plan:
    """The plan with experts that stay on a GPU in the slots they had, where the engine asks."""
    rules = VALIDATORS.get(engine)
    if rules is None or not rules.keeps_slots or current is None:
        return plan
    placed = keep_slots(plan.physical_to_logical, current, plan.num_gpus)
    return Plan(placed, plan.num_gpus, plan.num_experts)
