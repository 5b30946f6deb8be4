"""How many GPUs send an expert's tokens to each slot, where every GPU sends them to one replica.

Two dispatches are of that kind. Under rank modulo the GPUs take the replicas in turn. Under nearest
copy most GPUs have a replica at hand, and SGLang deals those that are left over all replicas: each
gets equally many, and the odd ones are drawn at random, over the whole model in one sequence. So
what a layer is worth depends a little on the layers before it, and there are three readings:

as_dealt
    What SGLang draws, for the layers at hand as a whole model.
most, least
    The most, or the fewest, GPUs that any draw can send to the replicas of an expert on one GPU.
    Either is a figure of a layer alone. As all odd GPUs of an expert are drawn apart from those of
    the others, no GPU load of any draw is above that of `most`, and every one of them is reached.

Where nothing is drawn, the three are equal.

This is the deal of a map that SGLang's own manager has made. Started from a file, each of its ranks
draws for itself, and what is left is dealt unevenly; the guide says what to do about it.

References
----------
SGLang 0.5.23, `srt/eplb/expert_location.py`, the table behind `--ep-dispatch-algorithm static`;
vllm-ascend, the table from experts to slots of each rank. The guide's page on the model says where
each is decided.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt import core
from eplb_opt.problem.topology import node_of_gpus

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: SGLang draws from this seed, on every rank alike.
SGLANG_SEED = 42
AS_DEALT, MOST, LEAST = "as_dealt", "most", "least"


def senders(
    problem: Problem,
    physical_to_logical: np.ndarray,
    reading: str = AS_DEALT,
    *,
    dispatch: str | None = None,
    seed: int = SGLANG_SEED,
) -> np.ndarray:
    """How many GPUs send their part of an expert's tokens to each slot.

    Parameters
    ----------
    problem
        The machine; its loads are not read. GPUs without a slot do not send.
    physical_to_logical
        int64 [num_layers, num_slots], every expert at least once; -1 is an empty slot.
    reading
        "as_dealt", "most" or "least"; see the module. All the same under rank modulo.
    dispatch
        "nearest" or "rank_modulo"; by default the problem's own.
    seed
        Seed of the draws of "as_dealt".

    Returns
    -------
    ndarray
        int64 [num_layers, num_slots]; as dealt, the replicas of an expert get `num_senders` in all.
    """
    copies = Copies.of(problem, physical_to_logical)
    sent = RULES[dispatch or problem.dispatch](problem, copies, DRAWS[reading], seed)
    found = np.zeros(physical_to_logical.size, dtype=np.int64)
    found[copies.place] = sent
    return found.reshape(physical_to_logical.shape)


@dataclass(frozen=True, eq=False)
class Copies:
    """The replicas of all layers, expert by expert in the order of their slots.

    A run is a number of neighbours in that order. All arrays are int64 or bool, [num_replicas],
    unless they say otherwise.

    Parameters
    ----------
    place
        Their places in the flattened plan.
    gpu, node
        Where they stand.
    run
        The number of each replica's expert, over all layers.
    starts
        Where the runs of experts begin, [num_runs].
    """

    place: np.ndarray
    gpu: np.ndarray
    node: np.ndarray
    run: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, problem: Problem, placed: np.ndarray) -> Copies:
        """Those of a plan, int64 [num_layers, num_slots]."""
        layer, slot = np.nonzero(placed >= 0)
        expert = layer * problem.num_experts + placed[layer, slot]
        order = np.argsort(expert * placed.shape[1] + slot)  # by expert, then by slot
        gpu = slot[order] // problem.slots_per_gpu
        first = _begins(expert[order])
        return cls(
            (layer * placed.shape[1] + slot)[order],
            gpu,
            node_of_gpus(problem)[gpu],
            np.cumsum(first) - 1,
            np.flatnonzero(first),
        )

    @property
    def counts(self) -> np.ndarray:
        """Replicas of each run, int64 [num_runs]."""
        return np.diff(np.append(self.starts, len(self.run)))

    @property
    def rank(self) -> np.ndarray:
        """The place of each replica among those of its expert, from 0."""
        return np.asarray(np.arange(len(self.run)) - self.starts[self.run])


def _begins(*keys: np.ndarray) -> np.ndarray:
    """Where a run of equal keys begins."""
    begins = np.ones(len(keys[0]), dtype=bool)
    begins[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return begins


def _rank_modulo(problem: Problem, copies: Copies, draw: Draw, seed: int) -> np.ndarray:
    """GPU r, of those that send, takes replica r mod n."""
    count = copies.counts[copies.run]
    return np.asarray((problem.num_senders - copies.rank + count - 1) // count)


def _nearest(problem: Problem, copies: Copies, draw: Draw, seed: int) -> np.ndarray:
    """The GPU's own first replica, else the node's first one, else one that is dealt."""
    count = copies.counts[copies.run]
    on_gpu = _begins(copies.run, copies.gpu)
    on_node = _begins(copies.run, copies.node)
    node_run = np.cumsum(on_node) - 1
    num_hosts = np.bincount(node_run, weights=on_gpu).astype(np.int64)[node_run]
    num_here = np.bincount(node_run)[node_run]
    active = np.bincount(node_of_gpus(problem)[problem.open_slots > 0], minlength=problem.num_nodes)
    # A node that holds all of them gives none to its other GPUs: nothing is nearer than the rest.
    serves = on_node & (num_here < count)
    sent = on_gpu + np.where(serves, active[copies.node] - num_hosts, 0)
    sent[count == 1] = problem.num_senders
    left = problem.num_senders - np.add.reduceat(sent, copies.starts)
    each, odd = np.divmod(left, copies.counts)
    return np.asarray(sent + each[copies.run] + draw(copies, left, odd, seed))


def _most(copies: Copies, left: np.ndarray, odd: np.ndarray, seed: int) -> np.ndarray:
    """As many odd GPUs as can go to replicas on one GPU, the first of them."""
    return np.asarray(_place_on_gpu(copies) < odd[copies.run])


def _least(copies: Copies, left: np.ndarray, odd: np.ndarray, seed: int) -> np.ndarray:
    """As many odd GPUs as find no replica elsewhere."""
    gpu_run = np.cumsum(_begins(copies.run, copies.gpu)) - 1
    here = np.bincount(gpu_run)[gpu_run]
    return np.asarray(_place_on_gpu(copies) < (odd - copies.counts)[copies.run] + here)


def _as_dealt(copies: Copies, left: np.ndarray, odd: np.ndarray, seed: int) -> np.ndarray:
    """The odd GPUs as SGLang draws them, one expert after the other."""
    state = np.array(random.Random(seed).getstate()[1], dtype=np.uint32)
    extra = np.zeros(len(copies.run), dtype=np.int64)
    runs = np.flatnonzero(left)
    core.scoring.deal(state, left[runs], odd[runs], copies.counts[runs], copies.starts[runs], extra)
    return extra


def _place_on_gpu(copies: Copies) -> np.ndarray:
    """The place of each replica among those of its expert on its GPU, from 0."""
    begins = _begins(copies.run, copies.gpu)
    return np.asarray(np.arange(len(begins)) - np.flatnonzero(begins)[np.cumsum(begins) - 1])


Draw = Callable[[Copies, np.ndarray, np.ndarray, int], np.ndarray]

Rule = Callable[["Problem", Copies, Draw, int], np.ndarray]

#: What is drawn beyond the even part: 0 or 1 for each replica.
DRAWS: dict[str, Draw] = {AS_DEALT: _as_dealt, MOST: _most, LEAST: _least}
#: How many GPUs send to each replica.
RULES: dict[str, Rule] = {
    "nearest": _nearest,
    "rank_modulo": _rank_modulo,
}
