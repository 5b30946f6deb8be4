"""How many nodes and GPUs a token visits under a plan: expected values, from recorded tokens.

Counts alone do not tell: it matters which experts a token needs together. Under the uniform split
a token takes each of an expert's replicas equally often, and independently for its experts. So it
stays off a node with the probability that all of its experts' replicas do, the product of one less
each expert's share of replicas there; and the expected number of distinct nodes is the sum over
nodes of one less that product. This is exact where engines draw replicas at random (SGLang's
dynamic dispatch); vLLM and TensorRT-LLM take replicas in turn, as often in the long run but not
independently. Values are floating-point sums; they decide nothing and are no bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.io.recordings.tokens import NO_RANK
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.arrays import as_int, as_numpy
from eplb_opt.workloads.tokens.counts import as_recording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.io.recordings.recording import Progress
    from eplb_opt.io.recordings.tokens import TokenChunk, TokenRecording

#: Tokens of all layers of a chunk that are looked at together, times GPUs.
BLOCK_ENTRIES = 2**20


@dataclass(frozen=True, eq=False)
class NodeVisits:
    """What recorded tokens do under a plan, expected, a layer.

    Parameters
    ----------
    num_tokens
        int64 [num_layers], recorded tokens.
    nodes, gpus
        float64 [num_layers], distinct nodes and GPUs that a token visits, in the mean.
    remote_nodes
        float64 [num_layers], those nodes less the one that the token starts on: to so many an
        exchange that sends a token once to every node (DeepEP's normal kernels) sends it. None
        where the recording does not say where tokens start, or has more ranks than the plan GPUs.
    crossing
        float64 [num_layers], share of assignments that are served on another node than their token
        starts on: what an exchange that sends every assignment by itself (DeepEP's low-latency
        kernels) sends between nodes. None as `remote_nodes`.
    """

    num_tokens: np.ndarray
    nodes: np.ndarray
    gpus: np.ndarray
    remote_nodes: np.ndarray | None
    crossing: np.ndarray | None


def node_visits(
    tokens: Any,
    plan: Any,
    num_gpus: int | None = None,
    num_nodes: int = 1,
    *,
    nodes: Any = None,
    progress: Progress | None = None,
) -> NodeVisits:
    """Expected nodes and GPUs that recorded tokens visit under a plan, by the uniform split.

    Parameters
    ----------
    tokens
        A recording from `eplb_opt.io.open_tokens`, or integers [num_tokens, num_layers,
        experts_per_token], -1 for none.
    plan
        A Plan, or [num_layers, num_slots] logical ids with -1 for an empty slot; then `num_gpus`
        is needed. Its layers are those of the recording.
    num_gpus
        Slot p is on GPU p // (num_slots // num_gpus).
    num_nodes
        Nodes of equally many GPUs, of which the last may have fewer.
    nodes
        The node of each GPU, integers [num_gpus], where nodes differ.
    progress
        Called with the bytes read and the bytes there are.

    Returns
    -------
    NodeVisits
        Means over the tokens of each layer.

    Raises
    ------
    PlanError
        When the plan is no map of the recording's layers and experts.
    ProblemError
        When the numbers of nodes and GPUs do not fit.
    FormatError
        When the recording is damaged.
    """
    recording = as_recording(tokens)
    placed = plan if isinstance(plan, Plan) else _plan(plan, num_gpus)
    where = _nodes(placed.num_gpus, num_nodes, nodes)
    return visits_of_plans(recording, [placed], where, progress)[0]


def visits_of_plans(
    recording: TokenRecording,
    plans: Sequence[Plan],
    nodes: np.ndarray,
    progress: Progress | None = None,
) -> list[NodeVisits]:
    """`node_visits` of several plans in one walk through the recording.

    Parameters
    ----------
    recording
        The tokens.
    plans
        Plans of one machine, for the recording's layers.
    nodes
        int64 [num_gpus], the node of each GPU.
    progress
        Called with the bytes read and the bytes there are.
    """
    counters = [_Counter(recording, plan, nodes) for plan in plans]
    for chunk in recording.chunks(progress):
        for counter in counters:
            counter.add(chunk)
    return [counter.visits() for counter in counters]


class _Counter:
    """Adds up what tokens do under one plan."""

    def __init__(self, recording: TokenRecording, plan: Plan, nodes: np.ndarray) -> None:
        num_layers, num_experts = recording.num_layers, recording.num_experts
        if plan.num_layers != num_layers:
            raise PlanError(
                f"The plan has {plan.num_layers} layers, the recording {num_layers}: those of ids "
                f"{', '.join(map(str, recording.layer_ids[:4]))}, ..."
            )
        if plan.num_experts > num_experts:
            raise PlanError(
                f"The plan has {plan.num_experts} experts, the recording {num_experts}; its ids "
                "may be those of slots, to be folded by the map that was in force."
            )
        self._nodes = nodes
        gpu = np.arange(plan.num_slots) // (plan.num_slots // plan.num_gpus)
        self._node_share = _shares(plan.physical_to_logical, num_experts, nodes[gpu])
        self._misses = [
            1.0 - self._node_share,
            1.0 - _shares(plan.physical_to_logical, num_experts, gpu),
        ]
        self._num_tokens = np.zeros(num_layers, dtype=np.int64)
        self._num_assigned = np.zeros(num_layers, dtype=np.int64)
        self._visits = np.zeros((2, num_layers))
        self._remote, self._crossing = np.zeros(num_layers), np.zeros(num_layers)
        self._knows_sources = True

    def add(self, chunk: TokenChunk) -> None:
        """Count the tokens of a chunk."""
        ranks = chunk.rank
        is_known = not ranks.size or (ranks.min() > NO_RANK and ranks.max() < len(self._nodes))
        self._knows_sources = self._knows_sources and bool(is_known)
        size = max(1, BLOCK_ENTRIES // self._misses[1].shape[2])
        for layer_idx, layer in zip(chunk.layer_idx, chunk.experts, strict=True):
            for first in range(0, len(layer), size):
                rank = ranks[first : first + size] if self._knows_sources else None
                self._add(layer_idx, layer[first : first + size], rank)

    def _add(self, layer_idx: int, experts: np.ndarray, rank: np.ndarray | None) -> None:
        is_there = experts >= 0
        self._num_tokens[layer_idx] += int(is_there.any(axis=1).sum())
        self._num_assigned[layer_idx] += int(is_there.sum())
        # The last row of each table is for -1: no share on any node.
        by_place = np.ascontiguousarray(experts.T)
        stays_off = [_product(miss[layer_idx], by_place) for miss in self._misses]
        for kind, off in enumerate(stays_off):
            self._visits[kind, layer_idx] += float(off.size) - float(off.sum())
        if rank is None:
            return
        own = self._nodes[rank]
        off = stays_off[0]
        visited_own = float(len(off)) - float(off[np.arange(len(off)), own].sum())
        self._remote[layer_idx] += float(off.size) - float(off.sum()) - visited_own
        at_home = self._node_share[layer_idx][by_place, own]
        self._crossing[layer_idx] += float(is_there.sum()) - float(at_home.sum())

    def visits(self) -> NodeVisits:
        """The means."""
        tokens = np.maximum(self._num_tokens, 1)
        assigned = np.maximum(self._num_assigned, 1)
        return NodeVisits(
            self._num_tokens,
            self._visits[0] / tokens,
            self._visits[1] / tokens,
            self._remote / tokens if self._knows_sources else None,
            self._crossing / assigned if self._knows_sources else None,
        )


def _product(factors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Products of rows of a table, [num, width], of tables [.., width] and rows [.., num]."""
    found = factors[rows[0]]
    for row in rows[1:]:
        found *= factors[row]
    return np.asarray(found)


def _shares(placed: np.ndarray, num_experts: int, where: np.ndarray) -> np.ndarray:
    """The part of each expert's replicas in each place, [num_layers, num_experts + 1, num_places].

    The last row is zeros.

    Raises
    ------
    PlanError
        When an expert is in no slot.
    """
    shares = np.zeros((len(placed), num_experts + 1, int(where.max()) + 1))
    for layer_idx, row in enumerate(placed):
        is_held = row >= 0
        np.add.at(shares[layer_idx], (row[is_held], where[is_held]), 1.0)
    counts = shares[:, :-1].sum(axis=2)
    if (counts == 0).any():
        layer_idx, expert = np.argwhere(counts == 0)[0]
        raise PlanError(f"layer {layer_idx}: expert {expert} is in no slot of the plan.")
    shares[:, :-1] /= counts[:, :, None]
    return shares


def _plan(plan: Any, num_gpus: int | None) -> Plan:
    if num_gpus is None:
        raise ProblemError("num_gpus is needed with a plan that is an array.")
    return Plan(as_numpy(plan, "plan"), as_int(num_gpus, "num_gpus"))


def _nodes(num_gpus: int, num_nodes: int, given: Any) -> np.ndarray:
    """The node of each GPU, int64 [num_gpus]."""
    if given is None:
        count = as_int(num_nodes, "num_nodes")
        if not 1 <= count <= num_gpus:
            raise ProblemError(f"num_nodes={count}; there are {num_gpus} GPUs.")
        return np.arange(num_gpus) // -(-num_gpus // count)
    nodes = as_numpy(given, "nodes")
    if nodes.shape != (num_gpus,) or nodes.dtype.kind not in "iu" or nodes.min() < 0:
        raise ProblemError(
            f"nodes is {nodes.dtype} {list(nodes.shape)}; it must hold integers [{num_gpus}], the "
            "node of each GPU."
        )
    return nodes.astype(np.int64)
