"""The exact optimum of tiny problems by trying everything; shares no code with the library."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import combinations, combinations_with_replacement, product
from math import lcm
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.problem.problem import Problem


def optimum(problem: Problem) -> list[Fraction]:
    """The least possible largest GPU load of every layer, in the problem's integer units."""
    return [_layer_optimum(problem, [int(w) for w in row]) for row in problem.load]


def scenario_optimum(problem: Problem) -> list[Fraction]:
    """The least possible objective of every layer over all plans, with scenarios."""
    assert problem.has_scenarios
    found = []
    for layer_idx in range(problem.num_layers):
        loads = problem.load[:, layer_idx].tolist()
        plans = _all_plans(problem)
        found.append(min(_scenario_worth(problem, loads, plan) for plan in plans))
    return found


def _all_plans(problem: Problem) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Every way to fill the GPUs that obeys the rules, as sorted tuples of experts."""
    size = problem.num_slots // problem.num_gpus
    node = problem.num_gpus // (problem.num_nodes if problem.is_hierarchical else 1)
    per_group = problem.num_experts // problem.num_groups
    experts = range(problem.num_experts)
    fills = list(combinations_with_replacement(experts, size))
    if problem.colocation == "forbid":
        fills = [fill for fill in fills if len(set(fill)) == size]

    def is_valid(plan: tuple[tuple[int, ...], ...]) -> bool:
        if {e for gpu in plan for e in gpu} != set(experts):
            return False
        homes = {(e // per_group, g // node) for g, gpu in enumerate(plan) for e in gpu}
        if not problem.is_hierarchical:
            return True
        held = [sum(n == node_idx for _, n in homes) for node_idx in range(problem.num_nodes)]
        return len(homes) == problem.num_groups and len(set(held)) == 1

    flat = not problem.is_hierarchical
    # Without nodes the GPUs are alike, so one order of them stands for all.
    tried = (
        combinations_with_replacement(fills, problem.num_gpus)
        if flat
        else product(fills, repeat=problem.num_gpus)
    )
    return (plan for plan in tried if is_valid(plan))


def _scenario_worth(
    problem: Problem, loads: list[list[int]], plan: tuple[tuple[int, ...], ...]
) -> Fraction:
    placed = [e for gpu in plan for e in gpu]
    ratios = []
    for load in loads:
        peak = max(sum(Fraction(load[e], placed.count(e)) for e in gpu) for gpu in plan)
        ratios.append(peak * problem.num_gpus / sum(load) if sum(load) else Fraction(1))
    weights = [Fraction(w) for w in problem.scenario_weights.tolist()]
    if problem.objective == "max":
        return max(r for r, w in zip(ratios, weights, strict=True) if w)
    return sum(r * w for r, w in zip(ratios, weights, strict=True)) / sum(weights)


def ruled_optimum(problem: Problem) -> list[Fraction | None]:
    """The least largest load over speed of every layer where GPUs differ; None without a plan."""
    return [_ruled_layer(problem, layer_idx) for layer_idx in range(problem.num_layers)]


def _ruled_layer(problem: Problem, layer_idx: int) -> Fraction | None:
    load = problem.load[layer_idx].tolist()
    plans = ruled_plans(problem, layer_idx)
    return min((ruled_worth(problem, load, plan) for plan in plans), default=None)


def ruled_plans(problem: Problem, layer_idx: int = 0) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Every flat plan that obeys the rules of the GPUs, as what each of them holds, in order."""
    experts = range(problem.num_experts)

    def may_hold(gpu: int, fill: tuple[int, ...]) -> bool:
        if problem.colocation == "forbid" and len(set(fill)) < len(fill):
            return False
        forbidden, pinned = problem.forbidden, problem.pinned
        if forbidden is not None and any(forbidden[layer_idx, e, gpu] for e in fill):
            return False
        return pinned is None or all(e in fill for e in experts if pinned[layer_idx, e, gpu])

    size = problem.num_gpus // problem.num_nodes if problem.spread == "node" else 1

    def is_spread(plan: tuple[tuple[int, ...], ...], expert: int) -> bool:
        homes = {gpu // size for gpu, fill in enumerate(plan) if expert in fill}
        return len(homes) >= (1 if problem.spread is None else 2)

    fills = [
        [fill for fill in combinations_with_replacement(experts, slots) if may_hold(gpu, fill)]
        for gpu, slots in enumerate(problem.open_slots.tolist())
    ]
    return (plan for plan in product(*fills) if all(is_spread(plan, e) for e in experts))


def ruled_worth(problem: Problem, load: list[int], plan: tuple[tuple[int, ...], ...]) -> Fraction:
    """The largest GPU load over speed."""
    placed = [e for gpu in plan for e in gpu]
    share = [Fraction(w, max(placed.count(e), 1)) for e, w in enumerate(load)]
    return max(
        sum((share[e] for e in gpu), Fraction(0)) / speed
        for gpu, speed in zip(plan, problem.speed, strict=True)
    )


def moves_of(problem: Problem, current: list[int], plan: tuple[tuple[int, ...], ...]) -> int:
    """Slots whose expert the GPU did not hold."""
    size = problem.num_slots // problem.num_gpus
    held = [current[g * size : (g + 1) * size] for g in range(problem.num_gpus)]
    return sum(e not in before for gpu, before in zip(plan, held, strict=True) for e in gpu)


def _layer_optimum(problem: Problem, loads: list[int]) -> Fraction:
    """Over all ways to share the groups out, the heaviest node; over all of these, the lightest."""
    if not problem.is_hierarchical:
        return _flat_optimum(problem, loads, problem.num_gpus)
    size = len(loads) // problem.num_groups
    groups = [loads[i * size : (i + 1) * size] for i in range(problem.num_groups)]
    gpus_per_node = problem.num_gpus // problem.num_nodes

    @cache
    def node_optimum(members: tuple[int, ...]) -> Fraction:
        on_node = [w for member in members for w in groups[member]]
        return _flat_optimum(problem, on_node, gpus_per_node)

    shares = _partitions(tuple(range(len(groups))), len(groups) // problem.num_nodes)
    return min(max(node_optimum(members) for members in share) for share in shares)


def _partitions(items: tuple[int, ...], size: int) -> Iterator[list[tuple[int, ...]]]:
    """All ways to split the items into sets of that size."""
    if not items:
        yield []
        return
    for others in combinations(items[1:], size - 1):
        taken = (items[0], *others)
        rest = tuple(item for item in items if item not in taken)
        for share in _partitions(rest, size):
            yield [taken, *share]


def _flat_optimum(problem: Problem, loads: list[int], num_gpus: int) -> Fraction:
    """Over all counts that add up to the slots, the best placement."""
    slots_per_gpu = problem.num_slots // problem.num_gpus
    apart = problem.colocation == "forbid"
    best: Fraction | None = None
    for counts in _compositions(len(loads), slots_per_gpu * num_gpus):
        if apart and max(counts) > num_gpus:
            continue
        unit = lcm(*counts)
        sizes = [w * (unit // c) for w, c in zip(loads, counts, strict=True)]
        limit = None if best is None else best * unit
        value = _best_placement(sizes, counts, num_gpus, slots_per_gpu, apart, limit)
        if value is not None:
            best = Fraction(value, unit)
    assert best is not None, "no plan fits the problem"
    return best


def _compositions(parts: int, total: int) -> Iterator[tuple[int, ...]]:
    """All tuples of `parts` positive integers with that sum."""
    if parts == 1:
        yield (total,)
        return
    for first in range(1, total - parts + 2):
        for rest in _compositions(parts - 1, total - first):
            yield (first, *rest)


def _best_placement(
    sizes: list[int],
    counts: tuple[int, ...],
    num_gpus: int,
    slots_per_gpu: int,
    apart: bool,
    limit: Fraction | None,
) -> int | None:
    """The least largest GPU load for given replicas; None when none is below the limit.

    Replicas are placed one by one, the heaviest first; equal GPUs are tried once.
    """
    replicas = sorted(
        (e for e, count in enumerate(counts) for _ in range(count)), key=lambda e: (-sizes[e], e)
    )
    best: list[Fraction | int | None] = [limit]

    def place(next_idx: int, gpus: tuple[tuple[int, ...], ...]) -> None:
        if next_idx == len(replicas):
            best[0] = max(sum(sizes[e] for e in gpu) for gpu in gpus)
            return
        expert = replicas[next_idx]
        for gpu in dict.fromkeys(gpus):
            if len(gpu) == slots_per_gpu or (apart and expert in gpu):
                continue
            if best[0] is not None and sum(sizes[e] for e in gpu) + sizes[expert] >= best[0]:
                continue
            others = list(gpus)
            others.remove(gpu)
            place(next_idx + 1, tuple(sorted([*others, (*gpu, expert)])))

    place(0, ((),) * num_gpus)
    return None if best[0] == limit else int(best[0])  # type: ignore[arg-type]


def free_optimum(problem: Problem) -> Fraction | None:
    """The least objective of one layer over all plans, tokens split freely; None without a plan.

    A plan's largest GPU load is what its densest set of GPUs makes of it.
    """
    rows = problem.load.reshape(-1, problem.num_experts).tolist()
    plans = ruled_plans(problem) if problem.has_gpu_rules else _all_plans(problem)
    worths = (_free_worth(problem, rows, plan) for plan in plans)
    return min(worths, default=None)


def _free_worth(
    problem: Problem, rows: list[list[int]], plan: tuple[tuple[int, ...], ...]
) -> Fraction:
    hosts = [{g for g, gpu in enumerate(plan) if e in gpu} for e in range(problem.num_experts)]
    gpus = range(problem.num_gpus)
    sets = [set(part) for size in gpus for part in combinations(gpus, size + 1)]

    def peak(load: list[int]) -> Fraction:
        return max(
            sum(w for w, on in zip(load, hosts, strict=True) if on <= part)
            / sum((problem.speed[g] for g in part), Fraction(0))
            for part in sets
        )

    if not problem.has_scenarios:
        return peak(rows[0])
    ratios = [
        peak(load) * problem.num_gpus / sum(load) if sum(load) else Fraction(1) for load in rows
    ]
    if problem.objective == "max":
        return max(r for r, s in zip(ratios, problem.shares, strict=True) if s)
    return sum((r * s for r, s in zip(ratios, problem.shares, strict=True)), Fraction(0))


def cost_optimum(problem: Problem) -> list[int]:
    """The least possible largest GPU cost of every layer, in units of the costs."""
    found = []
    for layer_idx in range(problem.num_layers):
        cost = problem.replica_cost[layer_idx].tolist()
        plans = _all_plans(problem) if problem.is_hierarchical else ruled_plans(problem, layer_idx)
        worths = (_cost_worth(problem, cost, plan) for plan in plans)
        found.append(min(worth for worth in worths if worth is not None))
    return found


def _cost_worth(
    problem: Problem, cost: list[list[int]], plan: tuple[tuple[int, ...], ...]
) -> int | None:
    """The largest sum of a GPU; None where an expert is nowhere."""
    placed = [e for gpu in plan for e in gpu]
    count = [placed.count(e) for e in range(problem.num_experts)]
    if not all(count):
        return None
    return max(sum(cost[e][count[e]] for e in gpu) for gpu in plan)
