"""What every heuristic of the table keeps to, whatever the problem."""

import numpy as np
import pytest
from heuristic_cases import README, Case, cases, gpu_loads, peaks, random_case
from hypothesis import given, settings

from heuristics import HEURISTICS

ALL = sorted(HEURISTICS)
GREEDY_COUNTS = ["deepseek", "vectorized_lpt", "swap_refine", "cpu_lpt_slotted", "greedy"]
AS_WIDE_AS_NEEDED = {"deepseek", "greedy"}

every_heuristic = pytest.mark.parametrize("name", ALL)


def check_maps(name, case, maps):
    phy2log, log2phy, logcnt = maps
    num_layers, num_experts = case.weight.shape
    widest = case.num_replicas - num_experts + 1
    width = logcnt.max() if name in AS_WIDE_AS_NEEDED else widest
    assert phy2log.shape == (num_layers, case.num_replicas)
    assert log2phy.shape == (num_layers, num_experts, width)
    assert logcnt.shape == (num_layers, num_experts)
    assert {phy2log.dtype, log2phy.dtype, logcnt.dtype} == {np.dtype(np.int64)}
    assert phy2log.min() >= 0
    assert phy2log.max() < num_experts
    assert logcnt.min() >= 1
    assert (logcnt.sum(axis=1) == case.num_replicas).all()
    for layer in range(num_layers):
        for expert in range(num_experts):
            slots = np.flatnonzero(phy2log[layer] == expert).tolist()
            padding = [-1] * (width - len(slots))
            assert log2phy[layer, expert].tolist() == slots + padding
            assert logcnt[layer, expert] == len(slots)


def check_groups_stay(case, phy2log):
    group_size = case.weight.shape[1] // case.num_groups
    nodes = np.arange(case.num_replicas) // (case.num_replicas // case.num_nodes)
    for row in phy2log:
        homes = {(int(e) // group_size, int(n)) for e, n in zip(row, nodes, strict=True)}
        assert len(homes) == case.num_groups


@every_heuristic
@settings(max_examples=20, deadline=None)
@given(case=cases())
def test_maps_agree_and_groups_stay_on_their_node(name, case):
    before = case.weight.copy()
    maps = case.run(HEURISTICS[name])
    check_maps(name, case, maps)
    check_groups_stay(case, maps[0])
    np.testing.assert_array_equal(case.weight, before)


@every_heuristic
@pytest.mark.parametrize(
    ("shape", "numbers"),
    [
        ((1, 1), (1, 1, 1, 1)),
        ((2, 1), (6, 1, 1, 3)),
        ((2, 5), (9, 1, 1, 1)),
        ((2, 8), (8, 4, 2, 4)),
        ((2, 8), (8, 1, 1, 8)),
        ((1, 4), (64, 2, 2, 8)),
        ((2, 2), (12, 1, 1, 3)),
    ],
    ids=[
        "one-of-all",
        "one-expert",
        "one-gpu",
        "no-spare",
        "one-slot",
        "many-spare",
        "two-experts",
    ],
)
@pytest.mark.parametrize("kind", ["zeros", "equal", "skewed", "tiny"])
def test_corner_problems_work(name, shape, numbers, kind):
    weight = {
        "zeros": np.zeros(shape),
        "equal": np.full(shape, 5),
        "skewed": np.geomspace(1e30, 1e-30, shape[1]) * np.ones(shape),
        "tiny": np.full(shape, 1e-42),
    }[kind]
    case = Case(weight, *numbers)
    maps = case.run(HEURISTICS[name])
    check_maps(name, case, maps)
    check_groups_stay(case, maps[0])


@every_heuristic
def test_no_spare_slot_gives_every_expert_one_copy(name):
    case = random_case(1, 3, 24, 24, 4, 2, 8)
    assert (case.run(HEURISTICS[name])[2] == 1).all()


@every_heuristic
def test_equal_loads_get_equal_counts(name):
    case = Case(np.full((2, 8), 5), 24, 1, 1, 4)
    assert (case.run(HEURISTICS[name])[2] == 3).all()


@pytest.mark.parametrize(
    ("name", "counts"), [("waterfill_diverse", [3, 3, 2, 2]), ("deepseek", [7, 1, 1, 1])]
)
def test_zero_rows_get_the_published_counts(name, counts):
    # The first of equals wins every time; water-filling deals in turn.
    assert HEURISTICS[name](np.zeros((1, 4)), 10, 1, 1, 2)[2].tolist() == [counts]


@every_heuristic
def test_equal_loads_are_spread_evenly(name):
    case = Case(np.full((2, 8), 6), 16, 2, 2, 8)
    maps = case.run(HEURISTICS[name])
    np.testing.assert_allclose(gpu_loads(case.weight, maps[0], 8), 6)


@every_heuristic
def test_a_row_of_zeros_leaves_other_layers_alone(name):
    case = random_case(2, 3, 12, 16, 4, 2, 4)
    with_zeros = Case(case.weight * [[1], [0], [1]], *case.numbers)
    full, holed = (c.run(HEURISTICS[name])[0] for c in (case, with_zeros))
    np.testing.assert_array_equal(full[[0, 2]], holed[[0, 2]])


@pytest.mark.parametrize("name", GREEDY_COUNTS)
@settings(max_examples=20, deadline=None)
@given(case=cases(flat=True))
def test_hottest_expert_has_the_most_copies(name, case):
    counts = case.run(HEURISTICS[name])[2]
    hottest = case.weight == case.weight.max(axis=1, keepdims=True)
    assert (np.where(hottest, counts, 0).max(axis=1) == counts.max(axis=1)).all()


@every_heuristic
def test_groups_that_do_not_divide_by_nodes_fall_back_to_flat(name):
    weight = random_case(3, 2, 12, 16, 1, 1, 8).weight
    # 12 experts make no 5 groups and 8 GPUs no 3 nodes: neither counts any more.
    odd, flat = (HEURISTICS[name](weight, 16, *n, 8) for n in ((5, 3), (1, 1)))
    np.testing.assert_array_equal(odd[0], flat[0])


@every_heuristic
def test_the_same_call_gives_the_same_bytes(name):
    case = random_case(4, 4, 32, 48, 4, 2, 8, top=6)
    first, second = (case.run(HEURISTICS[name]) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.tobytes() == b.tobytes()


@every_heuristic
def test_layers_do_not_see_each_other(name):
    case = random_case(5, 4, 32, 48, 4, 2, 8)
    together = case.run(HEURISTICS[name])[0]
    for layer in range(4):
        alone = HEURISTICS[name](case.weight[layer : layer + 1], *case.numbers)[0]
        np.testing.assert_array_equal(alone[0], together[layer])


@every_heuristic
def test_doubling_the_loads_changes_nothing(name):
    case = random_case(6, 3, 32, 48, 4, 2, 8)
    twice = Case(case.weight * 2, *case.numbers)
    once_peaks, twice_peaks = (peaks(c, c.run(HEURISTICS[name])) for c in (case, twice))
    np.testing.assert_allclose(twice_peaks, 2 * once_peaks)


@every_heuristic
def test_no_plan_is_below_the_mean_load(name):
    mean = README.weight.sum(axis=1) / README.num_gpus
    assert (peaks(README, README.run(HEURISTICS[name])) >= mean).all()
