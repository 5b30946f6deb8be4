"""Expected visits against every way in which replicas can be drawn, in exact fractions."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt.errors import FormatError, PlanError, ProblemError
from eplb_opt.io import TokenRecording
from eplb_opt.io.recordings import tokens as tokens_module
from eplb_opt.workloads.tokens import visits as visits_module

NUM_GPUS, NUM_NODES, NUM_EXPERTS, NUM_SLOTS = 6, 3, 5, 12


@st.composite
def cases(draw):
    """Tokens of one layer, their ranks, and a plan of which some slots are empty."""
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    num, k = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    experts = np.array([rng.permutation(NUM_EXPERTS)[:k] for _ in range(num)])
    if draw(st.booleans()) and k > 1:
        experts[rng.integers(num), 0] = -1
    placed = rng.permutation(
        np.concatenate([np.arange(NUM_EXPERTS), rng.integers(-1, NUM_EXPERTS, NUM_SLOTS - 5)])
    )
    return experts[:, None], rng.integers(NUM_GPUS, size=num), placed[None]


def brute_force(experts, rank, placed):
    """Mean nodes, GPUs, other nodes, and share of crossing assignments, as fractions."""
    totals = [Fraction(0)] * 4
    num_assigned = 0
    for token, start in zip(experts[:, 0], rank, strict=True):
        needed = [e for e in token.tolist() if e >= 0]
        num_assigned += len(needed)
        slots = [np.flatnonzero(placed[0] == e).tolist() for e in needed]
        ways = list(product(*slots))
        home = int(start) // 2
        for way in ways:
            gpus = [slot // 2 for slot in way]
            nodes = {gpu // 2 for gpu in gpus}
            seen = (
                len(nodes),
                len(set(gpus)),
                len(nodes - {home}),
                sum(gpu // 2 != home for gpu in gpus),
            )
            totals = [t + Fraction(s, len(ways)) for t, s in zip(totals, seen, strict=True)]
    num = len(experts)
    return [*(float(t / num) for t in totals[:3]), float(totals[3] / num_assigned)]


@given(cases())
@settings(max_examples=60, deadline=None)
def test_expected_visits_are_those_of_every_way_to_draw_replicas(case):
    experts, rank, placed = case
    recording = TokenRecording.of(experts, rank, num_experts=NUM_EXPERTS)
    found = eplb_opt.node_visits(recording, placed, NUM_GPUS, NUM_NODES)
    figures = [found.nodes, found.gpus, found.remote_nodes, found.crossing]
    assert np.allclose(np.concatenate(figures), brute_force(experts, rank, placed), atol=1e-12)
    assert found.num_tokens.tolist() == [len(experts)]


def test_nodes_of_unequal_size_are_taken_as_given():
    experts = np.array([[[0, 1]], [[2, 3]]])
    placed = np.array([[0, 1, 2, 3]])
    nodes = [0, 0, 0, 1]
    found = eplb_opt.node_visits(experts, placed, 4, nodes=nodes)
    assert found.nodes.tolist() == [1.5]
    assert found.gpus.tolist() == [2.0]
    assert found.remote_nodes is None
    assert found.crossing is None
    assert eplb_opt.node_visits(experts, placed, 4, 2).nodes.tolist() == [1.0]


@pytest.mark.parametrize("rank", [None, [0, -1], [0, 6]], ids=["none", "not of all", "too many"])
def test_where_a_start_is_not_known_nothing_is_said_of_crossing(rank):
    experts = np.array([[[0, 1]], [[2, 3]]])
    recording = TokenRecording.of(experts, rank)
    found = eplb_opt.node_visits(recording, np.array([[0, 1, 2, 3]]), 4, 2)
    assert found.remote_nodes is None
    assert found.crossing is None
    assert found.nodes.tolist() == [1.0]


def test_cutting_into_chunks_and_blocks_changes_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    experts = np.argsort(rng.random((50, 3, NUM_EXPERTS)), axis=2)[:, :, :2]
    placed = np.tile(rng.permutation(np.arange(NUM_SLOTS) % NUM_EXPERTS), (3, 1))
    recording = TokenRecording.of(experts, rng.integers(NUM_GPUS, size=50))
    whole = eplb_opt.node_visits(recording, placed, NUM_GPUS, NUM_NODES)
    monkeypatch.setattr(tokens_module, "CHUNK_ENTRIES", 60)
    monkeypatch.setattr(visits_module, "BLOCK_ENTRIES", 24)
    cut = eplb_opt.node_visits(recording, placed, NUM_GPUS, NUM_NODES)
    for name in ("num_tokens", "nodes", "gpus", "remote_nodes", "crossing"):
        assert np.allclose(getattr(whole, name), getattr(cut, name), atol=1e-12)


@pytest.mark.parametrize(
    ("placed", "arguments", "error", "message"),
    [
        ([[0, 1, 2, 2]], (4,), PlanError, "expert 3 is in no slot"),
        ([[0, 1, 2, 3]] * 2, (4,), PlanError, "2 layers, the recording 1"),
        ([[0, 1, 2, 4]], (4,), PlanError, "5 experts, the recording 4"),
        ([[0, 1, 2, 3]], (None,), ProblemError, "num_gpus is needed"),
        ([[0, 1, 2, 3]], (4, 5), ProblemError, "there are 4 GPUs"),
    ],
)
def test_plans_that_do_not_fit_are_refused(placed, arguments, error, message):
    with pytest.raises(error, match=message):
        eplb_opt.node_visits(np.array([[[0, 3]]]), np.array(placed), *arguments)


def test_sources_are_counted_by_rank():
    experts = np.array([[[0, 1], [1, 2]], [[0, 2], [2, 1]], [[2, 1], [-1, 0]]])
    recording = TokenRecording.of(experts, [1, 1, 0], num_experts=4)
    found = eplb_opt.token_sources(recording, 3)
    assert found.tolist() == [
        [[0, 1, 1, 0], [2, 1, 1, 0], [0, 0, 0, 0]],
        [[1, 0, 0, 0], [0, 2, 2, 0], [0, 0, 0, 0]],
    ]
    assert np.array_equal(found.sum(axis=1), recording.total().load[0])
    assert eplb_opt.token_sources(recording).shape == (2, 2, 4)
    with pytest.raises(ProblemError, match="rank 1; num_ranks=1"):
        eplb_opt.token_sources(recording, 1)
    with pytest.raises(FormatError, match="does not say on which rank"):
        eplb_opt.token_sources(experts)


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_co_occurrence_counts_tokens_with_both(seed, k):
    rng = np.random.default_rng(seed)
    experts = np.argsort(rng.random((20, 2, 7)), axis=2)[:, :, :k]
    experts[rng.random(experts.shape) < 0.2] = -1
    experts[0, 0, 0] = 6
    experts[0, :, 1:] = -1
    found = eplb_opt.co_occurrence(TokenRecording.of(experts, num_experts=7))
    one_hot = np.zeros((20, 2, 7), dtype=np.int64)
    for at in np.ndindex(experts.shape):
        if experts[at] >= 0:
            one_hot[at[0], at[1], experts[at]] = 1
    assert np.array_equal(found, np.einsum("tla,tlb->lab", one_hot, one_hot))
