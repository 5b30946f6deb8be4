"""Who sends where, GPU by GPU, and all plans of tiny problems."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from eplb_opt.errors import PlanError
from eplb_opt.placement import checker
from eplb_opt.problem.problem import Problem
from tests.homes_oracle import nodes_of_gpus

if TYPE_CHECKING:
    from collections.abc import Iterator


def targets(problem: Problem, placed: list[list[int]], seed: int = 42) -> list[list[list[int]]]:
    """The slot to which each GPU that sends sends each expert's tokens, [layer][expert][sender]."""
    draw = random.Random(seed)
    found = []
    for row in placed:
        layer = []
        for expert in range(problem.num_experts):
            copies = [slot for slot, held in enumerate(row) if held == expert]
            if problem.dispatch == "rank_modulo":
                layer.append([copies[i % len(copies)] for i in range(len(senders_of(problem)))])
                continue
            chosen = [at_hand(problem, copies, gpu) for gpu in senders_of(problem)]
            left = [i for i, slot in enumerate(chosen) if slot is None]
            rounds, rest = divmod(len(left), len(copies))
            hand = copies * rounds + draw.sample(copies, rest)
            draw.shuffle(hand)
            for i, slot in zip(left, hand, strict=True):
                chosen[i] = slot
            layer.append(chosen)
        found.append(layer)
    return found


def senders_of(problem: Problem) -> list[int]:
    """The GPUs that have a slot."""
    return [gpu for gpu, slots in enumerate(problem.open_slots.tolist()) if slots]


def at_hand(problem: Problem, copies: list[int], gpu: int) -> int | None:
    """The replica that a GPU need not be dealt."""
    size = problem.num_slots // problem.num_gpus
    node = nodes_of(problem)
    if len(copies) == 1:
        return copies[0]
    own = [slot for slot in copies if slot // size == gpu]
    if own:
        return own[0]
    on_node = [slot for slot in copies if node[slot // size] == node[gpu]]
    return on_node[0] if on_node and len(on_node) < len(copies) else None


def nodes_of(problem: Problem) -> list[int]:
    """The node of each GPU: equal ones, or as a topology has it."""
    if problem.topology is not None:
        return nodes_of_gpus(problem)
    return [gpu // (problem.num_gpus // problem.num_nodes) for gpu in range(problem.num_gpus)]


def gpu_loads(problem: Problem, load: list[int], layer: list[list[int]]) -> list[Fraction]:
    """The exact load of each GPU, over its speed, from the targets of a layer."""
    size = problem.num_slots // problem.num_gpus
    gpus = [Fraction(0)] * problem.num_gpus
    for weight, slots in zip(load, layer, strict=True):
        for slot in slots:
            gpus[slot // size] += Fraction(weight, len(slots))
    return [value / speed for value, speed in zip(gpus, problem.speed, strict=True)]


def draws(problem: Problem, row: list[int]) -> Iterator[list[list[int]]]:
    """Senders of each expert's replicas in every way to draw the odd ones, [expert][replica]."""
    ways = []
    for expert in range(problem.num_experts):
        copies = [slot for slot, held in enumerate(row) if held == expert]
        if problem.dispatch == "rank_modulo":
            chosen = [copies[i % len(copies)] for i in range(len(senders_of(problem)))]
        else:
            chosen = [at_hand(problem, copies, gpu) for gpu in senders_of(problem)]
        each, odd = divmod(chosen.count(None), len(copies))
        sure = [chosen.count(slot) + each for slot in copies]
        picks = [pick for pick in product((0, 1), repeat=len(copies)) if sum(pick) == odd]
        ways.append([[s + more for s, more in zip(sure, pick, strict=True)] for pick in picks])
    return (list(way) for way in product(*ways))


def worth_of_draw(
    problem: Problem, load: list[int], row: list[int], way: list[list[int]]
) -> Fraction:
    """The largest GPU load over speed for one way to draw."""
    size, num = problem.num_slots // problem.num_gpus, len(senders_of(problem))
    gpus = [Fraction(0)] * problem.num_gpus
    for expert, sent in enumerate(way):
        copies = [slot for slot, held in enumerate(row) if held == expert]
        for slot, times in zip(copies, sent, strict=True):
            gpus[slot // size] += Fraction(load[expert] * times, num)
    return max(value / speed for value, speed in zip(gpus, problem.speed, strict=True))


@st.composite
def sent_problems(draw, max_plans=4000):
    """One layer under one of the two dispatches, tiny enough to look at every plan."""
    sizes = [(2, 1, 1), (3, 1, 1), (4, 1, 1), (2, 2, 1), (4, 2, 1), (2, 2, 2), (4, 2, 2)]
    num_gpus, num_nodes, num_groups = draw(st.sampled_from(sizes))
    size = draw(st.integers(1, 2 if num_gpus > 2 else 3))
    num_experts = num_groups * draw(st.integers(1, 4 // num_groups))
    num_experts = min(num_experts, num_gpus * size)
    colocation = draw(st.sampled_from(["allow", "forbid"]))
    if size > num_experts // (num_groups if num_groups > 1 else 1):
        colocation = "allow"
    load = draw(st.lists(st.integers(0, 30), min_size=num_experts, max_size=num_experts))
    return Problem(
        [load],
        num_gpus * size,
        num_gpus,
        num_nodes,
        num_groups,
        colocation,
        gpu_speed=draw(st.sampled_from([None, None, [1] * (num_gpus - 1) + [0.5]]))
        if num_groups == 1
        else None,
        dispatch=draw(st.sampled_from(["nearest", "rank_modulo"])),
    )


def every_plan(problem: Problem) -> np.ndarray:
    """All plans of one layer, but for the order of slots on a GPU, int64 [num, num_slots]."""
    size = problem.num_slots // problem.num_gpus
    fills = list(combinations_with_replacement(range(problem.num_experts), size))
    of_gpus = [fills if slots else [(-1,) * size] for slots in problem.open_slots.tolist()]
    experts = set(range(problem.num_experts))
    rows = []
    for gpus in product(*of_gpus):
        row = [expert for fill in gpus for expert in fill]
        if set(row) - {-1} != experts:
            continue
        try:
            checker.check(problem, np.array([row]))
        except PlanError:
            continue
        rows.append(row)
    return np.array(rows)


def least_worth(problem: Problem) -> Fraction:
    """The least that any plan of a layer is worth in any draw, plan by plan and draw by draw."""
    load = problem.load[0].tolist()
    return min(
        worth_of_draw(problem, load, row, way)
        for row in every_plan(problem).tolist()
        for way in draws(problem, row)
    )
