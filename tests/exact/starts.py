"""Simple plans to start from."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.exact.fewest_moves import held_experts, num_moves
from eplb_opt.exact.formulations import FORMULATIONS, AnyFormulation
from eplb_opt.exact.shared.change import Change
from eplb_opt.exact.shared.loads import plan_value
from eplb_opt.exact.shared.scaling import ScaleLimits
from eplb_opt.search.starts import first_plan

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem


def round_robin(problem: Problem) -> np.ndarray:
    """Experts in turn over the slots of their node; valid, and usually poor; int64 [num_slots].

    A GPU holds consecutive experts, so that none meets itself where it may not.
    """
    num_nodes = problem.num_nodes if problem.is_hierarchical else 1
    nodes = np.arange(problem.num_experts).reshape(num_nodes, -1)
    return np.concatenate([np.resize(node, problem.num_slots // num_nodes) for node in nodes])


def water_filled(problem: Problem) -> np.ndarray:
    """Spare slots to the largest replica, replicas to the lightest GPU; flat; int64 [num_slots]."""
    loads = problem.load[0].tolist()
    counts = [1] * len(loads)
    for _ in range(problem.num_slots - len(loads)):
        counts[max(range(len(loads)), key=lambda e: Fraction(loads[e], counts[e]))] += 1
    sizes = [Fraction(w, c) for w, c in zip(loads, counts, strict=True)]
    gpus: list[list[int]] = [[] for _ in range(problem.num_gpus)]
    for expert in sorted(range(len(loads)), key=lambda e: -sizes[e]):
        for _ in range(counts[expert]):
            free = [gpu for gpu in gpus if len(gpu) < problem.slots_per_gpu]
            min(free, key=lambda gpu: sum(sizes[e] for e in gpu)).append(expert)
    return np.array(gpus).ravel()


def simple_start(problem: Problem) -> np.ndarray:
    """A valid plan, good where that is easy; int64 [num_slots]."""
    if problem.is_hierarchical or problem.colocation == "forbid":
        return round_robin(problem)
    return water_filled(problem)


def model_with_its_start(problem: Problem) -> tuple[AnyFormulation, Fraction, int] | None:
    """The model of a layer that allows no moves from its start, which is checked to be a solution.

    Returns
    -------
    The model, the value of the start, and its units of the model's objective; None without load.
    """
    functions = FORMULATIONS[problem.dispatch]
    start = first_plan(problem)[0]
    upper = plan_value(problem, start)
    choices = functions.list_choices(problem, upper)
    if not choices.loads.each:
        return None
    change = Change(held_experts(problem, start), max_moves=0)
    f = functions.formulate(choices, Fraction(0), ScaleLimits(load=2**30), change)
    values = functions.to_values(f, start)
    for rule in functions.rules:
        assert rule(f).hold(values), rule.__name__
    assert (values <= f.column_upper).all()
    assert (values >= f.column_lower).all()
    back = functions.to_plan(f, values)
    assert plan_value(problem, back) == upper
    assert num_moves(problem, change.held, back) == 0
    columns, coefficients = f.minimised
    return f, upper, int(np.dot(values[columns], coefficients))
