"""What the door of the local search refuses, and that it crashes on nothing."""

import numpy as np
import pytest

from eplb_opt.core import local

GOOD = {
    "weights": np.arange(1, 7),
    "slots": np.array([0, 1, 2, 3, 4, 5, 0, 1]),
    "num_gpus": 4,
    "apart": False,
    "seed": 0,
}
BAD = {
    "a slot of no expert": {"slots": np.array([0, 1, 2, 3, 4, 6, 0, 5])},
    "a negative expert": {"slots": np.array([0, 1, 2, 3, 4, 5, 0, -1])},
    "an expert without a slot": {"slots": np.array([0, 1, 2, 3, 4, 4, 0, 1])},
    "no slots": {"slots": np.array([], dtype=np.int64)},
    "no experts": {"weights": np.array([], dtype=np.int64)},
    "slots that do not divide": {"num_gpus": 3},
    "no GPUs": {"num_gpus": 0},
    "fewer than no GPUs": {"num_gpus": -4},
    "a negative weight": {"weights": np.array([1, 2, 3, 4, 5, -6])},
    "weights that overflow": {"weights": np.array([2**62, 2**62, 3, 4, 5, 6])},
}
BAD_TYPES = {
    "two dimensions": {"slots": np.zeros((2, 4), dtype=np.int64)},
    "text": {"weights": "loads"},
    "no array": {"slots": None},
    "a seed beyond int64": {"seed": 2**64},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_a_search_refuses_what_does_not_fit(change):
    local.NodeSearch(**GOOD)
    with pytest.raises(ValueError, match=r"\."):
        local.NodeSearch(**GOOD | change)


@pytest.mark.parametrize("change", BAD_TYPES.values(), ids=BAD_TYPES.keys())
def test_a_search_refuses_other_types(change):
    with pytest.raises(TypeError):
        local.NodeSearch(**GOOD | change)


@pytest.mark.parametrize(
    "call",
    [
        lambda node: node.exchange(4),
        lambda node: node.exchange(-1),
        lambda node: node.redeal(0, 1, 1),
        lambda node: node.redeal(0, 1, 4),
        lambda node: node.redeal(int(node.loads.argmin()), int(node.loads.argmax()), 3),
        lambda node: node.restart(np.array([0, 1, 2])),
        lambda node: node.restart(np.array([0, 1, 2, 3, 4, 5, 0, 7])),
        lambda node: node.advance(10, -1),
        lambda node: node.advance(10, 2**60),
        lambda node: node.fit_counts(0, 1),
        lambda node: node.draw_counts(0),
        lambda node: node.renew(-1),
        lambda node: node.scan_counts(10, -1),
        lambda node: node.sorted_subsets(0, 2),
        lambda node: node.sorted_subsets(0, 0),
    ],
)
def test_a_move_refuses_what_the_node_does_not_have(call):
    node = local.NodeSearch(**GOOD)
    slots = node.slots
    with pytest.raises(ValueError, match=r"\."):
        call(node)
    assert (node.slots == slots).all()


@pytest.mark.parametrize(
    ("pieces", "counts", "num_gpus", "slots_per_gpu"),
    [
        ([1, 2], [2, 1], 2, 2),
        ([1, 2], [2, 3], 2, 2),
        ([1, 2], [-2, 6], 2, 2),
        ([-1, 2], [2, 2], 2, 2),
        ([1, 2, 3], [2, 2], 2, 2),
        ([2**62, 2], [2, 2], 2, 2),
        ([1, 2], [2, 2], 0, 2),
        ([1, 2], [2, 2], 2**40, 2**40),
    ],
)
def test_a_packing_refuses_counts_that_do_not_fill_the_slots(
    pieces, counts, num_gpus, slots_per_gpu
):
    with pytest.raises(ValueError, match=r"\."):
        local.pack(np.array(pieces), np.array(counts), num_gpus, slots_per_gpu, False)


def test_a_layer_refuses_nodes_that_do_not_fit_each_other():
    weights, slots = GOOD["weights"][None, :], GOOD["slots"][None, :]
    local.LayerSearch(weights, slots, 4, False, 5, 0)
    with pytest.raises(ValueError, match="nodes"):
        local.LayerSearch(np.repeat(weights, 2, axis=0), slots, 4, False, 5, 0)
    with pytest.raises(ValueError, match="at least one node"):
        local.LayerSearch(weights[:0], slots[:0], 4, False, 5, 0)
    with pytest.raises(ValueError, match="target"):
        local.LayerSearch(weights, slots, 4, False, -5, 0)
    with pytest.raises(ValueError, match="not every expert"):
        local.LayerSearch(weights, slots * 0, 4, False, 5, 0)


def test_a_read_only_plan_may_be_searched():
    weights, slots = GOOD["weights"][None, :], GOOD["slots"][None, :].copy()
    slots.flags.writeable = False
    search = local.LayerSearch(weights, slots, 4, False, 5, 0)
    search.run_steps(100)
    assert search.best <= 6


@pytest.mark.parametrize("seconds", [0.0, -1.0, -1e300, 1e300, float("inf")])
def test_any_time_may_be_given(seconds):
    search = local.LayerSearch(GOOD["weights"][None, :], GOOD["slots"][None, :], 4, False, 6, 0)
    search.run_until(seconds)
    assert search.best <= 12


def test_no_time_at_all_is_refused():
    search = local.LayerSearch(GOOD["weights"][None, :], GOOD["slots"][None, :], 4, False, 0, 0)
    with pytest.raises(ValueError, match="number"):
        search.run_until(float("nan"))


@pytest.mark.parametrize(
    ("loads", "words"),
    [([0, 0], "zero"), ([], "zero"), ([1, -1], "negative"), ([2**62, 2**62], "2\\*\\*63")],
)
def test_fixed_point_refuses_loads_without_a_total(loads, words):
    with pytest.raises(ValueError, match=words):
        local.fixed_point(np.array(loads, dtype=np.int64))
