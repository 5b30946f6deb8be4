"""The compiled design at its binding: what does not fit is refused, and time ends it."""

import threading
import time

import numpy as np
import pytest

from eplb_opt.core import annealing

NUM_GPUS, NUM_EXPERTS = 4, 6
SLOTS = np.array([0, 1, 2, 3, 4, 5, 0, 1])
WEIGHT = np.random.default_rng(0).random((NUM_EXPERTS, 5))
NOTHING = np.zeros((0, NUM_EXPERTS), dtype=bool)
THRESHOLDS = -np.log((np.arange(1024) + 0.5) / 1024)


def machine(apart=True):
    no_ties, no_unit = np.zeros((0, NUM_EXPERTS), dtype=np.int8), np.zeros(0, dtype=np.int64)
    return annealing.Machine(
        np.ones(NUM_GPUS), np.arange(0, 9, 2), no_ties, no_unit, node_size=8, apart=apart
    )


def design_loads(weight=WEIGHT, worst=False, slack=np.inf):
    return annealing.DesignLoads(weight, worst, np.ascontiguousarray(weight[:, 0]), slack)


def design(slots=SLOTS, held=NOTHING, weight=WEIGHT, worst=False, apart=True):
    chance = annealing.Chance(THRESHOLDS, 7)
    search = annealing.DesignSearch(
        machine(apart), design_loads(weight, worst), slots, held, chance
    )
    search.set_shares(np.full(weight.shape[1], 1 / weight.shape[1]))
    return search


BAD_STARTS = {
    "slots has 7": {"slots": SLOTS[:7]},
    "holds 6": {"slots": SLOTS + 1},
    "holds -1": {"slots": SLOTS - 1},
    "Expert 5 stands in no slot": {"slots": SLOTS % 5},
    "held": {"held": np.zeros((3, NUM_EXPERTS), dtype=bool)},
    "held has 5": {"held": np.zeros((NUM_GPUS, 5), dtype=bool)},
    "weight": {"weight": WEIGHT[:5]},
    "apart": {"apart": False},
}


@pytest.mark.parametrize("message", BAD_STARTS)
def test_a_start_that_does_not_fit_is_refused(message):
    with pytest.raises(ValueError, match=message):
        design(**BAD_STARTS[message])


BAD_LOADS = {
    "heaviest": (WEIGHT, False, np.ones(5), 1.0),
    "There is no load": (WEIGHT[:, :0], False, np.ones(6), 1.0),
}


@pytest.mark.parametrize("message", BAD_LOADS)
def test_loads_that_do_not_fit_are_refused(message):
    with pytest.raises(ValueError, match=message):
        annealing.DesignLoads(*BAD_LOADS[message])


BAD_CALLS = {
    "share": lambda search: search.set_shares(np.ones(4)),
    "weight": lambda search: search.change_loads(WEIGHT[:, :4]),
    "slots": lambda search: search.restart(SLOTS[:4]),
    "doublings": lambda search: search.anneal(61, 0.0, 0.0, 200, 1, 1.0),
    "kept": lambda search: search.plan(1),
}


@pytest.mark.parametrize("message", BAD_CALLS)
def test_calls_that_do_not_fit_are_refused(message):
    with pytest.raises(ValueError, match=message):
        BAD_CALLS[message](design())


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0, 1e300])
@pytest.mark.parametrize("worst", [False, True])
def test_any_load_ends(value, worst):
    weight = WEIGHT.copy()
    weight[:, 1] = value
    search = design(weight=weight, worst=worst)
    search.anneal(6, 0.1, 0.0, 200, 2000, np.inf)
    assert sorted(set(search.slots())) == list(range(NUM_EXPERTS))


def test_no_expert_comes_to_stand_twice_on_a_gpu_and_none_is_lost():
    search = design()
    for doublings in (2, 4, 6):
        search.anneal(doublings, 0.1, 0.0, 500, 3000, np.inf)
        for gpu in search.slots().reshape(NUM_GPUS, 2):
            assert gpu[0] != gpu[1]
        assert sorted(set(search.slots())) == list(range(NUM_EXPERTS))


def test_sums_of_powers_do_not_drown_in_what_was_added_and_taken_away():
    # Under the third load, expert 0 alone makes a GPU's 16th power 1e80 times all others'.
    weight = WEIGHT.copy()
    weight[0, 2] = 1e5
    search = design(weight=weight)
    search.anneal(4, 1e6, 0.0, 500, 20_000, np.inf)  # anything goes, so it wanders
    assert np.isfinite(search.values()).all()
    search.change_loads(WEIGHT)
    search.forget_best()
    search.anneal(4, 0.0, 0.0, 200, 20_000, np.inf)
    plain = design()
    plain.anneal(4, 1e-3, 0.0, 200, 20_000, np.inf)
    assert search.values()[0] <= plain.values()[0] * 1.2


def test_the_clock_ends_it():
    search, began = design(), time.monotonic()
    search.anneal(4, 1e-3, 0.0, 200, 2**60, 0.05)
    assert time.monotonic() - began < 10  # without the clock it would not end


def test_searches_of_several_threads_do_not_touch_each_other():
    def work():
        search = design()
        search.anneal(4, 1e-2, 0.0, 200, 20_000, np.inf)
        found.append(search.flow().tobytes())

    found = []
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
