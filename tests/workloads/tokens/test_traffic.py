import numpy as np
import pytest

import eplb_opt
from eplb_opt.bench.routing import Routing, routed_tokens
from eplb_opt.errors import FormatError, ProblemError
from eplb_opt.io import TokenRecording
from eplb_opt.workloads.tokens.traffic import topology_traffic

ROUTING = Routing(
    num_layers=2, num_experts=32, num_groups=8, groups_per_token=4, topic=0.3, num_ranks=8
)


def visits(nodes, remote=None):
    return eplb_opt.NodeVisits(
        np.array([10, 10]),
        np.array(nodes),
        np.array(nodes),
        None if remote is None else np.array(remote),
        None,
    )


def test_the_price_is_that_of_the_guides_estimate_where_visits_are():
    """Four nodes of two groups each, chosen equally often: 3.14 nodes against 3.60."""
    kept, free = visits([3.14, 3.14]), visits([3.60, 3.60])
    assert eplb_opt.measured_price(kept, free, 0.75) == pytest.approx(0.17, abs=0.001)
    # Twice as much to lose is worth half as much a part.
    assert eplb_opt.measured_price(kept, free, 0.375) == pytest.approx(0.341, abs=0.001)


def test_the_price_is_of_other_nodes_where_both_plans_know_them():
    kept, free = visits([3.0, 3.0], [1.0, 2.0]), visits([4.0, 4.0], [3.0, 3.0])
    assert eplb_opt.measured_price(kept, free, 0.5) == pytest.approx((1 - 1.5 / 3) / 0.5)
    assert eplb_opt.measured_price(kept, visits([4.0, 4.0]), 0.5) == pytest.approx(0.25 / 0.5)


def test_a_plan_that_saves_nothing_has_a_price_of_nothing():
    assert eplb_opt.measured_price(visits([4.0, 4.0]), visits([3.0, 3.0]), 0.5) == 0
    with pytest.raises(ProblemError, match="nothing to be saved"):
        eplb_opt.measured_price(visits([3.0, 3.0]), visits([4.0, 4.0]), 0.0)


def test_plans_are_measured_as_each_by_itself():
    tokens = routed_tokens(ROUTING, 1500)
    problem = eplb_opt.Problem(
        tokens.total().load[0], 48, 8, num_nodes=4, num_groups=8, topology=eplb_opt.Topology()
    )
    report = eplb_opt.topologies(problem, prices=(0.3,), effort=2, workers=1)
    traffic = topology_traffic(report, tokens)
    for row, found in zip(report.rows, traffic.visits, strict=True):
        alone = eplb_opt.node_visits(tokens, row.result.plan, num_nodes=4)
        for name in ("nodes", "gpus", "remote_nodes", "crossing"):
            assert np.array_equal(getattr(found, name), getattr(alone, name))
    kinds = [row.kind for row in report.rows]
    strict, flat = kinds.index("strict"), kinds.index("flat")
    assert (traffic.kept, traffic.free) == (strict, flat)
    assert traffic.visits[strict].nodes.mean() < traffic.visits[flat].nodes.mean()
    assert traffic.prices[strict] is None
    assert traffic.prices[flat] == eplb_opt.measured_price(
        traffic.visits[strict], traffic.visits[flat], report.rows[flat].off_home
    )
    assert traffic.prices[flat] > 0
    priced = kinds.index("priced")
    sent = [found.remote_nodes.mean() for found in traffic.visits]
    assert np.allclose(traffic.sent, sent)
    added = (sent[priced] - sent[strict]) / sent[flat] / report.rows[priced].off_home
    assert traffic.prices[priced] == pytest.approx(max(0.0, added))
    loads = [row.load for row in report.rows]
    times = traffic.times(loads, 0.5)
    assert times[flat] == pytest.approx(loads[flat] + 0.5)
    assert times[strict] == pytest.approx(loads[strict] + 0.5 * sent[strict] / sent[flat])


def test_the_first_share_off_home_costs_more_than_the_last():
    """One expert of each token leaves home in the second plan, all in the third."""
    rng = np.random.default_rng(0)
    groups = np.array([rng.permutation(8)[:2] for _ in range(2000)])
    experts = np.concatenate([4 * groups + rng.integers(4, size=groups.shape) for _ in "a"], axis=1)
    experts = np.concatenate([experts, 4 * groups + (experts + 1) % 4], axis=1)[:, None]
    home = np.arange(32)[None]  # two groups a node
    few = home.copy()
    few[0, [0, 8, 16, 24]] = few[0, [8, 16, 24, 0]]  # an expert of every node
    free = rng.permutation(32)[None]
    found = [eplb_opt.node_visits(experts, placed, 32, 4) for placed in (home, few, free)]
    load = np.bincount(experts.ravel(), minlength=32) / experts.size
    away = load[[0, 8, 16, 24]].sum()
    near = eplb_opt.measured_price(found[0], found[1], away, found[2])
    assert near > 1.2 * eplb_opt.measured_price(found[0], found[2], 0.75)


def test_layers_are_chosen_by_their_ids():
    experts = np.arange(2 * 3 * 1).reshape(2, 3, 1)
    recording = TokenRecording.of(experts, [0, 1], layer_ids=(3, 4, 7))
    part = recording.of_layers((4, 7))
    assert part.layer_ids == (4, 7)
    (chunk,) = part.chunks()
    assert chunk.layer_idx == (0, 1)
    assert chunk.experts.tolist() == experts.transpose(1, 0, 2)[1:].tolist()
    assert recording.of_layers((3, 4, 7)) is recording
    with pytest.raises(FormatError, match="no tokens in layer 5"):
        recording.of_layers((4, 5))


def test_crossing_is_what_a_topology_with_these_sources_prices():
    """Two rooms that share no code: exact sums over sources, and sums over tokens."""
    tokens = routed_tokens(ROUTING, 1500)
    sources = eplb_opt.token_sources(tokens, 8)
    problem = eplb_opt.Problem(
        tokens.total().load[0],
        *(48, 8),
        num_nodes=4,
        num_groups=8,
        topology=eplb_opt.Topology(price=0.3, sources=sources),
    )
    result = eplb_opt.plan(problem, effort=2, workers=1)
    found = eplb_opt.node_visits(tokens, result.plan, num_nodes=4)
    assert np.allclose(found.crossing, result.off_home, atol=1e-9)
