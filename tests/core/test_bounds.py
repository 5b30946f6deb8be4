"""The core's least totals are those of numpy's sums, and of every way to share the slots out."""

from itertools import product

import numpy as np
import pytest

from eplb_opt import core
from eplb_opt.bounds.costs import NEVER, exact_totals, least_levels


def totals_of(costs):
    """What the core finds for int64 [num_layers, num_experts, width]."""
    found = np.empty(len(costs), dtype=np.int64)
    core.bounds.least_totals(np.ascontiguousarray(costs.reshape(-1, costs.shape[2])), found)
    return found.tolist()


@pytest.mark.parametrize("width", [1, 2, 5, 9])
@pytest.mark.parametrize("most", [3, 2**50])
def test_totals_are_those_of_the_sums_of_every_number_of_slots(width, most):
    rng = np.random.default_rng(width)
    costs = rng.integers(0, most, (4, 6, width))
    costs[rng.random(costs.shape) < 0.3] = NEVER - 1
    wanted = exact_totals(costs)[-1][:, -1]
    capped = [min(total, NEVER) for total in wanted.tolist()]
    assert totals_of(costs) == capped


def test_totals_are_the_least_of_all_ways():
    costs = np.random.default_rng(3).integers(0, 20, (1, 3, 5))
    ways = [way for way in product(range(5), repeat=3) if sum(way) == 4]
    assert totals_of(costs) == [min(sum(costs[0, e, c] for e, c in enumerate(w)) for w in ways)]


def test_a_cost_below_zero_is_refused():
    with pytest.raises(ValueError, match="below 0"):
        core.bounds.least_totals(np.array([[1, -1]]), np.empty(1, dtype=np.int64))
    with pytest.raises(ValueError, match="multiple"):
        core.bounds.least_totals(np.ones((3, 2), dtype=np.int64), np.empty(2, dtype=np.int64))


@pytest.mark.parametrize("slots", [4, 6, 9, 40])
def test_the_level_is_the_least_at_which_counts_fit(slots):
    costs = np.random.default_rng(slots).integers(0, 12, (20, 4, 7))
    for layer, level in zip(costs.tolist(), least_levels(costs, slots).tolist(), strict=True):
        each = [entries[1:] for entries in layer]
        fitting = []
        for at in sorted({cost for entries in each for cost in entries}):
            needed = [next((c + 1 for c, x in enumerate(row) if x <= at), 99) for row in each]
            if sum(needed) <= slots:
                fitting.append(at)
        assert level == (fitting[0] if fitting else max(min(row) for row in each))
