import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt.bench.routing import Routing, routed_tokens
from eplb_opt.errors import ProblemError
from eplb_opt.io import TokenRecording
from eplb_opt.workloads.tokens import homes as homes_module
from eplb_opt.workloads.tokens.homes import homes_visited

SMALL = Routing(
    num_layers=2, num_experts=32, experts_per_token=4, num_groups=8, groups_per_token=2, num_ranks=4
)


def free(routing):
    """The same router without a limit of groups."""
    fields = {"num_layers": 2, "num_experts": 32, "experts_per_token": 4, "num_groups": 8}
    return Routing(**fields, groups_per_token=8, topic=routing.topic)


def spread_of(homes, load, num_nodes):
    """The largest load at home on a node over the mean, of the worst layer."""
    held = [np.bincount(h, w, minlength=num_nodes) for h, w in zip(homes, load, strict=True)]
    return max(h.max() / h.mean() for h in held)


def test_generated_tokens_are_routed_within_groups():
    recording = routed_tokens(SMALL, 4000, seed=3)
    (chunk,) = recording.chunks()
    groups = np.sort(chunk.experts // 4, axis=2)
    assert ((np.diff(groups, axis=2) > 0).sum(axis=2) + 1).max() == 2
    assert set(np.unique(chunk.rank)) <= {0, 1, 2, 3}
    again = routed_tokens(SMALL, 4000, seed=3)
    assert np.array_equal(next(again.chunks()).experts, chunk.experts)
    # Other tokens of the same router: the loads of both are alike.
    other = routed_tokens(SMALL, 4001, seed=3)
    loads = [tokens.total().load[0].ravel() for tokens in (recording, other)]
    assert np.corrcoef(loads)[0, 1] > 0.8
    assert not np.array_equal(next(other.chunks()).experts[:, :4000], chunk.experts)


def test_a_hidden_partition_is_found():
    """Experts fire together in four sets that lie across the groups."""
    rng = np.random.default_rng(1)
    hidden = rng.permutation(np.arange(32) % 4)
    sets = [np.flatnonzero(hidden == part) for part in range(4)]
    experts = np.array([rng.choice(sets[i % 4], 4, replace=False) for i in range(2000)])[:, None]
    for homes in (
        eplb_opt.token_homes(experts, 4, num_groups=8, max_load=1.2),
        eplb_opt.co_occurrence_homes(eplb_opt.co_occurrence(experts), 4, max_load=1.2),
    ):
        assert len({(a, b) for a, b in zip(hidden, homes[0], strict=True)}) == 4
        assert homes_visited(experts, homes).tolist() == [1.0]


@given(st.integers(0, 10**6), st.sampled_from([2, 3, 4, 8]), st.sampled_from([1, 8]))
@settings(max_examples=20, deadline=None)
def test_homes_are_even_and_the_same_again(seed, num_nodes, num_groups):
    recording = routed_tokens(SMALL, 400, seed)
    homes = eplb_opt.token_homes(recording, num_nodes, num_groups=num_groups, max_load=1.3)
    counts = np.array([np.bincount(row, minlength=num_nodes) for row in homes])
    assert counts.max() - counts.min() <= 1
    again = eplb_opt.token_homes(recording, num_nodes, num_groups=num_groups, max_load=1.3)
    assert np.array_equal(homes, again)


@pytest.mark.parametrize("num_nodes", [2, 4])
@pytest.mark.parametrize("topic", [0.0, 0.5, 2.0])
def test_homes_are_never_worse_on_their_tokens_than_whole_groups_as_even(topic, num_nodes):
    routing = Routing(
        num_layers=2,
        num_experts=32,
        experts_per_token=4,
        num_groups=8,
        groups_per_token=2,
        topic=topic,
        bias=0.1,
    )
    recording = routed_tokens(routing, 2000)
    load = recording.total().load[0]
    whole = np.tile(np.arange(32) // (32 // num_nodes), (2, 1))
    most = spread_of(whole, load, num_nodes) + 1e-9
    homes = eplb_opt.token_homes(recording, num_nodes, num_groups=8, max_load=most)
    assert spread_of(homes, load, num_nodes) <= most
    visited = homes_visited(recording, np.stack([homes, whole])).sum(axis=1)
    assert visited[0] <= visited[1] * 1.001


def test_topics_are_worth_homes_where_no_groups_bind_and_on_other_tokens_too():
    routing = free(Routing(topic=2.0))
    recording, others = routed_tokens(routing, 3000), routed_tokens(routing, 3001)
    homes = eplb_opt.token_homes(recording, 4, max_load=1.1)
    shuffled = np.random.default_rng(0).permuted(homes, axis=1)
    visited = homes_visited(others, np.stack([homes, shuffled])).mean(axis=1)
    assert visited[0] < 0.85 * visited[1]


def test_loads_at_home_are_brought_within_the_limit():
    recording = routed_tokens(
        Routing(num_layers=2, num_experts=64, num_groups=8, bias=1.0, topic=1.5), 2000
    )
    load = recording.total().load[0]
    for most in (1.2, 1.02):
        homes = eplb_opt.token_homes(recording, 8, num_groups=8, max_load=most)
        assert spread_of(homes, load, 8) <= most
    loose = eplb_opt.token_homes(recording, 8, num_groups=8, max_load=3.0)
    found = homes_visited(recording, np.stack([loose, homes])).mean(axis=1)
    assert found[0] < found[1]  # what evenness costs


def test_homes_visited_counts_distinct_nodes():
    experts = np.array([[[0, 1, 2]], [[3, -1, 0]], [[-1, -1, 2]]])
    recording = TokenRecording.of(experts)
    assert homes_visited(recording, [[0, 0, 1, 1]]).tolist() == [(2 + 2 + 1) / 3]
    both = homes_visited(recording, [[[0, 0, 1, 1]], [[0, 0, 0, 0]]])
    assert both.tolist() == [[5 / 3], [1.0]]


@pytest.mark.parametrize(
    ("pairs", "arguments", "message"),
    [
        (np.zeros((1, 3, 4), dtype=int), {}, "num_experts, num_experts"),
        (np.zeros((1, 3, 3)), {}, "integers"),
        (np.arange(9).reshape(1, 3, 3), {}, "not symmetric"),
        (-np.ones((1, 3, 3), dtype=int), {}, "-1 to -1"),
        (np.ones((1, 3, 3), dtype=int), {"max_load": 0.9}, "below 1"),
        (np.ones((1, 3, 3), dtype=int), {"num_nodes": 4}, "num_nodes=4"),
    ],
)
def test_pairs_that_cannot_be_are_refused(pairs, arguments, message):
    with pytest.raises(ProblemError, match=message):
        eplb_opt.co_occurrence_homes(pairs, **({"num_nodes": 2} | arguments))


def test_homes_of_another_shape_are_refused():
    with pytest.raises(ProblemError, match=r"integers \[1, 3\] are due"):
        homes_visited(np.array([[[0, 2]]]), [[0, 1]])


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_exchanges_keep_their_books_and_end_where_none_wins(seed):
    """Pairs and loads after any number of exchanges are those counted anew, from the homes."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 50, (9, 9))
    table = table + table.T
    np.fill_diagonal(table, rng.integers(100, 400, 9))
    load = table.diagonal().copy()
    limit = int(1.2 * load.sum() / 3)
    parts = homes_module._Parts(table, load, rng.permutation(np.arange(9) % 3), 3)
    parts.balance(limit)
    parts.improve(limit)

    def counted(homes):
        same = homes[:, None] == homes
        return int((table * same).sum() - table.trace()), np.bincount(homes, load, minlength=3)

    together, held = counted(parts.homes)
    assert parts.together == together
    assert parts.largest == held.max()
    for one in range(9):
        for other in range(one):
            after = parts.homes.copy()
            after[[one, other]] = after[[other, one]]
            won, on_node = counted(after)
            if on_node.max() <= limit:
                assert won <= together
