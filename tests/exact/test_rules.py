"""Each rule permits what it should and forbids what it should."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from eplb_opt.exact.counts import rules
from eplb_opt.exact.counts.formulation import (
    CountFormulation,
    formulate,
    list_choices,
)
from eplb_opt.exact.counts.values import to_plan, to_values
from eplb_opt.exact.fewest_moves import held_experts
from eplb_opt.exact.shared.change import Change
from eplb_opt.exact.shared.formulation import LARGEST_LOAD
from eplb_opt.exact.shared.scaling import ScaleLimits
from eplb_opt.placement import scoring
from eplb_opt.problem.problem import Problem
from tests.exact.instances import TINY, WORKED, random_tiny
from tests.exact.starts import round_robin

LIMITS = ScaleLimits(load=2**30)
FLAT = Problem([[8, 6, 4, 2]], 6, 3)
NODES = Problem([[8, 6, 4, 2]], 8, 4, num_nodes=2, num_groups=4)
NO_COLOCATION = Problem([[8, 6, 4, 2]], 6, 3, colocation="forbid")


TIED = Problem([[8, 6, 4, 2]], 6, 3, pinned=[(3, 2)], forbidden=[(0, 2)])
SPREAD = Problem([[8, 6, 4]], 8, 4, spread="gpu")
PLANS = {TIED: [0, 1, 2, 3, 1, 3], SPREAD: [0, 1, 1, 2, 2, 0, 0, 1]}


def model_of(problem: Problem, start: np.ndarray, change: Change | None = None) -> CountFormulation:
    upper = scoring.largest_gpu_loads(problem.load, start[None, :], problem.num_gpus)[0]
    return formulate(list_choices(problem, upper), Fraction(0), LIMITS, change)


def start_of(problem: Problem) -> np.ndarray:
    return np.array(PLANS[problem]) if problem in PLANS else round_robin(problem)


def holding(problem: Problem, start: np.ndarray) -> Change:
    """Nothing may move, and no plan be worse than the start."""
    held = held_experts(problem, start)
    value = scoring.largest_gpu_loads(problem.load, start[None, :], problem.num_gpus)[0]
    return Change(held, max_moves=0, limit=value)


def column(f: CountFormulation, expert: int, count: int, gpu: int) -> int:
    choice = np.flatnonzero((f.expert == expert) & (f.count == count))
    return int(f.placed[choice[0], gpu])


def moved(f: CountFormulation, values: np.ndarray, change: dict[int, int]) -> np.ndarray:
    values = values.copy()
    for at, by in change.items():
        values[at] += by
    return values


def two_counts(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    return moved(f, values, {int(f.chosen[values[f.chosen] == 0][0]): 1})


def replica_too_many(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    return moved(f, values, {int(f.placed.ravel()[0]): 1})


def replica_on_another_gpu(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    choice, gpu = np.argwhere(values[f.placed] > 0)[0]
    other = (gpu + 1) % f.problem.num_gpus
    return moved(f, values, {int(f.placed[choice, gpu]): -1, int(f.placed[choice, other]): 1})


def smaller_t(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    return moved(f, values, {LARGEST_LOAD: -1})


def replica_beside_its_twin(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    choice = np.flatnonzero(f.count[values[f.chosen] > 0] > 1)[0]
    choice = np.flatnonzero(values[f.chosen] > 0)[choice]
    here, there = np.flatnonzero(values[f.placed[choice]])[:2]
    return moved(f, values, {int(f.placed[choice, here]): 1, int(f.placed[choice, there]): -1})


def group_on_two_nodes(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    return moved(
        f, values, {int(f.group_on_node.ravel()[values[f.group_on_node.ravel()] == 0][0]): 1}
    )


def replica_on_another_node(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    choice, gpu = np.argwhere(values[f.placed] > 0)[0]
    other = (gpu + f.problem.gpus_per_node) % f.problem.num_gpus
    return moved(f, values, {int(f.placed[choice, gpu]): -1, int(f.placed[choice, other]): 1})


def gpus_reversed(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[f.placed] = values[f.placed[:, ::-1]]
    return values


def nodes_reversed(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[f.group_on_node] = values[f.group_on_node[:, ::-1]]
    return values


def without_the_pinned(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    return moved(f, values, {column(f, 3, 2, 2): -1, column(f, 3, 2, 1): 1})


def with_the_forbidden(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    return moved(f, values, {column(f, 0, 1, 0): -1, column(f, 0, 1, 2): 1})


def both_on_one_gpu(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    choice = np.flatnonzero(values[f.chosen] * (f.count == 2))[0]
    here, there = np.flatnonzero(values[f.placed[choice]])[:2]
    return moved(f, values, {int(f.placed[choice, here]): 1, int(f.placed[choice, there]): -1})


def larger_t(f: CountFormulation, values: np.ndarray) -> np.ndarray:
    return moved(f, values, {LARGEST_LOAD: 1})


Breakage = Callable[[CountFormulation, np.ndarray], np.ndarray]
BREAKAGES: dict[str, tuple[rules.Rule, Problem, Breakage]] = {
    "one count": (rules.one_count_per_expert, FLAT, two_counts),
    "count matched": (rules.replicas_match_the_count, FLAT, replica_too_many),
    "gpus full": (rules.gpus_are_full, FLAT, replica_on_another_gpu),
    "slots filled": (rules.counts_fill_the_slots, FLAT, two_counts),
    "loads below T": (rules.no_gpu_exceeds_t, FLAT, smaller_t),
    "no colocation": (rules.replicas_are_not_colocated, NO_COLOCATION, replica_beside_its_twin),
    "one node": (rules.groups_have_one_node, NODES, group_on_two_nodes),
    "equal nodes": (rules.nodes_take_equally_many_groups, NODES, group_on_two_nodes),
    "groups followed": (rules.replicas_follow_their_group, NODES, replica_on_another_node),
    "pinned there": (rules.pinned_experts_stand_there, TIED, without_the_pinned),
    "forbidden there": (rules.forbidden_experts_stand_elsewhere, TIED, with_the_forbidden),
    "spread": (rules.replicas_are_spread, SPREAD, both_on_one_gpu),
    "few moves": (rules.few_slots_change, FLAT, replica_on_another_gpu),
    "value within": (rules.value_stays_within, FLAT, larger_t),
    "gpus in order": (rules.gpus_stand_in_order, FLAT, gpus_reversed),
    "nodes in order": (rules.nodes_stand_in_order, NODES, nodes_reversed),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_rule_permits_a_plan_and_forbids_its_breakage(name: str) -> None:
    rule, problem, breakage = BREAKAGES[name]
    start = start_of(problem)
    compares = rule in (rules.few_slots_change, rules.value_stays_within)
    f = model_of(problem, start, holding(problem, start) if compares else None)
    values = to_values(f, start)
    assert rule(f).hold(values)
    assert not rule(f).hold(breakage(f, values))


def test_every_rule_has_its_breakage() -> None:
    assert {rule for rule, _, _ in BREAKAGES.values()} == set(rules.RULES)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_rule_agrees_with_every_start(rule: rules.Rule) -> None:
    problems = [*TINY.values(), *(p for p, _ in WORKED.values()), *map(random_tiny, range(60))]
    for problem in problems:
        if not problem.load.any():
            continue
        start = round_robin(problem)
        f = model_of(problem, start)
        assert rule(f).hold(to_values(f, start))


def test_colocation_and_nodes_add_rows_only_where_asked() -> None:
    f = model_of(FLAT, round_robin(FLAT))
    assert rules.replicas_are_not_colocated(f).num_rows == 0
    assert rules.groups_have_one_node(f).num_rows == 0
    assert rules.replicas_follow_their_group(f).num_rows == 0


@pytest.mark.parametrize("seed", range(30))
def test_plan_survives_the_way_into_the_model_and_back(seed: int) -> None:
    problem = random_tiny(seed)
    start = round_robin(problem)
    if not problem.load.any():
        return
    f = model_of(problem, start)
    values = to_values(f, start)
    back = to_plan(f, values)
    assert sorted(back.tolist()) == sorted(start.tolist())
    gpus = {tuple(sorted(gpu)) for gpu in start.reshape(problem.num_gpus, -1).tolist()}
    assert {tuple(sorted(gpu)) for gpu in back.reshape(problem.num_gpus, -1).tolist()} == gpus
    assert values[LARGEST_LOAD] <= f.column_upper[LARGEST_LOAD]
    assert (values <= f.column_upper).all()
    assert (values >= f.column_lower).all()
