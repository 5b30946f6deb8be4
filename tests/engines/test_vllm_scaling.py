"""vLLM's elastic expert parallelism: ranks leave or join at the end, and the old map says so.

Going down, vLLM 0.33 calls the policy with the smaller numbers and the map of all ranks, and rank r
of the answer is rank r of before; going up, the map has -1 in the slots of the new ranks.
"""

from collections import Counter

import numpy as np
import pytest

from eplb_opt import Plan, Problem, evaluate
from eplb_opt.bench.families import family_loads
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.engines.every_rank import GAIN_VARIABLE, TOLERANCE_VARIABLE, place
from eplb_opt.engines.vllm import EplbOptPolicy, ThreeMapsPolicy

torch = pytest.importorskip("torch")

ROOM, NUM_EXPERTS, NUM_GROUPS = 6, 64, 8
LOAD = family_loads("lognormal-0.5", 3, NUM_EXPERTS, 0)


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    for variable in (TOLERANCE_VARIABLE, GAIN_VARIABLE, "EPLB_OPT_EFFORT"):
        monkeypatch.delenv(variable, raising=False)


def first_map(num_ranks, nodes=1):
    return place(LOAD, ROOM * num_ranks, NUM_GROUPS if nodes > 1 else 1, nodes, num_ranks)[0]


def call(held, num_ranks, nodes=1, policy=EplbOptPolicy):
    answer = policy.rebalance_experts(
        torch.from_numpy(LOAD), ROOM * num_ranks, NUM_GROUPS, nodes, num_ranks,
        torch.from_numpy(held),
    )  # fmt: skip
    return np.asarray(answer[0] if isinstance(answer, tuple) else answer)


def as_vllm_sees_it(held, num_ranks):
    """The map that the policy gets: all columns going down, -1 in the new ones going up."""
    missing = max(num_ranks * ROOM - held.shape[1], 0)
    return np.pad(held, ((0, 0), (0, missing)), constant_values=-1)


def moves(held, placed):
    """Replicas that a rank did not have, a second one of an expert too."""
    shape = (len(placed), -1, ROOM)
    old = as_vllm_sees_it(held, placed.shape[1] // ROOM)[:, : placed.shape[1]]
    layers = zip(old.reshape(shape).tolist(), placed.reshape(shape).tolist(), strict=True)
    return np.array(
        [
            sum((Counter(b) - Counter(a)).total() for a, b in zip(*pair, strict=True))
            for pair in layers
        ]
    )


def require_level(placed, num_ranks):
    problem = Problem(LOAD, ROOM * num_ranks, num_ranks)
    Plan(placed, num_ranks).check(problem)
    bound = np.array([float(b.value) for b in fast_bounds(problem)])
    assert (evaluate(problem, placed).objective <= bound * 1.0031).all()


both_ways = pytest.mark.parametrize(
    ("before", "after"), [(16, 15), (16, 12), (12, 16), (15, 16)], ids=str
)
policies = pytest.mark.parametrize("policy", [EplbOptPolicy, ThreeMapsPolicy])


@policies
@both_ways
def test_ranks_leave_and_join_for_few_moves(before, after, policy):
    held = first_map(before)
    placed = call(as_vllm_sees_it(held, after), after, policy=policy)
    require_level(placed, after)
    seen = as_vllm_sees_it(held, after)[:, : after * ROOM]
    homeless = [NUM_EXPERTS - len(set(row) - {-1}) for row in seen.tolist()]
    must = np.maximum(homeless, (seen < 0).sum(axis=1))
    moved = moves(held, placed)
    assert (moved >= must).all()
    # A plan made anew moves nearly every slot of the ranks that were there.
    assert (moved - must).mean() < 0.4 * min(before, after) * ROOM


@both_ways
def test_what_stays_on_a_rank_keeps_its_slot(before, after):
    held = first_map(before)
    placed = call(as_vllm_sees_it(held, after), after)
    seen = as_vllm_sees_it(held, after)[:, : after * ROOM]
    assert ((placed != seen).sum(axis=1) == moves(held, placed)).all()


@pytest.mark.parametrize("load", ["zero", "one layer"])
def test_new_ranks_are_filled_before_anything_was_counted(load, monkeypatch):
    """vLLM plans with the loads of its last reshuffle, which may be none."""
    nothing = np.zeros_like(LOAD)
    if load == "one layer":
        nothing[1] = LOAD[1]
    monkeypatch.setattr("tests.engines.test_vllm_scaling.LOAD", nothing)
    held = np.tile(np.arange(12 * ROOM) % NUM_EXPERTS, (3, 1))
    placed = call(as_vllm_sees_it(held, 16), 16)
    assert (placed >= 0).all()
    assert (placed[0, : 12 * ROOM] == held[0]).all()


def test_to_half_the_nodes_groups_that_stay_keep_their_slots():
    """Four nodes become two: their groups stay, the others come to them."""
    held = first_map(16, nodes=4)
    placed = call(held, 12, nodes=3)  # 8 groups do not divide: nodes constrain nothing
    require_level(placed, 12)
    small = place(LOAD[:, :32], ROOM * 16, NUM_GROUPS, 4, 16)[0]
    half = np.asarray(
        EplbOptPolicy.rebalance_experts(LOAD[:, :32], ROOM * 8, NUM_GROUPS, 2, 8, small)
    )
    Plan(half, 8).check(Problem(LOAD[:, :32], ROOM * 8, 8, 2, NUM_GROUPS))
    # 16 experts are homeless; making room for them and levelling moves some more.
    assert moves(small, half).mean() < 0.75 * 8 * ROOM


def test_dead_columns_in_a_map_of_as_many_ranks_are_filled():
    """As where a rank's slots were marked empty and the rank is there again."""
    held = first_map(16)
    held[:, 3 * ROOM : 4 * ROOM] = -1
    placed = call(held, 16)
    require_level(placed, 16)
    assert (moves(held, placed) >= ROOM).all()
