"""What the core's engine for two slots a GPU refuses, and that it crashes on nothing."""

import math
import threading

import numpy as np
import pytest

from eplb_opt.core import pairs

LOAD = np.array([9, 7, 5, 3, 2, 1])
COUNTS = np.array([2, 2, 1, 1, 1, 1])
BAD_LAYERS = {
    "no experts": (np.array([], dtype=np.int64), 4, 8),
    "a negative load": (np.array([3, -1]), 4, 8),
    "a load beyond the units": (np.array([2**62, 1]), 63, 8),
    "a negative scale": (LOAD, -1, 8),
    "a scale beyond 64 bits": (LOAD, 64, 8),
    "an odd number of slots": (LOAD, 4, 9),
    "fewer slots than experts": (LOAD, 4, 4),
    "more slots than can be numbered": (LOAD, 4, 2**40),
}


@pytest.mark.parametrize("fault", BAD_LAYERS)
def test_bad_layers_are_refused(fault):
    with pytest.raises(ValueError, match=r"\."):
        pairs.Layer(*BAD_LAYERS[fault])


@pytest.mark.parametrize("load", [LOAD[None, :], "loads", None, 3])
def test_loads_that_are_no_row_are_refused(load):
    with pytest.raises(TypeError):
        pairs.Layer(load, 4, 8)


@pytest.mark.parametrize("level", [0, -1, 2**126, -(2**200), 2**200])
def test_levels_out_of_range_are_refused(level):
    layer = pairs.Layer(LOAD, 4, 8)
    for use in (layer.fewest, lambda at: pairs.list_options(layer, at)):
        with pytest.raises(ValueError, match="level"):
            use(level)
    with pytest.raises(ValueError, match="level"):
        pairs.Tree(layer, level, math.inf)


@pytest.mark.parametrize("level", [1, 2**60, 2**64, 2**125])
def test_extreme_levels_are_answered(level):
    tree = pairs.Tree(pairs.Layer(LOAD, 4, 8), level, math.inf)
    tree.grow(5, math.inf)
    assert tree.is_closed == (level == 1)


def test_prices_masks_and_sums_that_do_not_fit_are_refused():
    layer = pairs.Layer(LOAD, 8, 8)
    options = pairs.list_options(layer, 8 << 8)
    num_rows = len(options.threshold)
    assert num_rows > 0
    for price in (np.zeros(num_rows + 1, int), np.full(num_rows, -1), np.full(num_rows, 2**40)):
        with pytest.raises(ValueError, match="price"):
            options.prove(price)
    for mask in (np.zeros(len(options.count), bool), np.ones(3, bool)):
        with pytest.raises(ValueError, match=r"mask|no option"):
            options.keep(mask)
    tree = pairs.Tree(layer, 8 << 8, math.inf)
    falling = np.arange(num_rows, 0, -1.0)
    for sums in (np.zeros(num_rows + 1), falling, np.full(num_rows, np.nan), falling * 0 + 1e9):
        with pytest.raises(ValueError, match="running"):
            tree.begin_at(sums)


BAD_COUNTS = {
    "too few counts": (COUNTS[:3], (0, 1)),
    "a count of none": (COUNTS * 0, (0, 1)),
    "a huge count": (COUNTS * 2**40, (0, 1)),
    "an expert that there is not": (COUNTS, (0, 6)),
    "a replica for oneself": (COUNTS, (0, 0)),
    "an only replica": (COUNTS, (5, 0)),
    "an expert before the first": (COUNTS, (-2, 0)),
}


@pytest.mark.parametrize("fault", BAD_COUNTS)
def test_bad_counts_and_moves_are_refused(fault):
    with pytest.raises(ValueError, match=r"\."):
        pairs.rate(LOAD * 1.0, *BAD_COUNTS[fault], 0.0)


def test_searches_on_what_does_not_fit_are_refused():
    load, one = LOAD * 1.0, np.ones(6, int)
    for bad in (np.full(6, np.nan), -load, load[:0]):
        with pytest.raises(ValueError, match=r"\."):
            pairs.search_counts(bad, COUNTS, (one, COUNTS), (0.0, 0.5), (5, 1.0))
    with pytest.raises(ValueError, match="lowest"):
        pairs.search_counts(load, COUNTS, (one[:2], COUNTS), (0.0, 0.5), (5, 1.0))
    with pytest.raises(ValueError, match="highest"):
        pairs.search_counts(load, COUNTS, (one, COUNTS[:2]), (0.0, 0.5), (5, 1.0))
    with pytest.raises(ValueError, match="num_slots"):
        pairs.refill(load, COUNTS, 5)


def test_threads_that_share_a_tree_take_turns():
    load = np.random.default_rng(0).integers(1, 1000, 40)
    tree = pairs.Tree(pairs.Layer(load, 30, 56), int(load.sum() / 28 * 2**30), 0.0)

    def work():
        for _ in range(20):
            tree.grow(3, math.inf)
            tree.trace()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tree.trace()["rounds"]) == len(tree.trace()["entries"])


def test_arrays_of_another_type_or_layout_are_refused_and_never_converted():
    wide = np.repeat(LOAD, 2)
    layer, load, one = pairs.Layer(LOAD, 8, 8), LOAD * 1.0, np.ones(6, int)
    options = pairs.list_options(layer, 8 << 8)
    num_rows = len(options.threshold)
    calls = [
        (pairs.Layer, (LOAD + 0.5, 4, 8)),
        (pairs.Layer, (LOAD.astype(np.int32), 4, 8)),
        (pairs.Layer, (wide[::2], 4, 8)),
        (pairs.refill, (LOAD, COUNTS, 8)),
        (pairs.refill, (load, COUNTS + 0.5, 8)),
        (pairs.rate, (load, COUNTS[::-1], (0, 1), 0.0)),
        (pairs.search_counts, (load, COUNTS, (one * 1.5, COUNTS), (0.0, 0.5), (5, 1.0))),
        (options.keep, (np.ones(len(options.count)),)),
        (options.prove, (np.zeros(num_rows),)),
        (pairs.Tree(layer, 8 << 8, math.inf).begin_at, (np.zeros(num_rows, int),)),
    ]
    for call, arguments in calls:
        with pytest.raises(TypeError):
            call(*arguments)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_aim_beyond_the_way_is_refused(share):
    limits = np.ones(6, int), COUNTS
    with pytest.raises(ValueError, match="share"):
        pairs.search_counts(LOAD * 1.0, COUNTS, limits, (0.0, share), (5, 1.0))


def test_options_are_left_once_the_root_is_done():
    tree = pairs.Tree(pairs.Layer(LOAD, 8, 8), 8 << 8, math.inf)
    with pytest.raises(ValueError, match="root"):
        tree.options_left()
    tree.grow(1, math.inf)
    assert len(tree.options_left().first) == len(LOAD) + 1
    assert tree.most_cells > 0
