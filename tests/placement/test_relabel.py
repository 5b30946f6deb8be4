"""The same plan under other names of its GPUs."""

from itertools import permutations

import numpy as np
import pytest

from eplb_opt import Plan
from eplb_opt.placement.moves import moved_slots
from eplb_opt.placement.relabel import best_assignment, relabelled, slots_kept


def random_rows(rng, num_gpus, slots_per_gpu, num_experts):
    return rng.integers(0, num_experts, (2, num_gpus * slots_per_gpu))


def moves(current, new, num_gpus):
    return int(moved_slots(Plan(current[None], num_gpus), Plan(new[None], num_gpus))[0])


def test_an_assignment_is_worth_as_much_as_any():
    rng = np.random.default_rng(0)
    for _ in range(200):
        num = int(rng.integers(1, 6))
        worth = rng.integers(0, 5, (num, num))
        columns = best_assignment(worth)
        assert sorted(columns.tolist()) == list(range(num))
        best = max(worth[range(num), list(p)].sum() for p in permutations(range(num)))
        assert worth[np.arange(num), columns].sum() == best


def test_an_assignment_agrees_with_scipy_on_large_ones():
    scipy = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(1)
    worth = rng.integers(0, 9, (60, 60))
    rows, columns = scipy.linear_sum_assignment(worth, maximize=True)
    mine = best_assignment(worth)
    assert worth[np.arange(60), mine].sum() == worth[rows, columns].sum()


@pytest.mark.parametrize("num_nodes", [1, 2])
def test_no_other_names_of_the_gpus_move_less(num_nodes):
    rng = np.random.default_rng(num_nodes)
    size = 4 // num_nodes
    orders = [
        [n * size + g for n, inner in zip(nodes, inners, strict=True) for g in inner]
        for nodes in permutations(range(num_nodes))
        for inners in np.ndindex(*[len(list(permutations(range(size))))] * num_nodes)
        for inners in [[list(permutations(range(size)))[i] for i in inners]]
    ]
    for _ in range(40):
        current, new = random_rows(rng, 4, 3, 7)
        mine = relabelled(current, new, 4, num_nodes)
        gpus = new.reshape(4, 3)
        least = min(moves(current, gpus[order].ravel(), 4) for order in orders)
        assert moves(current, mine, 4) == least
        # The same GPUs, each with the same experts.
        as_sets = sorted(sorted(gpu) for gpu in mine.reshape(4, 3).tolist())
        assert as_sets == sorted(sorted(gpu) for gpu in gpus.tolist())


def test_what_stays_on_a_gpu_keeps_its_slot():
    current = np.array([3, 1, 2, 0, 4, 5])
    new = np.array([2, 0, 3, 4, 1, 0])
    assert slots_kept(current, new, 2).tolist() == [3, 0, 2, 0, 4, 1]


def test_a_renamed_plan_is_given_back_unchanged():
    rng = np.random.default_rng(3)
    current = rng.permutation(24)
    shuffled = current.reshape(6, 4)[rng.permutation(6)][:, ::-1].ravel()
    assert (relabelled(current, shuffled, 6) == current).all()


def test_empty_slots_hold_nothing():
    current, new = np.array([-1, 0, 1, 2]), np.array([1, 2, 0, 0])
    assert relabelled(current, new, 2).tolist() == [0, 0, 1, 2]
