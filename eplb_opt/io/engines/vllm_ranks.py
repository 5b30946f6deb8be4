"""vLLM's --expert-placement-file (not yet shipped): the rank of every expert, for all layers.

Pull request 34811: ``{"expert_to_ep_rank": [rank of expert 0, of expert 1, ...]}``. A rank holds
its experts in ascending order. There are no replicas, and one list serves every layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import EngineRefusal, FormatError
from eplb_opt.io.engines.runtime import check_map
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array, keys_found

if TYPE_CHECKING:
    from eplb_opt.io.engines.runtime import Runtime
    from eplb_opt.io.placement import Placement

ENGINE = "vLLM"
PLAN_KEY = "expert_to_ep_rank"
#: More ranks than there are experts have nothing to do; a rank of a million is a damaged file.
MAX_RANKS = 2**16


def has_plan(document: Any) -> bool:
    """Whether a document has the key."""
    return isinstance(document, dict) and PLAN_KEY in document


def plan_from_ranks(document: Any) -> StoredPlan:
    """The slots of the ranks; -1 pads where a rank has fewer experts than another."""
    if not has_plan(document):
        found = keys_found(document) if isinstance(document, dict) else type(document).__name__
        raise FormatError(f"{found}; there is no {PLAN_KEY}.")
    (ranks,) = id_array([document[PLAN_KEY]], PLAN_KEY)
    if ranks.min() < 0 or ranks.max() >= MAX_RANKS:
        raise FormatError(f"{PLAN_KEY} holds {ranks.min()} to {ranks.max()}; ranks start at 0.")
    held = [np.flatnonzero(ranks == rank) for rank in range(int(ranks.max()) + 1)]
    width = max(map(len, held))
    if len(held) * width > 4 * MAX_RANKS + len(ranks):
        raise FormatError(f"{len(ranks)} experts stand on ranks up to {len(held) - 1}, unevenly.")
    placed = np.full((1, len(held), width), -1)
    for rank, experts in enumerate(held):
        placed[0, rank, : len(experts)] = experts
    return StoredPlan(
        placed.reshape(1, -1), num_gpus=len(held), num_experts=len(ranks), is_every_layer=True
    )


def document_for_ranks(placement: Placement) -> dict[str, list[int]]:
    """The rank of every expert.

    Raises
    ------
    EngineRefusal
        When the plan has replicas, or differs between layers.
    """
    plan = placement.plan
    if plan.num_slots != plan.num_experts or (plan.logical_count != 1).any():
        raise EngineRefusal(
            f"{plan.num_slots} slots for {plan.num_experts} experts: {PLAN_KEY} knows no replicas; "
            f"plan with --slots {plan.num_experts}."
        )
    ranks = plan.logical_to_physical[:, :, 0] // (plan.num_slots // plan.num_gpus)
    differs = np.flatnonzero((ranks != ranks[0]).any(axis=1))
    if len(differs):
        raise EngineRefusal(
            f"layer {differs[0]} differs from layer 0, and {PLAN_KEY} is one list for all layers; "
            "plan for the loads summed over the layers, one row."
        )
    return {PLAN_KEY: ranks[0].tolist()}


def check_ranks(document: Any, runtime: Runtime) -> StoredPlan:
    """Repeat what vLLM refuses.

    Raises
    ------
    EngineRefusal
        For another number of experts or ranks, and for ranks that hold unequally many.
    """
    stored = plan_from_ranks(document)
    if runtime.num_gpus not in (None, stored.num_gpus):
        raise EngineRefusal(
            f"{PLAN_KEY} names {stored.num_gpus} ranks; {ENGINE} runs on {runtime.num_gpus}."
        )
    if runtime.num_experts not in (None, stored.num_experts):
        raise EngineRefusal(
            f"{PLAN_KEY} has {stored.num_experts} experts; the model has {runtime.num_experts}."
        )
    check_map(stored.physical_to_logical, runtime, ENGINE)
    return stored
