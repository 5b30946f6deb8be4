"""How an expert's tokens reach its copies, and what a plan is worth under each way.

Most plans are made for the uniform split, where every copy gets the same share. Engines with an
all-to-all backend send each GPU's tokens to the nearest copy instead, which saves traffic and
fills copies unevenly. Optimal dispatch splits every batch so that the largest GPU load is least.
All three are scored exactly; for nearest copy every GPU is the source of an equal part of every
expert's tokens.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.placement import scoring
from eplb_opt.placement.caller_units import balancedness, objective_in_caller_units
from eplb_opt.placement.plan import as_plan

if TYPE_CHECKING:
    from typing import Any

    from eplb_opt.problem.problem import Problem

#: SGLang draws from this seed, on every rank alike.
SGLANG_SEED = 42
#: Binary digits of the half in which loads are multiplied, so that int64 holds the sums.
HALF_BITS = 31


def nearest_copy(
    physical_to_logical: np.ndarray,
    num_gpus: int,
    num_nodes: int = 1,
    *,
    num_experts: int = 0,
    active_gpus: np.ndarray | None = None,
    seed: int = SGLANG_SEED,
) -> np.ndarray:
    """The slot to which each GPU sends each expert's tokens: SGLang's static dispatch [1]_.

    The only copy, else the first on the same GPU, else the first on the same node where the node
    does not hold them all; the GPUs that are left are dealt over all copies as evenly as can be,
    in random order.

    Parameters
    ----------
    physical_to_logical
        int64 [num_layers, num_slots], every expert at least once.
    num_gpus, num_nodes
        Slots are numbered GPU by GPU, GPUs node by node.
    num_experts
        Logical experts of a layer; by default one more than the largest id.
    active_gpus
        bool [num_gpus], the GPUs that send; all by default.
    seed
        Seed of the random order in which copies are dealt.

    Returns
    -------
    int64 [num_layers, num_gpus, num_experts]; -1 for GPUs that do not send.

    References
    ----------
    .. [1] SGLang 0.5.23, `srt/eplb/expert_location.py`, the table behind
       `--ep-dispatch-algorithm static`.
    """
    num_layers, num_slots = physical_to_logical.shape
    num_experts = num_experts or int(physical_to_logical.max()) + 1
    sends = np.ones(num_gpus, dtype=bool) if active_gpus is None else active_gpus
    draw = random.Random(seed)
    target = np.empty((num_layers, num_gpus, num_experts), dtype=np.int64)
    for layer_idx, row in enumerate(physical_to_logical):
        by_expert = np.argsort(row, kind="stable")
        ends = np.searchsorted(row[by_expert], np.arange(num_experts + 1))
        for expert in range(num_experts):
            copies = by_expert[ends[expert] : ends[expert + 1]]
            chosen = _nearest(copies, num_slots, num_gpus, num_nodes)
            left = np.flatnonzero((chosen < 0) & sends)
            if len(left):
                chosen[left] = _dealt(copies.tolist(), len(left), draw)
            target[layer_idx, :, expert] = np.where(sends, chosen, -1)
    return target


@dataclass(frozen=True, eq=False)
class DispatchScore:
    """One plan under three ways of reaching its copies.

    Parameters
    ----------
    uniform, nearest, optimal
        float64 [num_layers], the objective when every copy gets the same share, when every
        GPU sends to its nearest copy, and when the split makes the largest GPU load least;
        caller's unit, rounded up.
    uniform_balancedness, nearest_balancedness, optimal_balancedness
        float64 [num_layers], see `Result.balancedness`.
    """

    uniform: np.ndarray
    nearest: np.ndarray
    optimal: np.ndarray
    uniform_balancedness: np.ndarray
    nearest_balancedness: np.ndarray
    optimal_balancedness: np.ndarray

    @property
    def nearest_excess(self) -> float:
        """What nearest copy adds to the largest GPU loads, summed layers: 0.1 is 10 %."""
        return float(self.nearest.sum() / self.uniform.sum() - 1) if self.uniform.any() else 0.0

    @property
    def needs_dispatch(self) -> float:
        """What the uniform split adds to the largest GPU loads of optimal dispatch."""
        return float(self.uniform.sum() / self.optimal.sum() - 1) if self.optimal.any() else 0.0


def dispatch_score(problem: Problem, plan: Any, *, seed: int = SGLANG_SEED) -> DispatchScore:
    """Score a plan under the uniform split, nearest copy and optimal dispatch.

    Parameters
    ----------
    problem, plan, seed
        The problem, the plan to score, and the seed of the dealing; see `nearest_copy_objectives`.

    Raises
    ------
    PlanError
        When the plan breaks a rule of the problem.
    """
    plan = as_plan(plan, problem)
    ways = (
        plan.objectives(problem.with_dispatch("uniform")),
        nearest_copy_objectives(problem, plan, seed=seed),
        plan.objectives(problem.with_dispatch("optimal")),
    )
    return DispatchScore(
        *(objective_in_caller_units(problem, each) for each in ways),
        *(balancedness(problem, each) for each in ways),
    )


def nearest_copy_objectives(
    problem: Problem, plan: Any, *, seed: int = SGLANG_SEED
) -> list[Fraction]:
    """What a plan is worth when every GPU sends to its nearest copy, exactly, one a layer.

    Parameters
    ----------
    problem
        Loads and topology; its nodes count even where they constrain nothing.
    plan
        A Plan or [num_layers, num_slots] ids.
    seed
        Seed of the dealing; see `nearest_copy`.

    Returns
    -------
    The largest GPU load in units of the loads, or what the scenarios make together.

    Raises
    ------
    PlanError
        When the plan breaks a rule of the problem.
    """
    sources = _sources(problem, as_plan(plan, problem).physical_to_logical, seed)
    if not problem.has_scenarios:
        return _largest(problem, sources)
    scenarios = [problem.scenario(scenario_idx) for scenario_idx in range(problem.num_scenarios)]
    ratios = [scoring.ratios_to_mean(part, _largest(part, sources)) for part in scenarios]
    return [scoring.combined(problem, ratio) for ratio in zip(*ratios, strict=True)]


def _nearest(copies: np.ndarray, num_slots: int, num_gpus: int, num_nodes: int) -> np.ndarray:
    """The copy each GPU has at hand, -1 where it has none, int64 [num_gpus]."""
    if len(copies) == 1:
        return np.full(num_gpus, copies[0])
    chosen = np.full(num_gpus, -1)
    gpu_of = copies // (num_slots // num_gpus)
    node_of = gpu_of // (num_gpus // num_nodes)
    for node_idx in np.unique(node_of):
        here = copies[node_of == node_idx]
        if len(here) < len(copies):
            first = node_idx * (num_gpus // num_nodes)
            chosen[first : first + num_gpus // num_nodes] = here[0]
    # The first copy on a GPU is the one to stay, so it is written last.
    chosen[gpu_of[::-1]] = copies[::-1]
    return chosen


def _dealt(copies: list[int], num: int, draw: random.Random) -> list[int]:
    """A copy for each of `num` GPUs, none used more than once more often than another."""
    rounds, rest = divmod(num, len(copies))
    hand = copies * rounds + draw.sample(copies, rest)
    draw.shuffle(hand)
    return hand


def _sources(problem: Problem, placed: np.ndarray, seed: int) -> np.ndarray:
    """GPUs that send an expert's tokens to a GPU, int64 [num_layers, num_experts, num_gpus]."""
    active = problem.open_slots > 0
    target = nearest_copy(
        placed,
        problem.num_gpus,
        problem.num_nodes,
        num_experts=problem.num_experts,
        active_gpus=active,
        seed=seed,
    )
    to_gpu = target[:, active].transpose(0, 2, 1) // problem.slots_per_gpu
    shape = (problem.num_layers, problem.num_experts, problem.num_gpus)
    sources = np.zeros(shape, dtype=np.int64)
    layer_idx, expert_idx = np.ogrid[: shape[0], : shape[1]]
    np.add.at(sources, (layer_idx[..., None], expert_idx[..., None], to_gpu), 1)
    return sources


def _largest(problem: Problem, sources: np.ndarray) -> list[Fraction]:
    """The largest GPU load of each layer, exactly: every source sends an equal part of a load."""
    high, low = problem.load >> HALF_BITS, problem.load & (2**HALF_BITS - 1)
    parts = [np.matmul(half[:, None, :], sources)[:, 0].tolist() for half in (high, low)]
    num_sources = int((problem.open_slots > 0).sum())
    return [
        max(
            Fraction((h << HALF_BITS) + w, num_sources) / speed
            for h, w, speed in zip(*gpus, problem.speed, strict=True)
        )
        for gpus in zip(*parts, strict=True)
    ]
