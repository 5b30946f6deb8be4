"""Moves from a plan in force in the core's annealing of unequal parts."""

import math

import numpy as np
import pytest

from eplb_opt.core import annealing
from tests.core.test_shares import RULES, Shares


def counts(layer, across=1):
    """What an expert counts on a GPU; three on another node."""
    found = np.full((layer.num_gpus, layer.num_experts), across)
    for slot, expert in enumerate(layer.slots):
        found[layer.node == layer.node[layer.gpu[slot]], expert] = 1
    found[layer.gpu, layer.slots] = 0
    return found


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("across", [1, 3])
def test_the_best_plan_with_each_count_of_moves_is_kept(rule, across):
    layer = Shares(1, rule)
    moves, last = counts(layer, across), 2 * layer.num_slots
    search = layer.search(moves=moves, num_kept=last + 1)
    for price in (0.3, 0.02, 0.0):
        search.restart(layer.slots)
        search.anneal(6, 0.02, 300, 40, math.inf, price)
    found = np.flatnonzero(np.isfinite(search.values()))
    assert found[0] == 0
    assert len(found) > 4
    for kept in found.tolist():
        placed = search.plan(kept)
        assert min(moves[layer.gpu, placed].sum(), last) == kept
        assert search.values()[kept] == pytest.approx(layer.worth(placed, False), rel=1e-9)
    assert layer.worth(search.plan(), False) == pytest.approx(search.best)
    assert search.best == search.values().min()


def test_a_dear_move_is_not_made():
    layer = Shares(2)
    search = layer.search(moves=counts(layer), num_kept=19)
    search.anneal(6, 0.0, 300, 40, math.inf, 1e6)
    assert np.flatnonzero(np.isfinite(search.values())).tolist() == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"moves": np.zeros((2, 12), np.int64)}, "moves has 2 entries, and 6"),
        ({"moves": np.full((6, 12), -1)}, "counts less than 0"),
        ({"num_kept": 5}, "there are no moves"),
        ({"moves": np.zeros((6, 12), np.int64), "num_kept": 0}, "num_kept is not in"),
    ],
)
def test_counts_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        annealing.ShareSearch(**Shares().arguments(**change))


def test_a_price_without_a_plan_in_force_is_refused():
    with pytest.raises(ValueError, match="held has no rows"):
        Shares().search().anneal(6, 0.1, 10, 1, 1.0, 0.5)
