"""Costs of links and sources of tokens: what is taken, what is refused, and what they come to."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Problem, ProblemError, Topology
from eplb_opt.problem.topology import node_of_gpus
from tests.link_problems import tiny_links
from tests.links_oracle import assignment_cost

LOAD = np.arange(1, 17).reshape(2, 8)


def problem(num_gpus=4, num_nodes=2, load=LOAD, **rules):
    terms = {"num_nodes": num_nodes, "topology": Topology(**rules)}
    return Problem(load, 3 * num_gpus, num_gpus, **terms)


def costs_of(asked, layer_idx=0, homes=None):
    links = asked.link_costs
    rows = links.of_experts(layer_idx, np.zeros(8, int) if homes is None else homes)
    table = [[Fraction(c, links.unit[layer_idx]) for c in row] for row in rows.tolist()]
    return [[row[p] for p in links.place.tolist()] for row in table]


@settings(max_examples=60, deadline=None)
@given(tiny_links())
def test_an_assignment_costs_the_mean_over_its_sources(asked):
    if asked is None:
        return
    rules, links = asked.topology, asked.link_costs
    homes = rules.homes if rules.homes is not None else np.zeros((1, asked.num_experts), int)
    rows = links.of_experts(0, homes[0])
    for expert in range(asked.num_experts):
        for gpu in range(asked.num_gpus):
            exact = assignment_cost(asked, 0, expert, int(homes[0, expert]), gpu)
            assert Fraction(int(rows[expert, links.place[gpu]]), links.unit[0]) == exact


def test_by_default_it_costs_nothing_at_home_and_one_elsewhere():
    asked = problem(homes=[0, 1] * 4)
    assert asked.link_costs.table.tolist() == [[[0, 1], [1, 0]]] * 2
    assert asked.link_costs.place.tolist() == [0, 0, 1, 1]
    assert asked.topology.counts_off_home


def test_places_are_gpus_only_where_those_of_a_node_differ():
    own = np.where(np.eye(4), 0, 0.2)
    by_gpu = problem(rank_costs=own, sources=np.eye(4, 8, dtype=int))
    assert by_gpu.link_costs.tells_gpus_apart
    # From a node tokens come evenly from its GPUs, so these are alike.
    by_node = problem(rank_costs=own, sources=np.ones((2, 8), dtype=int))
    assert by_node.link_costs.place.tolist() == [0, 0, 1, 1]


def test_an_expert_without_tokens_gets_those_of_its_layer():
    sources = np.zeros((2, 2, 8), dtype=int)
    sources[0, :, 1] = 3, 1
    asked = problem(sources=sources)
    assert costs_of(asked)[0] == costs_of(asked)[1] == [Fraction(1, 4)] * 2 + [Fraction(3, 4)] * 2
    # Where nothing is known, from everywhere.
    assert costs_of(asked, 1)[0] == [Fraction(1, 2)] * 4


def test_shares_alone_count_and_floats_are_shares():
    whole = np.random.default_rng(3).integers(0, 9, (4, 8))
    whole[0] += 1
    costs = {"rank_costs": np.arange(16).reshape(4, 4) / 8}
    table = [costs_of(problem(sources=s, **costs)) for s in (whole, 5 * whole, whole / 1024.0)]
    assert table[0] == table[1]
    assert np.allclose(np.array(table[0], float), np.array(table[2], float), atol=1e-8)


def test_costs_are_the_decimal_numbers_that_they_are_written_as():
    asked = problem(homes=[0, 1] * 4, rank_costs=[[0.1, 0.3], [1e-3, 12345.678]])
    assert costs_of(asked)[0] == [Fraction(1, 10)] * 2 + [Fraction(3, 10)] * 2


def test_costs_that_have_no_small_unit_are_rounded_to_a_fine_one():
    sources = np.random.default_rng(1).integers(1, 10**6, (4, 8))
    asked = problem(sources=sources)
    assert asked.link_costs.unit == (2**30, 2**30)
    exact = assignment_cost(asked, 0, 5, 0, 1)
    assert abs(costs_of(asked)[5][1] - exact) <= Fraction(1, 2**31)


def test_asymmetric_costs_are_from_the_row_to_the_column():
    asked = problem(homes=[0] * 8, rank_costs=[[0, 1], [5, 0]])
    assert costs_of(asked)[0] == [0, 0, 1, 1]
    assert costs_of(asked, 0, np.ones(8, int))[0] == [5, 5, 0, 0]


def test_layers_and_the_gpus_that_are_left_keep_their_costs():
    sources = np.random.default_rng(2).integers(0, 9, (2, 4, 8))
    costs = np.random.default_rng(3).integers(0, 9, (4, 4)) / 4
    rules = Topology(rank_costs=costs, sources=sources)
    lost = [True, False, True, True]
    asked = Problem(LOAD, 12, 4, num_nodes=2, topology=rules, active_gpus=lost)
    left = asked.without_lost_gpus()
    assert left.topology.sources.shape == (2, 3, 8)
    for layer_idx in (0, 1):
        mine, theirs = costs_of(asked, layer_idx), costs_of(left, layer_idx)
        assert [[row[g] for g in (0, 2, 3)] for row in mine] == theirs
        assert costs_of(asked.layer(layer_idx)) == mine
    assert costs_of(asked.selected([1, 0]), 0) == costs_of(asked, 1)
    # What a lost GPU sent is gone.
    assert costs_of(problem(rank_costs=costs, sources=sources)) != costs_of(asked)


def test_one_node_will_do_where_links_within_it_differ():
    asked = problem(4, 1, rank_costs=np.where(np.eye(4), 0, 1), sources=np.eye(4, 8, dtype=int))
    assert asked.link_costs.num_places == 4
    with pytest.raises(ProblemError, match="num_nodes above 1"):
        problem(4, 1, sources=np.eye(4, 8, dtype=int))


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"rank_costs": np.zeros((3, 3))}, r"\[4, 4\], a row and a column for each GPU, or \[2, 2"),
        ({"rank_costs": np.zeros((2, 4))}, "rank_costs has shape"),
        ({"rank_costs": [[0, -1], [1, 0]]}, r"rank_costs\[0, 1\] = -1 is negative"),
        ({"rank_costs": [[0, np.inf], [1, 0]]}, "not finite"),
        ({"rank_costs": [[0, 2e6], [1, 0]]}, "above 1e"),
        ({"rank_costs": [[0, 1], [1]]}, "not a rectangular array"),
        ({"sources": np.zeros((3, 8))}, r"sources has shape \[3, 8\]; it must be \[2, 4, 8\]"),
        ({"sources": np.zeros((1, 4, 8))}, "sources has shape"),
        ({"sources": np.zeros((2, 4, 7))}, "sources has shape"),
        ({"sources": np.full((4, 8), -1)}, "negative"),
        ({"sources": np.full((4, 8), np.nan)}, "not finite"),
        ({"sources": np.ones((4, 8)), "anchored": True}, "anchored needs homes"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_mend(rules, words):
    with pytest.raises(ProblemError, match=words):
        problem(**{"homes": None if "sources" in rules else [0] * 8} | rules)


def test_a_limit_may_be_above_one_where_links_have_costs():
    assert Topology(rank_costs=[[0, 9], [9, 0]], max_off_home=2.5).most_off_home == Fraction(5, 2)
    with pytest.raises(ProblemError, match="share, from 0 to 1"):
        Topology(max_off_home=2.5)


def test_large_tokens_and_costs_lose_nothing():
    sources = np.array([[2**40, 1], [1, 2**40], [3, 3]])
    load, node = np.array([[5, 6]]), [0, 0, 1]
    rules = Topology(rank_costs=np.full((3, 3), 999999.25) - np.eye(3), sources=sources, nodes=node)
    asked = Problem(load, 3, 3, num_nodes=2, topology=rules)
    rows = asked.link_costs
    cost = Fraction(int(rows.table[0, 0, rows.place[0]]), rows.unit[0])
    assert abs(cost - assignment_cost(asked, 0, 0, 0, 0)) <= Fraction(1, 2**31)
    assert node_of_gpus(asked).tolist() == node
