"""The compiled split at its binding: what does not fit is refused, whatever it is."""

import threading

import numpy as np
import pytest

from eplb_opt.core import dispatch

PLACED = np.array([[0, 1, 2, 0], [2, 1, 0, -1]])
LOAD = np.arange(12.0).reshape(2, 2, 3)

BAD_PLACEMENTS = {
    "holds 3": (PLACED + 1, 3, 2),
    "holds -2": (PLACED - 1, 3, 2),
    "does not divide": (PLACED, 3, 3),
    "num_experts": (PLACED, 0, 2),
    "num_experts is not": (PLACED, 2**31, 2),
    "num_gpus": (PLACED, 3, 0),
    "slots are at least 1": (PLACED[:, :0], 3, 1),
}


@pytest.mark.parametrize("message", BAD_PLACEMENTS)
def test_a_placement_that_cannot_be_traced_is_refused(message):
    with pytest.raises(ValueError, match=message):
        dispatch.Routes(*BAD_PLACEMENTS[message])


@pytest.mark.parametrize("placed", [PLACED[0], PLACED[None], "text", None, [[0, 1]], 3])
def test_what_is_no_matrix_is_refused(placed):
    with pytest.raises(TypeError):
        dispatch.Routes(placed, 3, 2)


BAD_LOADS = {
    "layers": (LOAD[:, :1], np.ones(2)),
    "experts": (LOAD[..., :2], np.ones(2)),
    "speed has 3": (LOAD, np.ones(3)),
    "speed is above 0": (LOAD, np.array([1.0, 0.0])),
    "is above 0": (LOAD, np.array([1.0, np.nan])),
    "num_sweeps": (LOAD, np.ones(2), 0),
    "num_sweeps is at least": (LOAD, np.ones(2), 1, -1),
}


@pytest.mark.parametrize("message", BAD_LOADS)
def test_loads_that_do_not_fit_are_refused(message):
    routes = dispatch.Routes(PLACED, 3, 2)
    with pytest.raises(ValueError, match=message):
        routes.split(*BAD_LOADS[message])


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 5e-324, 1.7e308])
def test_any_load_ends(value):
    load = LOAD.copy()
    load[0, 0] = value
    weights, proven = dispatch.Routes(PLACED, 3, 2).split(load, np.ones(2))
    assert weights.shape == (2, 2, 4)
    assert proven.shape == (2, 2)
    whole, _ = dispatch.Routes(PLACED, 3, 2).split(LOAD, np.ones(2))
    assert weights[1].tobytes() == whole[1].tobytes()  # the other scenario is not touched


def test_no_layer_and_no_scenario_give_nothing():
    assert dispatch.Routes(PLACED, 3, 2).split(LOAD[:0], np.ones(2))[0].shape == (0, 2, 4)
    assert dispatch.Routes(PLACED[:0], 3, 2).split(LOAD[:, :0], np.ones(2))[0].shape == (2, 0, 4)


def test_threads_share_the_routes():
    rng = np.random.default_rng(0)
    routes = dispatch.Routes(rng.integers(0, 64, (20, 96)), 64, 16)
    load = rng.random((4, 20, 64))
    expected, found = routes.split(load, np.ones(16))[0], []
    threads = [
        threading.Thread(target=lambda: found.append(routes.split(load, np.ones(16))[0]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(weights.tobytes() == expected.tobytes() for weights in found)
