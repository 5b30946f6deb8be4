"""Homes from what fires together: experts that tokens need together get one node.

A token visits the fewer nodes, the more of its experts are at home on the same. In how many tokens
two experts fire together is a graph, and nodes are its parts: the sum over pairs on one node is to
be large. That is balanced graph partitioning; the method is exchanges of pairs (Kernighan and Lin,
"An efficient heuristic procedure for partitioning graphs", Bell System Technical Journal, 1970),
from two starts, without their look-ahead. Pairs only stand for tokens: three experts of a token on
one node count as three pairs, though they save two visits. So where the tokens are there, they
choose among what is found. Nothing is proven.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_int, as_number, as_numpy
from eplb_opt.workloads.tokens.counts import as_recording, co_occurrence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.io.recordings.recording import Progress

#: Walks over all experts; exchanges end after some ten.
MAX_PASSES = 200
#: Pairs count as integers below this, so that sums of a row stay in 64 bits.
MAX_PAIRS = 2**40


def co_occurrence_homes(
    pairs: Any, num_nodes: int, *, num_groups: int = 1, max_load: float = 1.02
) -> np.ndarray:
    """Home nodes for experts by what fires together, for `Topology(homes=)`.

    Nodes get equally many experts, or numbers that differ by one.

    Parameters
    ----------
    pairs
        In how many tokens two experts fire together, integers [num_layers, num_experts,
        num_experts], symmetric, with the load on the diagonal: from `co_occurrence`, or counted by
        TensorRT-LLM.
    num_nodes
        Nodes of equally many GPUs.
    num_groups
        Groups of experts whose homes are tried first: a token of DeepSeek-V3 goes to four of eight
        groups at most, so that whole groups on a node are hard to beat there.
    max_load
        The largest load at home on a node, over the mean, wherever exchanges reach it. Homes bind
        nobody, and replicas may stand elsewhere; but what is at home on a node beyond what its GPUs
        serve will be served off home.

    Returns
    -------
    ndarray
        int64 [num_layers, num_experts], the home node of each expert.

    Raises
    ------
    ProblemError
        When the pairs are no such table, or there are more nodes than experts.
    """
    table = as_numpy(pairs, "pairs")
    _check(table)
    num_experts = table.shape[1]
    count = as_int(num_nodes, "num_nodes", most=num_experts)
    groups = as_int(num_groups, "num_groups", most=num_experts)
    most = _checked_load(max_load)
    homes = np.empty(table.shape[:2], dtype=np.int64)
    for layer_idx, layer in enumerate(table.astype(np.int64)):
        limit = _limit(layer, count, most)
        found = _found(layer, count, groups, limit)
        best = min(found, key=lambda parts: (max(parts.largest, limit), -parts.together))
        homes[layer_idx] = best.homes
    return homes


def token_homes(
    tokens: Any,
    num_nodes: int,
    *,
    num_groups: int = 1,
    max_load: float = 1.02,
    progress: Progress | None = None,
) -> np.ndarray:
    """Home nodes for experts by what fires together in recorded tokens, for `Topology(homes=)`.

    What `co_occurrence_homes` finds from either start, and whole groups as they are where their
    loads are even enough, are compared by the nodes that the recorded tokens visit: no homes come
    back that are worse on these tokens than whole groups within `max_load`.

    Parameters
    ----------
    tokens
        A recording from `eplb_opt.io.open_tokens`, or integers [num_tokens, num_layers,
        experts_per_token], -1 for none. It is walked through twice.
    num_nodes
        Nodes of equally many GPUs.
    num_groups
        Groups of experts, see `co_occurrence_homes`.
    max_load
        The largest load at home on a node, over the mean, see `co_occurrence_homes`.
    progress
        Called with the bytes read and the bytes there are, in each walk.

    Returns
    -------
    ndarray
        int64 [num_layers, num_experts], the home node of each expert.

    Raises
    ------
    ProblemError
        When there are more nodes than experts, or a number cannot be used.
    FormatError
        When the recording is damaged.
    """
    recording = as_recording(tokens)
    count = as_int(num_nodes, "num_nodes", most=recording.num_experts)
    groups = as_int(num_groups, "num_groups", most=recording.num_experts)
    most = _checked_load(max_load)
    pairs = co_occurrence(recording, progress=progress)
    found = []
    for layer in pairs:
        limit = _limit(layer, count, most)
        parts = _found(layer, count, groups, limit, whole_groups=True)
        least = min(max(each.largest, limit) for each in parts)
        # The same number for each layer: the last stands for those that are missing.
        even = [each.homes for each in parts if max(each.largest, limit) == least]
        found.append(even + even[-1:] * (3 - len(even)))
    choices = np.array(found).transpose(1, 0, 2)
    visits = homes_visited(recording, choices, progress=progress)
    return np.asarray(choices[visits.argmin(axis=0), np.arange(len(pairs))])


def homes_visited(tokens: Any, homes: Any, *, progress: Progress | None = None) -> np.ndarray:
    """Distinct home nodes of the experts that a token goes to, in the mean.

    So many nodes a token visits where everything is served at home.

    Parameters
    ----------
    tokens
        A recording, or an array, as in `token_homes`.
    homes
        Integers [num_layers, num_experts], or several such tables, [num, num_layers, num_experts].
    progress
        Called with the bytes read and the bytes there are.

    Returns
    -------
    ndarray
        float64 [num_layers], or [num, num_layers].

    Raises
    ------
    ProblemError
        When the homes do not fit the recording.
    """
    recording = as_recording(tokens)
    tables = as_numpy(homes, "homes")
    shape = (recording.num_layers, recording.num_experts)
    if tables.shape[-2:] != shape or tables.ndim not in (2, 3) or tables.dtype.kind not in "iu":
        raise ProblemError(
            f"homes is {tables.dtype} {list(tables.shape)}; integers {list(shape)} are due."
        )
    each = tables.reshape(-1, *shape)
    count = int(each.max()) + 1
    visited = np.zeros((len(each), len(recording.layer_ids)))
    num_tokens = np.zeros(len(recording.layer_ids), dtype=np.int64)
    for chunk in recording.chunks(progress):
        for layer_idx, experts in zip(chunk.layer_idx, chunk.experts, strict=True):
            num_tokens[layer_idx] += int((experts >= 0).any(axis=1).sum())
            for at, table in enumerate(each):
                # A place behind the nodes is for -1.
                nodes = np.append(table[layer_idx], count)[experts]
                is_met = np.zeros((len(experts), count + 1), dtype=bool)
                is_met[np.arange(len(experts))[:, None], nodes] = True
                visited[at, layer_idx] += int(is_met[:, :count].sum())
    means = visited / np.maximum(num_tokens, 1)
    return np.asarray(means if tables.ndim == 3 else means[0])


def _checked_load(given: float) -> Fraction:
    most = as_number(given, "max_load")
    if most < 1:
        raise ProblemError(f"max_load={most:g} is below 1, the mean.")
    return Fraction(repr(most))


def _limit(pairs: np.ndarray, num_nodes: int, max_load: Fraction) -> int:
    """The largest load that a node should have."""
    return int(max_load * int(pairs.trace()) / num_nodes)


def _found(
    pairs: np.ndarray, num_nodes: int, num_groups: int, limit: int, whole_groups: bool = False
) -> list[_Parts]:
    """Parts from each start, exchanged until they are even and no exchange wins."""
    load = pairs.diagonal().copy()
    found = []
    starts = list(_starts(pairs, load, num_nodes, num_groups, limit))
    for start in starts:
        parts = _Parts(pairs, load, start, num_nodes)
        parts.balance(limit)
        parts.improve(limit)
        found.append(parts)
    if whole_groups and len(starts) == 2:
        found.append(_Parts(pairs, load, starts[0], num_nodes))
    return found


def _check(table: np.ndarray) -> None:
    if table.ndim != 3 or table.shape[1] != table.shape[2] or table.dtype.kind not in "iu":
        raise ProblemError(
            f"pairs is {table.dtype} {list(table.shape)}; integers [num_layers, num_experts, "
            "num_experts] are due."
        )
    if table.size and not (table.min() >= 0 and table.max() < MAX_PAIRS):
        raise ProblemError(f"pairs holds {table.min()} to {table.max()}; 0 to 2**40 are due.")
    if (table != table.transpose(0, 2, 1)).any():
        raise ProblemError("pairs is not symmetric: two experts fire together, or they do not.")


def _starts(
    pairs: np.ndarray, load: np.ndarray, num_nodes: int, num_groups: int, limit: int
) -> Iterator[np.ndarray]:
    """Homes to begin with: those of whole groups, if there are any, and the hottest in turn."""
    num_experts = len(load)
    if num_groups > 1 and num_experts % num_groups == 0 and num_groups % num_nodes == 0:
        size = num_experts // num_groups
        between = pairs.reshape(num_groups, size, num_groups, size).sum(axis=(1, 3))
        of_group = load.reshape(num_groups, size).sum(axis=1)
        whole = _Parts(between, of_group, np.arange(num_groups) % num_nodes, num_nodes)
        whole.balance(limit)
        whole.improve(limit)
        yield np.repeat(whole.homes, size)
    order = np.argsort(-load, kind="stable")
    homes = np.empty(num_experts, dtype=np.int64)
    # There and back: the hottest of each round goes where the round before had its coldest.
    turn = np.arange(num_experts) % (2 * num_nodes)
    homes[order] = np.minimum(turn, 2 * num_nodes - 1 - turn)
    yield homes


class _Parts:
    """Experts on nodes, exchanged in pairs: nodes keep their numbers of experts."""

    def __init__(
        self, pairs: np.ndarray, load: np.ndarray, homes: np.ndarray, num_nodes: int
    ) -> None:
        self.homes = homes.copy()
        self._pairs = pairs.copy()
        np.fill_diagonal(self._pairs, 0)
        self._load = load
        member = np.zeros((len(load), num_nodes), dtype=np.int64)
        member[np.arange(len(load)), homes] = 1
        #: Pairs of each expert with those on each node, [num_experts, num_nodes].
        self._ties = self._pairs @ member
        self._on_node = member.T @ load

    @property
    def together(self) -> int:
        """Pairs on one node, each twice."""
        return int(self._ties[np.arange(len(self.homes)), self.homes].sum())

    @property
    def largest(self) -> int:
        """The largest load of a node."""
        return int(self._on_node.max())

    def improve(self, limit: int) -> None:
        """Exchange experts while that brings pairs together, and no node gets above the limit.

        A node that is above it already may go down alone.
        """
        for _ in range(MAX_PASSES):
            changed = False
            for expert in range(len(self.homes)):
                gain, after, before = self._exchanges(np.array([expert]))
                won = np.where((after <= limit) | (after < before), gain, 0)[0]
                other = int(won.argmax())
                if won[other] > 0:
                    self._exchange(expert, other)
                    changed = True
            if not changed:
                return

    def balance(self, limit: int) -> None:
        """Exchange experts until no node is above the limit, at the least loss for each token."""
        while self.largest > limit:
            node = int(self._on_node.argmax())
            mine = np.flatnonzero(self.homes == node)
            gain, after, _ = self._exchanges(mine)
            moved = np.minimum(self._load[mine, None] - self._load, self.largest - limit)
            allowed = (moved > 0) & (after < self.largest) & (self.homes != node)
            if not allowed.any():
                return
            loss = np.where(allowed, -gain / np.maximum(moved, 1), np.inf)
            one, other = np.unravel_index(int(loss.argmin()), loss.shape)
            self._exchange(int(mine[one]), int(other))

    def _exchanges(self, experts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Exchanges of some experts with each: pairs won, and both nodes' larger load then and now.

        With one on the same node nothing is won. Each is [num, num_experts].
        """
        homes = self.homes[experts, None]
        own = self._ties[np.arange(len(self.homes)), self.homes]
        gain = self._ties[experts][:, self.homes] - own[experts, None]
        gain += self._ties[:, self.homes[experts]].T - own - 2 * self._pairs[experts]
        gain[homes == self.homes] = 0
        there, here = self._on_node[self.homes], self._on_node[homes]
        more = self._load[experts, None] - self._load
        return gain, np.maximum(there + more, here - more), np.maximum(there, here)

    def _exchange(self, one: int, other: int) -> None:
        here, there = self.homes[one], self.homes[other]
        self._ties[:, here] += self._pairs[:, other] - self._pairs[:, one]
        self._ties[:, there] += self._pairs[:, one] - self._pairs[:, other]
        more = self._load[one] - self._load[other]
        self._on_node[here] -= more
        self._on_node[there] += more
        self.homes[one], self.homes[other] = there, here
