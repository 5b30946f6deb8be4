"""Transfers that carry a new plan out."""
from __future__ import annotations
from typing import Any
from eplb_opt.placement.transfers.change import read_change
from eplb_opt.placement.transfers.schedule import Schedule
from eplb_opt.placement.transfers.sources import steps_of
from eplb_opt.placement.transfers.batches import in_batches


def transfers(current: Any, plan: Any, num_gpus: int | None = None, *, num_nodes: int = 1, active_gpus: Any = None, staging_slots: int = 1, max_in_flight: int | None = None) -> Schedule:
    """x"""
    change = read_change(current, plan, num_gpus, num_nodes, active_gpus, staging_slots, max_in_flight)
    return Schedule(in_batches(steps_of(change), change), 0, "", change.num_slots)
