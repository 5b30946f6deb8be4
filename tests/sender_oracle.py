"""Who sends where, GPU by GPU; shares no code with the library."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.problem.problem import Problem


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
    node_size = problem.num_gpus // problem.num_nodes
    if len(copies) == 1:
        return copies[0]
    own = [slot for slot in copies if slot // size == gpu]
    if own:
        return own[0]
    on_node = [slot for slot in copies if slot // size // node_size == gpu // node_size]
    return on_node[0] if on_node and len(on_node) < len(copies) else None


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
