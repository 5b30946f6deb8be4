"""vLLM: our placement behind its policy registry.

Opt-in, for vLLM loads every installed plugin in every process. Install this package next to vLLM
and start it with::

    EPLB_OPT_VLLM=1 vllm serve ... --enable-eplb

Then the entry point `eplb_opt` of the group `vllm.general_plugins` puts `EplbOptPolicy` in the
place of the policy "default", the one name that vLLM's settings allow. Where VLLM_PLUGINS is set it
must name `eplb_opt`, too. EPLB_OPT_EFFORT (default 100) says how much work is put into a plan.
vLLM gives the map in force, and plans stay near it: EPLB_OPT_MOVE_TOLERANCE (default 0.003) says
how level they have to be, and below EPLB_OPT_MIN_GAIN nothing moves. Every rank plans by itself, so
the variables must be the same on all of them. With EPLB_OPT_TOPOLOGY_PRICE the groups of experts
bind to no node; what is served away from its node has that price.

With elastic expert parallelism (`--enable-elastic-ep`) the last ranks leave, or new ones join after
them; the plan stays near what the ranks hold that are there before and after.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from typing import Any

import numpy as np

from eplb_opt.engines.every_rank import is_asked_for, place, topology
from eplb_opt.engines.survivors import keep_slots
from eplb_opt.engines.tensors import cpu_tensor
from eplb_opt.errors import EngineError
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.arrays import as_numpy

LOGGER = logging.getLogger("eplb_opt")

#: The environment variable that asks for our policy.
SWITCH_VARIABLE = "EPLB_OPT_VLLM"
MODULE = "vllm.distributed.eplb.policy"
#: The policy that is replaced.
POLICY_NAME = "default"


class EplbOptPolicy:
    """A policy of vLLM's registry: one map, as vLLM 0.33 wants it.

    `effort` is the counted work of every call; None reads EPLB_OPT_EFFORT.
    """

    effort: int | None = None

    @classmethod
    def rebalance_experts(
        cls,
        weight: Any,
        num_replicas: int,
        num_groups: int | None,
        num_nodes: int,
        num_ranks: int,
        old_global_expert_indices: Any = None,
    ) -> Any:
        """Place all experts; the same bytes on every rank.

        Parameters
        ----------
        weight
            [num_layers, num_experts], a tensor on any device.
        num_replicas
            Slots a layer, a multiple of `num_ranks`.
        num_groups
            None and 0 count as 1. Where no multiple of `num_nodes`, nodes constrain nothing.
        num_nodes, num_ranks
            The latter a multiple of the former.
        old_global_expert_indices
            The map in force, [num_layers, any number of slots] with as many slots a rank; -1 is an
            empty slot. The plan stays near it, see `place`; an expert that stays on its rank keeps
            its slot there. Where it has more ranks, those past `num_ranks` leave; ranks that it
            lacks are filled.

        Returns
        -------
        int64 [num_layers, num_replicas], a tensor on the host.

        Raises
        ------
        ProblemError
            For loads or sizes that cannot be planned.
        MissingDependency
            With effort, where SciPy or OR-Tools is missing.
        """
        groups, nodes = topology(num_groups, num_nodes)
        old = old_global_expert_indices
        if old is not None:
            old = as_numpy(old, "old_global_expert_indices")
        return cpu_tensor(place(weight, num_replicas, groups, nodes, num_ranks, cls.effort, old)[0])

    @classmethod
    def preserve_intragpu_slots(
        cls, phy2log: np.ndarray, num_ranks: int, old_phy2log: np.ndarray
    ) -> np.ndarray:
        """Reorder each rank's slots so that what stays keeps its slot; see `keep_slots`."""
        return keep_slots(phy2log, old_phy2log, num_ranks)


class ThreeMapsPolicy(EplbOptPolicy):
    """The same policy for older releases of vLLM, which want all three maps."""

    @classmethod
    def rebalance_experts(
        cls,
        weight: Any,
        num_replicas: int,
        num_groups: int | None,
        num_nodes: int,
        num_ranks: int,
        old_global_expert_indices: Any = None,
    ) -> Any:
        """Place all experts; parameters and errors are those of `EplbOptPolicy`.

        Returns
        -------
        physical_to_logical int64 [num_layers, num_replicas], logical_to_physical int64 [num_layers,
        num_experts, num_replicas - num_experts + 1] padded with -1, logical_count int64
        [num_layers, num_experts]; tensors on the host.
        """
        placed = super().rebalance_experts(
            weight, num_replicas, num_groups, num_nodes, num_ranks, old_global_expert_indices
        )
        num_experts = weight.shape[1]
        maps = Plan(placed, num_ranks, num_experts)
        slots = maps.logical_to_physical
        missing = num_replicas - num_experts + 1 - slots.shape[2]
        slots = np.pad(slots, ((0, 0), (0, 0), (0, missing)), constant_values=-1)
        return placed, cpu_tensor(slots), cpu_tensor(maps.logical_count)


def policy_in_place_of(replaced: Any) -> type[EplbOptPolicy]:
    """The policy with the return form of the one that it replaces, by that one's annotation."""
    returns = inspect.signature(replaced.rebalance_experts).return_annotation
    return ThreeMapsPolicy if "tuple" in str(returns).lower() else EplbOptPolicy


def register() -> None:
    """Replace vLLM's policy where EPLB_OPT_VLLM asks for it; a second call changes nothing.

    Raises
    ------
    EngineError
        When this vLLM has no registry of policies, or not the policy that is to be replaced.
    ProblemError
        When EPLB_OPT_VLLM is neither 1 nor 0.
    """
    if not is_asked_for(SWITCH_VARIABLE):
        return
    try:
        policies = importlib.import_module(MODULE).EPLB_POLICIES
    except (ImportError, AttributeError) as error:
        raise EngineError(
            f"{SWITCH_VARIABLE} is set, but this vLLM has no {MODULE}.EPLB_POLICIES: take a newer "
            f"vLLM, or unset {SWITCH_VARIABLE} ({error})."
        ) from error
    if POLICY_NAME not in policies:
        raise EngineError(
            f"{SWITCH_VARIABLE} is set, but vLLM has no policy {POLICY_NAME!r} to be replaced; "
            f"it has {', '.join(policies)}."
        )
    replaced = policies[POLICY_NAME]
    if not (inspect.isclass(replaced) and issubclass(replaced, EplbOptPolicy)):
        policies[POLICY_NAME] = policy_in_place_of(replaced)
        LOGGER.info("vLLM's EPLB policy %r is now %s", POLICY_NAME, policies[POLICY_NAME])
