"""Work on many layers in parts on several cores."""

import threading

import numpy as np
import pytest

from eplb_opt.core import parts
from eplb_opt.placement import scoring
from eplb_opt.problem.problem import Problem
from eplb_opt.search import fill, starts


def test_parts_come_back_in_their_order_and_leave_nothing_out(monkeypatch):
    monkeypatch.setattr(parts, "cores", lambda: 3)
    assert parts.in_parts(lambda part: list(range(20))[part], 20, 4) == [
        list(range(6)),
        list(range(6, 13)),
        list(range(13, 20)),
    ]
    assert parts.in_parts(lambda part: list(range(7))[part], 7, 4) == [list(range(7))]
    assert parts.in_parts(lambda part: part, 0, 4) == [slice(0, 0)]


def test_little_work_starts_no_thread(monkeypatch):
    monkeypatch.setattr(parts, "cores", lambda: 8)
    assert parts.in_parts(lambda part: threading.current_thread(), 7, 4) == [
        threading.current_thread()
    ]


def test_a_fault_in_a_part_is_raised(monkeypatch):
    monkeypatch.setattr(parts, "cores", lambda: 2)
    with pytest.raises(ZeroDivisionError):
        parts.in_parts(lambda part: 1 // part.start, 8, 4)


def random_problem(rng, **rules):
    experts, gpus = int(rng.integers(6, 8)), 4
    rules |= {"gpu_speed": rng.choice([0.5, 1.0, 1.3], gpus)} if rng.random() < 0.5 else {}
    rules |= {"colocation": str(rng.choice(["allow", "forbid"]))}
    rules |= {"spread": "gpu"} if rng.random() < 0.5 else {}
    load = rng.integers(0, 1000, (int(rng.integers(1, 9)), experts))
    rules |= {"pinned": [(0, 1)], "forbidden": [(1, 0), (1, 3)]} if rng.random() < 0.5 else {}
    return Problem(load, 4 * gpus, gpus, **rules)


def test_plans_and_scores_do_not_depend_on_the_cores_nor_on_the_layers_before(monkeypatch):
    rng = np.random.default_rng(0)
    for name in (scoring, fill):
        monkeypatch.setattr(name, "SLOTS_OF_A_THREAD", 1)
    for _ in range(200):
        problem = random_problem(rng, dispatch="optimal", gpu_slots=[4, 3, 4, 4])
        found = []
        for num_cores in (1, 3):
            monkeypatch.setattr(parts, "cores", lambda num=num_cores: num)
            placed = starts.first_plan(problem)
            found.append((placed.tolist(), scoring.objectives(problem, placed)))
        assert found[0] == found[1]
        alone = [problem.layer(i) for i in range(problem.num_layers)]
        plans = [starts.first_plan(layer)[0].tolist() for layer in alone]
        assert found[0][0] == plans
        levels = [
            scoring.objectives(p, np.array([row]))[0] for p, row in zip(alone, plans, strict=True)
        ]
        assert found[0][1] == levels


def test_the_first_layer_without_a_plan_is_named_whatever_part_it_is_in(monkeypatch):
    monkeypatch.setattr(fill, "SLOTS_OF_A_THREAD", 1)
    monkeypatch.setattr(parts, "cores", lambda: 3)
    bars = [(layer, 0, gpu) for layer in (1, 4) for gpu in range(2)]
    problem = Problem(np.ones((6, 2)), 2, 2, forbidden=bars)
    with pytest.raises(ValueError, match="layer 1: expert 0 finds no slot"):
        starts.first_plan(problem)
