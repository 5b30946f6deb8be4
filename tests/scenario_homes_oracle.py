"""The exact optimum of tiny problems with a topology and several loads, by trying everything."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from tests.homes_oracle import (
    all_homes,
    all_plans,
    nodes_of_gpus,
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
    rules, nodes = problem.topology, nodes_of_gpus(problem)
    placed = [e for gpu in plan for e in gpu]
    on = [nodes[g] for g, gpu in enumerate(plan) for _ in gpu]
    at_home = {e for e, n in zip(placed, on, strict=True) if homes[e] == n}
    if rules.anchored and len(at_home) < problem.num_experts:
        return None
    values, away, speeds = [], [], speeds_of_gpus(problem)
    capacity = sum(v for v, n in zip(speeds, slots_of_gpus(problem), strict=True) if n)
    for row in problem.load[:, 0].tolist():
        total = sum(row)
        share = [Fraction(w, placed.count(e)) for e, w in enumerate(row)]
        off = sum((share[e] for e, n in zip(placed, on, strict=True) if homes[e] != n), Fraction(0))
        peak = max(sum(share[e] for e in gpu) / v for gpu, v in zip(plan, speeds, strict=True))
        away.append(off / total if total else Fraction(0))
        ratio = peak * capacity / total if total else Fraction(1)
        values.append(ratio + Fraction(str(rules.price)) * away[-1])
    most = Fraction(1 if rules.max_off_home is None else str(rules.max_off_home))
    if _together(problem, away) > most:
        return None
    return _together(problem, values)


def _together(problem: Problem, values: Iterable[Fraction]) -> Fraction:
    weights = [Fraction(w) for w in problem.scenario_weights.tolist()]
    if problem.objective == "max":
        return max(v for v, w in zip(values, weights, strict=True) if w)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
