"""The exact optimum of tiny problems with a topology by trying everything; shares no code."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING

import numpy as np

from tests.links_oracle import assignment_cost, nodes_of_gpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.problem.problem import Problem


def home_optimum(problem: Problem, layer_idx: int = 0) -> Fraction | None:
    """The least largest over mean load plus price of what is off home; None without a plan."""
    load = problem.load[layer_idx].tolist()
    choices = list(all_homes(problem, layer_idx))
    worths = (
        worth
        for plan in all_plans(problem)
        for homes in choices
        if (worth := plan_worth(problem, load, plan, homes)) is not None
    )
    return min(worths, default=None)


def bound_nodes_optimum(problem: Problem, layer_idx: int = 0) -> Fraction | None:
    """The least largest load over speed where groups stay on nodes; None without a plan."""
    load = problem.load[layer_idx].tolist()
    return min((peak_of(problem, load, plan) for plan in _plans_on_nodes(problem)), default=None)


def bound_nodes_scenario_optimum(problem: Problem) -> Fraction | None:
    """The same for several loads: what their largest over mean loads make together."""
    speeds = speeds_of_gpus(problem)
    capacity = sum(v for v, n in zip(speeds, slots_of_gpus(problem), strict=True) if n)
    weights = [Fraction(w) for w in problem.scenario_weights.tolist()]
    best = None
    for plan in _plans_on_nodes(problem):
        ratios = [
            peak_of(problem, row, plan) * capacity / sum(row) if any(row) else Fraction(1)
            for row in problem.load[:, 0].tolist()
        ]
        worth = sum(w * r for w, r in zip(weights, ratios, strict=True)) / sum(weights)
        if problem.objective == "max":
            worth = max(r for w, r in zip(weights, ratios, strict=True) if w)
        best = worth if best is None else min(best, worth)
    return best


def peak_of(problem: Problem, load: list[int], plan: tuple[tuple[int, ...], ...]) -> Fraction:
    """The largest load over speed of a plan."""
    placed = [e for gpu in plan for e in gpu]
    share = [Fraction(w, placed.count(e)) for e, w in enumerate(load)]
    pairs = zip(plan, speeds_of_gpus(problem), strict=True)
    return max(sum(share[e] for e in gpu) / speed for gpu, speed in pairs)


def _plans_on_nodes(problem: Problem) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Every plan that keeps groups on nodes, equally many on each."""
    size = problem.num_gpus // problem.num_nodes
    per_group = problem.num_experts // problem.num_groups
    for plan in all_plans(problem):
        homes = {(e // per_group, g // size) for g, gpu in enumerate(plan) for e in gpu}
        held = [sum(n == node for _, n in homes) for node in range(problem.num_nodes)]
        if len(homes) <= problem.num_groups and len(set(held)) == 1:
            yield plan


def slots_of_gpus(problem: Problem) -> list[int]:
    """Slots of each GPU that can be filled."""
    if problem.gpu_slots is not None:
        return [int(slots) for slots in problem.gpu_slots]
    return [problem.num_slots // problem.num_gpus] * problem.num_gpus


def speeds_of_gpus(problem: Problem) -> list[Fraction]:
    """The exact speed of each GPU."""
    if problem.gpu_speed is None:
        return [Fraction(1)] * problem.num_gpus
    return [Fraction(float(speed)) for speed in problem.gpu_speed]


def all_homes(problem: Problem, layer_idx: int = 0) -> Iterator[list[int]]:
    """Every choice of home nodes, a node for each expert."""
    rules = problem.topology
    if rules.homes is not None:
        yield rules.homes[layer_idx].tolist()
        return
    if rules.sources is not None:
        yield [0] * problem.num_experts  # nobody asks
        return
    num_nodes, size = problem.num_nodes, -(-problem.num_experts // problem.num_groups)
    nodes = nodes_of_gpus(problem)
    low, high = problem.num_groups // num_nodes, -(-problem.num_groups // num_nodes)
    room = [high] * num_nodes
    if rules.anchored or rules.max_off_home is not None:
        on_node = [0] * num_nodes
        for node, slots in zip(nodes, slots_of_gpus(problem), strict=True):
            on_node[node] += slots
        room = [min(high, slots // size) for slots in on_node]
    for choice in product(range(num_nodes), repeat=problem.num_groups):
        held = [choice.count(n) for n in range(num_nodes)]
        if all(min(low, r) <= h <= r for h, r in zip(held, room, strict=True)):
            yield [choice[e // size] for e in range(problem.num_experts)]


def plan_worth(
    problem: Problem, load: list[int], plan: tuple[tuple[int, ...], ...], homes: list[int]
) -> Fraction | None:
    """What a plan is worth with these homes; None where it breaks a rule of the topology."""
    rules, nodes, total = problem.topology, nodes_of_gpus(problem), sum(load)
    placed = [e for gpu in plan for e in gpu]
    on = [nodes[g] for g, gpu in enumerate(plan) for _ in gpu]
    share = [Fraction(w, placed.count(e)) for e, w in enumerate(load)]
    at_home = {e for e, n in zip(placed, on, strict=True) if homes[e] == n}
    if rules.anchored and len(at_home) < len(load):
        return None
    off = Fraction(0)
    if rules.rank_costs is not None or rules.sources is not None:
        gpus = [g for g, gpu in enumerate(plan) for _ in gpu]
        for e, g in zip(placed, gpus, strict=True):
            off += share[e] * assignment_cost(problem, 0, e, homes[e], g)
    else:
        off = sum((share[e] for e, n in zip(placed, on, strict=True) if homes[e] != n), off)
    off = off / total if total else Fraction(0)
    if rules.max_off_home is not None and off > Fraction(str(rules.max_off_home)):
        return None
    speeds = speeds_of_gpus(problem)
    capacity = sum(v for v, n in zip(speeds, slots_of_gpus(problem), strict=True) if n)
    peak = max(sum(share[e] for e in gpu) / v for gpu, v in zip(plan, speeds, strict=True))
    ratio = peak * capacity / total if total else Fraction(1)
    return ratio + Fraction(str(rules.price)) * off


def all_plans(problem: Problem) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Every plan of a layer, the experts of each GPU."""
    fills = []
    for size in slots_of_gpus(problem):
        rows = list(combinations_with_replacement(range(problem.num_experts), size))
        is_apart = problem.colocation == "forbid"
        fills.append([row for row in rows if not is_apart or len(set(row)) == size])
    for plan in product(*fills):
        if len({e for gpu in plan for e in gpu}) == problem.num_experts:
            yield plan


def as_row(problem: Problem, plan: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """A plan as int64 [1, num_slots], -1 where a slot stays empty."""
    per_gpu = problem.num_slots // problem.num_gpus
    return np.array([[e for gpu in plan for e in (*gpu, *[-1] * (per_gpu - len(gpu)))]])


def drawn_plan(problem: Problem) -> np.ndarray:
    """A plan by chance that has every expert, int64 [1, num_slots]; -1 in empty slots."""
    rng = np.random.default_rng(int(problem.load.sum()))
    is_open = problem.is_open
    spare = rng.integers(0, problem.num_experts, int(is_open.sum()) - problem.num_experts)
    placed = np.full((1, problem.num_slots), -1)
    experts = np.concatenate([np.arange(problem.num_experts), spare])
    placed[0, is_open] = rng.permutation(experts)
    return placed
