"""Trying everything agrees with the tests' own oracle, which shares no code with it."""

import numpy as np
import pytest

from eplb_opt import Problem, ProblemError
from eplb_opt.bench import brute_force
from eplb_opt.bench.attack import random_case
from tests import oracle, sender_oracle

MOST = 1500


def small_cases(kind, num):
    found = []
    for seed in range(10**4):
        case = random_case(np.random.default_rng((seed, 5)), kind)
        if brute_force.num_tried(case) <= MOST:
            found.append(case)
        if len(found) == num:
            break
    return found


def best(case):
    return min((brute_force.worth(case, p) for p in brute_force.placements(case)), default=None)


@pytest.mark.parametrize("kind", ["plain", "nodes"])
def test_plain_layers_and_nodes(kind):
    for case in small_cases(kind, 20):
        try:
            problem = Problem(**case.arguments())
        except ProblemError:
            assert best(case) is None
            continue
        assert [best(case)] == oracle.optimum(problem)


def test_gpus_that_differ():
    for case in small_cases("rules", 30):
        try:
            problem = Problem(**case.arguments())
        except ProblemError:
            assert best(case) is None
            continue
        assert [best(case)] == oracle.ruled_optimum(problem)


def test_scenarios():
    for case in small_cases("scenarios", 20):
        try:
            problem = Problem(**case.arguments())
        except ProblemError:
            continue
        assert [best(case)] == oracle.scenario_optimum(problem)


def test_optimal_dispatch():
    for case in small_cases("dispatch", 20):
        try:
            problem = Problem(**case.arguments())
        except ProblemError:
            continue
        assert best(case) == oracle.free_optimum(problem)


def test_dispatch_by_senders():
    for case in small_cases("senders", 25):
        try:
            problem = Problem(**case.arguments())
        except ProblemError:
            continue
        if case.has_scenarios:
            continue
        for placement in list(brute_force.placements(case))[::7]:
            size = case.slots_per_gpu
            row = [e for held in placement for e in [*held, *[-1] * (size - len(held))]]
            layer = sender_oracle.targets(problem, [row])[0]
            loads = sender_oracle.gpu_loads(problem, problem.load[0].tolist(), layer)
            assert brute_force.worth(case, placement) == max(loads)


def test_every_rule_is_broken_by_some_placement():
    seen = set()
    for seed in range(400):
        case = random_case(np.random.default_rng(seed), "all" if seed % 2 else "nodes")
        rng = np.random.default_rng(seed)
        held = tuple(
            tuple(sorted(rng.integers(0, case.num_experts, slots).tolist()))
            for slots in case.open_slots
        )
        seen.add(brute_force.offence(case, held))
    assert {None, "every expert", "apart", "pinned", "forbidden", "spread", "groups"} <= seen


def test_moves_are_slots_whose_expert_is_new_on_its_gpu():
    assert brute_force.moves(((0, 1), (2,)), ((0, 2), (2,))) == 1
    assert brute_force.moves(((0, 1), (2,)), ((0, 0), (2,))) == 0
