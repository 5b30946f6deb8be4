"""Laws that look at slots say what whole tables of experts and GPUs say."""

import numpy as np
import pytest

from eplb_opt.placement import checker
from eplb_opt.problem.problem import Problem

LAYERS, EXPERTS, GPUS, SLOTS = 2, 5, 4, 12


def stands(placed):
    """Which expert is on which GPU, bool [LAYERS, EXPERTS, GPUS], one slot at a time."""
    table = np.zeros((LAYERS, EXPERTS, GPUS), dtype=bool)
    for layer, slot in np.ndindex(placed.shape):
        if placed[layer, slot] >= 0:
            table[layer, placed[layer, slot], slot // (SLOTS // GPUS)] = True
    return table


def random_case(rng):
    ties = rng.random((LAYERS, EXPERTS, GPUS)) < rng.choice([0.02, 0.1])
    pinned = ties & (rng.random(ties.shape) < 0.5)
    problem = Problem(
        np.ones((LAYERS, EXPERTS)),
        SLOTS,
        GPUS,
        num_nodes=2,
        pinned=pinned if pinned.any(axis=(1, 2)).any() and pinned.sum(axis=1).max() <= 2 else None,
        forbidden=ties & ~pinned,
        spread=str(rng.choice(["gpu", "node"])),
        gpu_slots=[3, 2, 3, 3],
    )
    placed = rng.integers(0, EXPERTS, (LAYERS, SLOTS))
    placed[:, ~problem.is_open] = -1
    return problem, placed


def test_ties_and_spread_are_judged_as_by_the_table():
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(1500):
        problem, placed = random_case(rng)
        table = stands(placed)
        units = table if problem.spread == "gpu" else table.reshape(LAYERS, EXPERTS, 2, 2).any(3)
        is_there = table.any(axis=2)
        spread = ((units.sum(axis=2) > 1) | ~is_there).all()
        pinned = problem.pinned is None or not (problem.pinned & ~table).any()
        allowed = problem.forbidden is None or not (problem.forbidden & table).any()
        assert (checker.replicas_are_spread(problem, placed) is None) == spread
        assert (checker.pinned_experts_stand_there(problem, placed) is None) == pinned
        assert (checker.forbidden_experts_stand_elsewhere(problem, placed) is None) == allowed
        verdicts.append((spread, pinned, allowed))
    for each in zip(*verdicts, strict=True):
        assert 10 < sum(each) < len(verdicts) - 10


@pytest.mark.parametrize(
    ("law", "rules", "placed", "words"),
    [
        (
            checker.pinned_experts_stand_there,
            {"pinned": [(2, 1)]},
            [0, 1, 2, 2, 0, 1, 0, 1],
            "layer 0, GPU 1: expert 2 is pinned there",
        ),
        (
            checker.replicas_are_spread,
            {"spread": "gpu"},
            [0, 0, 1, 2, 2, 1, 1, 2],
            "expert 0 stands on gpu 0 alone",
        ),
        (
            checker.forbidden_experts_stand_elsewhere,
            {"forbidden": [(1, 0)]},
            [0, 0, 2, 1, 2, 1, 1, 2],
            "layer 0, GPU 0: expert 1 is forbidden there",
        ),
    ],
)
def test_the_first_offence_is_named(law, rules, placed, words):
    problem = Problem([[1, 1, 1]], 8, 2, **rules)
    assert words in law(problem, np.array([placed]))
