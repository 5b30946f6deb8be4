"""The exact optimum of tiny problems with a topology and several loads, by trying everything."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from tests.homes_oracle import (
    all_homes,
    all_plans,
    nodes_of_gpus,
    peak_of,
    slots_of_gpus,
    speeds_of_gpus,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eplb_opt.problem.problem import Problem


def scenario_home_optimum(problem: Problem) -> Fraction | None:
    """The least of a layer's objective over all plans and homes; None without a plan."""
    homes = list(all_homes(problem))
    worths = (
        worth
        for plan in all_plans(problem)
        for home in homes
        if (worth := scenario_plan_worth(problem, plan, home)) is not None
    )
    return min(worths, default=None)


def scenario_plan_worth(
    problem: Problem, plan: tuple[tuple[int, ...], ...], homes: list[int]
) -> Fraction | None:
    """What a plan is worth with these homes; None where it breaks a rule of the topology."""
    rules, experts = problem.topology, range(problem.num_experts)
    ratios, part = _of_plan(problem, plan)
    if rules.anchored and not all(part[e].get(homes[e]) for e in experts):
        return None
    away = []
    for row in problem.load[:, 0].tolist():
        off = sum((row[e] * (1 - part[e].get(homes[e], 0)) for e in experts), Fraction(0))
        away.append(off / sum(row) if any(row) else Fraction(0))
    most = Fraction(1 if rules.max_off_home is None else str(rules.max_off_home))
    if _together(problem, away) > most:
        return None
    price = Fraction(str(rules.price))
    return _together(problem, [r + price * off for r, off in zip(ratios, away, strict=True)])


@lru_cache(maxsize=1)
def _of_plan(
    problem: Problem, plan: tuple[tuple[int, ...], ...]
) -> tuple[list[Fraction], list[dict[int, Fraction]]]:
    """What homes do not change: each load's ratio, and each expert's part on the nodes."""
    nodes, speeds = nodes_of_gpus(problem), speeds_of_gpus(problem)
    placed = [e for gpu in plan for e in gpu]
    part: list[dict[int, Fraction]] = [{} for _ in range(problem.num_experts)]
    for g, gpu in enumerate(plan):
        for e in gpu:
            part[e][nodes[g]] = part[e].get(nodes[g], 0) + Fraction(1, placed.count(e))
    capacity = sum(v for v, n in zip(speeds, slots_of_gpus(problem), strict=True) if n)
    loads = problem.load[:, 0].tolist()
    peaks = [peak_of(problem, row, plan) for row in loads]
    pairs = zip(peaks, loads, strict=True)
    return [p * capacity / sum(row) if any(row) else Fraction(1) for p, row in pairs], part


def _together(problem: Problem, values: Iterable[Fraction]) -> Fraction:
    weights = [Fraction(w) for w in problem.scenario_weights.tolist()]
    if problem.objective == "max":
        return max(v for v, w in zip(values, weights, strict=True) if w)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
