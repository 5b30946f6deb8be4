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


def two_nodes(**changes):
    """Prices for one hot node and a cool one; what `ascend` returns."""
    asked = {
        "load": np.array([2.0, 0.9, 0.5, 0.3, 0.2, 0.1]),
        "home": np.array([0, 0, 0, 1, 1, 1]),
        "slots": np.array([5, 5]),
        "gpus": np.array([2, 2]),
        "price": 0.3,
        "anchored": True,
        "least": 1.0,
        "most": 1.7,
        "enough": 9.0,
        "seconds": np.inf,
    }
    return core.bounds.ascend(*(asked | changes).values())


def test_the_hot_node_has_the_dear_load_and_its_hottest_expert_goes_elsewhere_too():
    on_slots, on_load, level, count, at_home = two_nodes()
    assert on_load[0] > on_load[1] >= 0
    assert 1 <= level <= 1.7 and len(on_slots) == 2
    assert count[0] >= 2 and not at_home[0]


def test_prices_are_the_same_at_every_call_and_stop_where_enough_is_proven():
    first, second = two_nodes(), two_nodes()
    assert all(np.array_equal(*pair) for pair in zip(first, second, strict=True))
    assert not np.array_equal(two_nodes(enough=0.5)[1], first[1])


def test_there_are_no_prices_without_time_or_where_no_plan_has_so_little_load():
    assert two_nodes(seconds=0.0) is None
    assert two_nodes(load=np.array([20.0, 9, 5, 3, 2, 1])) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"home": np.zeros(3, dtype=np.int64)}, "home has 3 entries"),
        ({"home": np.full(6, 2)}, "home holds 2"),
        ({"gpus": np.array([2])}, "gpus has 1"),
        ({"gpus": np.array([2, 0])}, "from 1"),
        ({"load": np.array([2.0, np.nan, 0, 0, 0, 0])}, "not in 0"),
        ({"least": 2.0}, "does not hold"),
        ({"price": -1.0}, "price"),
    ],
)
def test_what_cannot_be_priced_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        two_nodes(**changes)
