"""Which GPU serves which part of an expert's tokens, by the dispatch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.engines.dispatch.routes import Pairs
from eplb_opt.placement.senders import senders
from eplb_opt.problem.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.placement.plan import Plan

#: How the tokens of a step reach the replicas, and what that makes of chance.
#: EVEN: the tokens that a step has for an expert are split into equal parts.
#: DRAWN: every token takes one of the replicas at random.
#: BY_SENDER: every GPU sends all of its tokens for an expert to one replica.
EVEN, DRAWN, BY_SENDER = "even", "drawn", "by_sender"


@dataclass(frozen=True, eq=False)
class Hosts:
    """Pairs of an expert and a GPU that hosts it; two replicas on one GPU are one pair.

    Parameters
    ----------
    layer, expert, gpu
        int64 [num_pairs].
    share
        float64 [num_pairs], the part of the expert's tokens that the GPU is expected to get.
    is_only
        bool [num_pairs], whether the expert stands on no other GPU.
    plan
        The placement.
    """

    layer: np.ndarray
    expert: np.ndarray
    gpu: np.ndarray
    share: np.ndarray
    is_only: np.ndarray
    plan: Plan

    @classmethod
    def of(cls, plan: Plan, dispatch: str, num_nodes: int) -> Hosts:
        """Those of a plan under a dispatch of `DISPATCHES`."""
        pairs = Pairs.trace(plan)
        layer, slot = np.nonzero(pairs.of_slot >= 0)
        weights = DISPATCHES[dispatch].shares(plan, num_nodes)[layer, slot]
        share = np.bincount(pairs.of_slot[layer, slot], weights, minlength=len(pairs.gpu))
        return cls(pairs.layer, pairs.expert, pairs.gpu, share, pairs.num_hosts == 1, plan)

    def alone(self) -> Hosts:
        """The experts that stand on one GPU alone."""
        kept = self.is_only
        parts = {name: getattr(self, name)[kept] for name in ("layer", "expert", "gpu", "share")}
        return replace(self, is_only=kept[kept], **parts)

    def per_gpu(self, values: np.ndarray) -> np.ndarray:
        """Sums over the experts of each GPU, float64 [.., num_layers, num_gpus].

        Parameters
        ----------
        values
            [.., num_pairs].
        """
        num_layers, num_gpus = self.plan.num_layers, self.plan.num_gpus
        where = self.layer * num_gpus + self.gpu
        size = num_layers * num_gpus
        rows = values.reshape(-1, values.shape[-1])
        sums = [np.bincount(where, row, minlength=size) for row in rows]
        return np.reshape(sums, (*values.shape[:-1], num_layers, num_gpus))


@dataclass(frozen=True)
class Dispatch:
    """One way in which tokens reach the replicas of their experts.

    Parameters
    ----------
    words
        What to call it, and who does it.
    law
        `EVEN`, `DRAWN` or `BY_SENDER`.
    shares
        The part of its expert's tokens that each slot is expected to get, float64
        [num_layers, num_slots], from the plan and the number of nodes.
    is_optimal
        Whether every step has shares of its own, which make its largest GPU load least.
    """

    words: str
    law: str
    shares: Callable[[Plan, int], np.ndarray]
    is_optimal: bool = False


def _equal(plan: Plan, num_nodes: int) -> np.ndarray:
    """Equal parts for all replicas."""
    placed = plan.physical_to_logical
    count = np.take_along_axis(plan.logical_count, np.maximum(placed, 0), axis=1)
    return np.asarray(np.where(placed >= 0, 1 / np.maximum(count, 1), 0.0))


def _by_sender(rule: str, plan: Plan, num_nodes: int) -> np.ndarray:
    """The GPUs that send to each slot, over all that send."""
    shape = (plan.num_layers, plan.num_experts)
    problem = Problem(
        np.ones(shape, dtype=np.int64),
        plan.num_slots,
        plan.num_gpus,
        num_nodes,
        active_gpus=live_gpus(plan),
    )
    sent = senders(problem, plan.physical_to_logical, dispatch=rule)
    return np.asarray(sent / problem.num_senders)


def live_gpus(plan: Plan) -> np.ndarray:
    """GPUs that hold anything, bool [num_gpus]; one without is lost, and sends no tokens either."""
    held = plan.physical_to_logical.reshape(plan.num_layers, plan.num_gpus, -1) >= 0
    return np.asarray(held.any(axis=(0, 2)))


#: Name -> dispatch. An even split of what a step has is what plans are scored by; engines that
#: split evenly draw a replica for every token.
DISPATCHES: dict[str, Dispatch] = {
    "uniform": Dispatch("equal parts", EVEN, _equal),
    "drawn": Dispatch("drawn per token: vLLM, SGLang dynamic", DRAWN, _equal),
    "nearest": Dispatch("nearest copy: SGLang static", BY_SENDER, partial(_by_sender, "nearest")),
    "rank_modulo": Dispatch(
        "GPUs in turn: vllm-ascend", BY_SENDER, partial(_by_sender, "rank_modulo")
    ),
    "optimal": Dispatch("optimal split", EVEN, _equal, is_optimal=True),
    "optimal_drawn": Dispatch("optimal shares, drawn: SGLang lp", DRAWN, _equal, is_optimal=True),
}
