"""Prices of constraints are intervals that hold the true price."""

from fractions import Fraction

import numpy as np
import pytest

import eplb_opt
from eplb_opt.clock import Deadline
from eplb_opt.report import gap_tables
from eplb_opt.report.free_counts import balanced
from eplb_opt.report.gap import gap_report
from eplb_opt.report.prices import constraint_prices, equal_counts_price, relaxations
from tests.report.texts import text_of

LOADS = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86]]


def least_with_free_counts(load, num_slots, num_gpus):
    """By brute force over counts, and over GPUs for every replica."""
    best = None

    def counts(left, experts):
        if experts == 1:
            yield (left,)
            return
        for first in range(1, left - experts + 2):
            yield from ((first, *rest) for rest in counts(left - first, experts - 1))

    def fill(sizes, filled):
        nonlocal best
        if best is not None and max(filled) >= best:
            return
        if not sizes:
            best = max(filled)
            return
        for gpu in range(num_gpus):
            fill(sizes[1:], [*filled[:gpu], filled[gpu] + sizes[0], *filled[gpu + 1 :]])

    for count in counts(num_slots, len(load)):
        sizes = [Fraction(w, c) for w, c in zip(load, count, strict=True) for _ in range(c)]
        fill(sorted(sizes, reverse=True), [Fraction(0)] * num_gpus)
    return best


def priced(problem, seconds=2.0):
    result = eplb_opt.plan(problem, time_limit=seconds)
    return constraint_prices(
        problem, result, lambda part, name, left: eplb_opt.plan(part, time_limit=left), seconds
    )


def test_each_constraint_has_a_relaxation():
    flat = eplb_opt.Problem([[1, 2, 3, 4]], 8, 4)
    nodes = eplb_opt.Problem([[1, 2, 3, 4]], 8, 4, 2, 2, "forbid")
    assert relaxations(flat).keys() == {"uniform split", "slots"}
    assert relaxations(flat)["slots"].num_slots == 12
    without = relaxations(nodes)
    assert not without["hierarchy"].is_hierarchical
    assert without["co-location"].colocation == "allow"
    assert without["uniform split"].is_split_freely
    assert "uniform split" not in relaxations(flat.with_dispatch("optimal"))
    assert "slots" not in without  # two experts a node: a third slot could not be filled


def test_a_slot_more_is_for_the_gpus_that_have_some():
    lost = eplb_opt.Problem([[1, 2, 3, 4]], 8, 4, active_gpus=np.array([True, True, True, False]))
    assert relaxations(lost)["slots"].open_slots.tolist() == [3, 3, 3, 0]


def test_prices_of_solved_problems_are_exact():
    problem = eplb_opt.Problem(LOADS, 16, 8, 2, 4)
    # A busy machine loads OR-Tools slowly.
    prices = {price.name: price for price in priced(problem, seconds=8.0)}
    hierarchy = prices["hierarchy"]
    assert hierarchy.at_least == pytest.approx(151 / 136 - 1)
    assert hierarchy.at_most == pytest.approx(151 / 136 - 1)
    assert hierarchy.layers_at_least.tolist() == [hierarchy.at_least]
    more = eplb_opt.plan(eplb_opt.Problem(LOADS, 24, 8, 2, 4), time_limit=1)
    assert prices["slots"].at_least <= 151 / more.lower_bound[0] - 1
    assert prices["slots"].at_most >= 151 / more.objective[0] - 1 - 1e-12


def test_the_price_of_the_uniform_split_holds_what_is_known_by_hand():
    # Tokens that flow freely reach the mean, 16 / 3; halves and thirds of 9, 4, 2 and 1 do not.
    problem = eplb_opt.Problem([[9, 4, 2, 1]], 6, 3)
    prices = {price.name: price for price in priced(problem)}
    price = prices["uniform split"]
    assert price.at_least == pytest.approx(5.5 / (16 / 3) - 1)
    assert price.at_most == pytest.approx(5.5 / (16 / 3) - 1)


@pytest.mark.parametrize("seed", range(6))
def test_the_price_of_equal_counts_holds_what_brute_force_says(seed):
    load = np.random.default_rng(seed).integers(1, 30, (1, 4))
    problem = eplb_opt.Problem(load, 6, 3)
    result = eplb_opt.plan(problem, time_limit=10)
    assert result.status == ["optimal"]
    free = least_with_free_counts(load[0].tolist(), 6, 3)
    true = float(Fraction(result.objective[0]) / free - 1)
    price = equal_counts_price(problem, result, Deadline.after(10))
    assert price.at_least <= true + 1e-12
    assert price.at_most >= true - 1e-12


def test_free_counts_find_what_equal_counts_forbid():
    # Two GPUs with two slots must split 9 + 1 + 1 + 1 as 10 and 2; alone, 9 stays 9.
    problem = eplb_opt.Problem([[9, 1, 1, 1]], 4, 2)
    result = eplb_opt.plan(problem, time_limit=10)
    price = equal_counts_price(problem, result, Deadline.after(10))
    assert result.objective.tolist() == [10]
    assert price.at_least == price.at_most == pytest.approx(10 / 9 - 1)


def test_free_counts_keep_replicas_apart_where_asked():
    gpus = balanced(np.array([0, 0, 0, 1, 2]), np.array([5.0, 1.0, 1.0]), 3, distinct=True)
    assert sorted(e for gpu in gpus for e in gpu) == [0, 0, 0, 1, 2]
    assert all(len(set(gpu)) == len(gpu) for gpu in gpus)


def test_every_price_has_its_column_and_its_row():
    problem = eplb_opt.Problem(LOADS, 16, 8, 2, 4, "forbid")
    result = eplb_opt.plan(problem, time_limit=1)
    report = gap_report(problem, result, plans={}, heuristics={}, prices=priced(problem, 1.0))
    names = [price.name for price in report.prices]
    assert names == ["hierarchy", "co-location", "uniform split", "slots", "equal counts"]
    for table in (gap_tables.layer_table(report), gap_tables.price_table(report)):
        text = text_of(table)
        assert all(word in text for name in names for word in name.split())


def test_prices_share_the_time():
    asked = []
    problem = eplb_opt.Problem(LOADS, 16, 8, 2, 4)
    result = eplb_opt.plan(problem, effort=1)

    def planned(part, name, seconds):
        asked.append(seconds)
        return eplb_opt.plan(part, effort=1)

    constraint_prices(problem, result, planned, 6.0)
    assert asked == [1.5, 1.5, 1.5]


def test_what_is_known_is_not_planned_again():
    problem = eplb_opt.Problem(LOADS, 16, 8, 2, 4)
    result = eplb_opt.plan(problem, effort=1)
    flat = eplb_opt.plan(problem.flat(), effort=1)
    asked = []

    def planned(part, name, seconds):
        asked.append(name)
        return eplb_opt.plan(part, effort=1)

    again = constraint_prices(problem, result, planned, 6.0, {"hierarchy": flat})
    first = constraint_prices(problem, result, planned, 6.0)
    assert "without 'groups stay on one node'" not in asked[: len(asked) // 2]
    assert [price.at_most for price in again] == [price.at_most for price in first]
