"""Transfers that carry a new plan out."""

from __future__ import annotations

from typing import Any

from eplb_opt.errors import PlanError
from eplb_opt.placement.transfers.batches import in_batches
from eplb_opt.placement.transfers.bound import fewest_batches
from eplb_opt.placement.transfers.change import Change, read_change
from eplb_opt.placement.transfers.playback import played_back
from eplb_opt.placement.transfers.schedule import Schedule
from eplb_opt.placement.transfers.sources import steps_of


def transfers(
    current: Any,
    plan: Any,
    num_gpus: int | None = None,
    *,
    num_nodes: int = 1,
    active_gpus: Any = None,
    staging_slots: int = 1,
    max_in_flight: int | None = None,
) -> Schedule:
    """Batches of transfers that make one plan of another, in place and in as few as possible.

    Carried out batch after batch, they leave the plan's expert in every slot. A slot whose expert
    stays is not touched, nor is one that is empty in the plan. In a batch no GPU is in two
    transfers, neither as a sender nor as a receiver; a local copy takes its one GPU, and storage is
    not limited. No source is overwritten before all who need it have read it. Replicas that have
    arrived are sources, too, so that an expert spreads as a tree.

    Each transfer reads the nearest source there is at that time: one on the same GPU, else one on
    the same node, else any; among equally near ones the work is levelled. What no living GPU holds
    is read from storage once, and copied from there on.

    Where experts change places in a circle and no other replica can serve, one of them waits in a
    staging slot: a place for one expert's weights beside the slots, which all layers share. Number
    k of GPU g is slot `num_slots + g * staging_slots + k`.

    Parameters
    ----------
    current, plan
        The plan in force and the new one, each a Plan or [num_layers, num_slots] ids, -1 for an
        empty slot; with the same layers, slots and GPUs.
    num_gpus
        Slot p is on GPU p // (num_slots // num_gpus). It is needed where both plans are arrays.
    num_nodes
        Nodes of equally many consecutive GPUs; a source on the same node is nearer.
    active_gpus
        bool [num_gpus], the GPUs that are alive; all by default. Others are no sources.
    staging_slots
        Staging slots of each GPU, from 0. One always suffices; more can save batches.
    max_in_flight
        The most transfers in a batch, local copies included; times the bytes of an expert, the
        bytes that are on their way at once. By default there is no limit.

    Returns
    -------
    Schedule
        Lists of `Transfer`, in the order in which they run. Its `lower_bound` is a number of
        batches that no schedule stays below.

    Raises
    ------
    ProblemError
        When the plans or arguments do not fit each other, or a cycle needs a staging slot and
        `staging_slots` is 0; with the layer and the mend.
    PlanError
        When an array holds no map of experts.
    """
    change = read_change(
        current, plan, num_gpus, num_nodes, active_gpus, staging_slots, max_in_flight
    )
    batches = in_batches(steps_of(change), change.num_gpus, change.max_in_flight)
    _check(change, batches)
    return Schedule(batches, *fewest_batches(change), num_slots=change.num_slots)


def _check(change: Change, batches: Any) -> None:
    """Play the batches back.

    Raises
    ------
    PlanError
        When they do not end in the plan.
    """
    found = played_back(
        change.old,
        batches,
        change.num_gpus,
        num_nodes=change.num_nodes,
        active_gpus=change.alive,
        staging_slots=change.staging_slots,
        max_in_flight=change.max_in_flight,
    )
    differs = (found != change.new) & (change.new >= 0)
    if differs.any():
        layer_idx, slot = (int(index) for index in divmod(int(differs.argmax()), change.num_slots))
        raise PlanError(
            f"Slot {slot} of layer {layer_idx} holds expert {found[layer_idx, slot]} after all "
            f"transfers; the plan has {change.new[layer_idx, slot]}."
        )
