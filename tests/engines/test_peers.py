"""What the engines' own tests assert of a policy, and more, for every drop-in of ours."""

import numpy as np
import pytest

from eplb_opt import Problem, evaluate
from eplb_opt.placement.plan import Plan
from tests.engines.drop_ins import ALL, FLAT, HIERARCHICAL

torch = pytest.importorskip("torch")

#: The example of DeepSeek EPLB's README, and its answer.
README = torch.tensor(
    [
        [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
        [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
    ]
)
README_MAP = [
    [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
    [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
]

every = pytest.mark.parametrize("drop_in", ALL.values(), ids=ALL)
flat = pytest.mark.parametrize("drop_in", FLAT.values(), ids=FLAT)
hierarchical = pytest.mark.parametrize("drop_in", HIERARCHICAL.values(), ids=HIERARCHICAL)


def loads(num_layers, num_experts, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(1, 1000, (num_layers, num_experts)))


def plan_of(placed, num_gpus, num_experts):
    return Plan(placed, num_gpus, num_experts)


@every
def test_shapes_ids_and_counts_are_right(drop_in):
    plan = plan_of(drop_in(loads(3, 16), 24, 1, 1, 8), 8, 16)
    assert plan.physical_to_logical.shape == (3, 24)
    assert plan.physical_to_logical.min() >= 0
    assert plan.physical_to_logical.max() < 16
    assert (plan.logical_count >= 1).all()
    assert (plan.logical_count.sum(axis=1) == 24).all()


@every
def test_every_slot_is_named_once_and_gpus_hold_equally_many(drop_in):
    plan = plan_of(drop_in(loads(2, 12), 16, 1, 1, 8), 8, 12)
    for layer in plan.logical_to_physical:
        slots = layer[layer >= 0]
        # The (GPU, place on it) pairs are unique, and all there.
        assert sorted((s // 2, s % 2) for s in slots) == [(g, k) for g in range(8) for k in (0, 1)]


@every
def test_without_spare_slots_every_expert_stands_once(drop_in):
    plan = plan_of(drop_in(loads(2, 16), 16, 1, 1, 4), 4, 16)
    assert (plan.logical_count == 1).all()


@every
def test_equal_loads_give_equal_gpus(drop_in):
    weight = torch.full((1, 8), 50)
    placed = drop_in(weight, 8, 1, 1, 4)
    result = evaluate(Problem(weight, 8, 4), np.asarray(placed))
    assert result.objective[0] == 100


@every
def test_a_layer_without_load_gets_a_whole_plan(drop_in):
    weight = torch.cat([torch.zeros((1, 8), dtype=torch.int64), loads(1, 8)])
    plan = plan_of(drop_in(weight, 12, 1, 1, 4), 4, 8)
    assert (plan.logical_count >= 1).all()


@every
def test_the_hottest_expert_has_the_most_replicas(drop_in):
    weight = torch.tensor([[10, 10, 900, 10, 10, 10, 10, 40]])
    count = plan_of(drop_in(weight, 12, 1, 1, 4), 4, 8).logical_count[0]
    assert count.argmax() == 2
    assert count[2] > np.delete(count, 2).max()


@every
def test_one_gpu_and_one_slot_a_gpu_work(drop_in):
    assert (plan_of(drop_in(loads(1, 6), 6, 1, 1, 1), 1, 6).logical_count == 1).all()
    assert plan_of(drop_in(loads(1, 6), 9, 1, 1, 9), 9, 6).logical_count.sum() == 9


@every
def test_the_same_call_gives_the_same_bytes(drop_in):
    weight = loads(4, 32, seed=1)
    first, second = (np.asarray(drop_in(weight.clone(), 40, 1, 1, 8)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@every
def test_floats_and_integers_of_the_same_worth_give_the_same_map(drop_in):
    weight = loads(2, 16, seed=2)
    for dtype in (torch.float32, torch.float64, torch.int32, torch.bfloat16):
        same = weight % 128 if dtype == torch.bfloat16 else weight
        ours, theirs = (np.asarray(drop_in(w, 24, 1, 1, 8)) for w in (same.to(dtype), same))
        assert (ours == theirs).all()


@every
def test_the_callers_loads_are_left_alone(drop_in):
    weight = loads(2, 16)
    before = weight.clone()
    drop_in(weight, 24, 1, 1, 8)
    assert torch.equal(weight, before)


@flat
def test_slots_that_do_not_divide_among_the_gpus_are_refused(drop_in):
    with pytest.raises(ValueError, match=r"multiple|SGLang"):
        drop_in(loads(1, 8), 10, 1, 1, 4)


@flat
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_loads_that_are_none_are_refused(drop_in, bad):
    weight = loads(1, 8).double()
    weight[0, 3] = bad
    with pytest.raises(ValueError, match=r"finite|negative|at least 0|below 0"):
        drop_in(weight, 12, 1, 1, 4)


@flat
def test_too_few_slots_are_refused(drop_in):
    with pytest.raises(ValueError, match="every expert needs a slot"):
        drop_in(loads(1, 8), 4, 1, 1, 4)


@hierarchical
def test_the_readme_example_is_answered_no_worse_than_published(drop_in):
    placed = drop_in(README, 16, 4, 2, 8)
    problem = Problem(README, 16, 8, 2, 4)
    ours, published = (evaluate(problem, rows).objective for rows in (placed, README_MAP))
    assert (ours <= published).all()
    assert isinstance(placed, torch.Tensor)
    assert placed.dtype == torch.int64
    assert placed.device.type == "cpu"


@hierarchical
def test_groups_stay_on_a_node(drop_in):
    placed = np.asarray(drop_in(loads(3, 16), 24, 4, 2, 8))
    Plan(placed, 8).check(Problem(loads(3, 16), 24, 8, 2, 4))


@hierarchical
def test_groups_that_do_not_divide_among_nodes_are_placed_flat(drop_in):
    weight = loads(2, 12)
    fallen_back, plain = drop_in(weight, 16, 3, 2, 8), drop_in(weight, 16, 1, 1, 8)
    assert torch.equal(fallen_back, plain)


@every
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_loads_on_a_gpu_give_the_same_map(drop_in):
    if drop_in in (ALL["ascend"], ALL["atom"]):
        pytest.skip("takes what the host has")
    weight = loads(2, 16)
    ours, theirs = (drop_in(w, 24, 1, 1, 8) for w in (weight.cuda(), weight))
    assert torch.equal(ours.cpu(), theirs)
