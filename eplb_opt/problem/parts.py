"""Problems made of a problem: some of its layers or scenarios, or other rules for all of them."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.problem.costs import table_of_layers
from eplb_opt.problem.topology import of_gpus, of_layers

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: What a problem works out once and what does not hold for a part of its layers or scenarios.
OF_ALL_LOADS = ("shares", "_layers", "load_on_device", "link_costs")
#: What it works out of the GPUs' speeds, once for all parts.
OF_ALL_GPUS = ("speed", "whole_speed", "capacity", "slowest", "fastest", "speed_range")


def part_of(problem: Problem, at: Any) -> Problem:
    """Some of the layers or of the scenarios under the same rules, which hold for them too.

    Nothing is checked again, and what is known of the GPUs is known there: a model of a hundred
    layers is split into its layers in milliseconds.

    Parameters
    ----------
    problem
        The whole problem.
    at
        Index of `unit_exponent` and `rounded`; where it is a tuple its last entry is the layers'.
    """
    for name in OF_ALL_GPUS:
        getattr(problem, name)
    part = copy(problem)
    for name in OF_ALL_LOADS:
        part.__dict__.pop(name, None)
    whole = (*at, np.s_[:]) if isinstance(at, tuple) else at
    part.set_loads(problem.load[whole], problem.unit_exponent[at], problem.rounded[at])
    if not part.has_scenarios:
        part.set_field("scenario_weights", None)
    layers = at[-1] if isinstance(at, tuple) else np.s_[:]
    if problem.topology is not None:
        part.set_field("topology", of_layers(problem.topology, layers))
        part.set_field("link_costs", problem.link_costs.of_layers(layers))
    if problem.costs is not None:
        part.set_field("cost", table_of_layers(problem.cost, layers))
        part.set_field("costs", problem.costs.of_layers(layers))
    for name in ("pinned", "forbidden"):
        mask = getattr(problem, name)
        if mask is not None and isinstance(at, tuple) and at[-1] != np.s_[:]:
            mask = mask[at[-1]]
            mask.flags.writeable = False
            part.set_field(name, mask if mask.any() else None)
    return part


def changed(problem: Problem, **changes: Any) -> Problem:
    """Other fields, which are checked; integer loads pass unchanged, so units are carried."""
    other = replace(problem, **changes)
    other.set_field("unit_exponent", problem.unit_exponent)
    other.set_field("rounded", problem.rounded)
    other.set_field("load_on_device", problem.load_on_device)
    return other


def without_lost_gpus(problem: Problem) -> Problem | None:
    """See `Problem.without_lost_gpus`."""
    if not problem.leaves_equal_gpus:
        return None
    left = int((problem.open_slots > 0).sum())
    others: dict[str, Any] = {"num_nodes": 1, "num_groups": 1}
    if problem.topology is not None:
        others = {"topology": of_gpus(problem, problem.topology, problem.open_slots > 0)}
    elif problem.has_nodes:
        others = {}
    return changed(
        problem,
        num_slots=left * problem.slots_per_gpu,
        num_gpus=left,
        active_gpus=None,
        gpu_slots=None,
        **others,
    )
