"""What the hot path answers: never worse, always valid, the same everywhere."""

import hashlib
import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem, ProblemError
from eplb_opt.bench.families import family_loads
from eplb_opt.bench.soak import check_maps, random_call, random_loads, soak
from eplb_opt.engines.serving.call import rebalance
from eplb_opt.placement.scoring import largest_gpu_loads
from heuristics import greedy_numpy

LOAD = family_loads("lognormal-1.0", 6, 64, 0)
SIZES = {
    "K=9": (144, 1, 1, 16),
    "K=4": (80, 1, 1, 20),
    "K=3": (72, 1, 1, 24),
    "K=2": (80, 1, 1, 40),
    "K=1": (80, 1, 1, 80),
    "nodes": (80, 8, 4, 16),
    "nodes, K=2": (80, 8, 2, 40),
}


def objective(load, sizes, placed):
    slots, groups, nodes, gpus = sizes
    problem = Problem(load, slots, gpus, nodes, groups if nodes > 1 else 1)
    eplb_opt.Plan(placed, gpus).check(problem)
    return largest_gpu_loads(problem.load, np.asarray(placed), gpus)


def greedy(load, sizes):
    return greedy_numpy.rebalance_experts(load, *sizes)[0]


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("budget", [{"effort": 200}, {"time_limit": 0.01}], ids=str)
def test_no_layer_is_worse_than_the_greedys(sizes, budget):
    ours = objective(LOAD, sizes, rebalance(LOAD, *sizes, **budget)[0])
    theirs = objective(LOAD, sizes, greedy(LOAD, sizes))
    assert all(a <= b for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("sizes", [s for name, s in SIZES.items() if name != "K=1"])
def test_effort_brings_better_plans(sizes):
    ours = objective(LOAD, sizes, rebalance(LOAD, *sizes, effort=300)[0])
    assert sum(ours) < sum(objective(LOAD, sizes, greedy(LOAD, sizes)))


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_more_effort_is_never_worse(sizes):
    reached = [
        objective(LOAD, sizes, rebalance(LOAD, *sizes, effort=n)[0])
        for n in (0, 1, 2, 5, 20, 21, 100, 500)
    ]
    for less, more in itertools.pairwise(reached):
        assert all(b <= a for a, b in zip(less, more, strict=True))


def test_without_effort_it_is_the_greedy():
    maps = rebalance(LOAD, *SIZES["K=4"], effort=0)
    for mine, theirs in zip(maps, greedy_numpy.rebalance_experts(LOAD, *SIZES["K=4"]), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("budget", [{"effort": 3}, {"time_limit": 0.004}], ids=str)
def test_no_layer_is_worse_than_the_plan_in_force(sizes, budget):
    current = rebalance(LOAD, *sizes, effort=2000)[0]
    drifted = LOAD + np.arange(64) % 3
    ours = objective(drifted, sizes, rebalance(drifted, *sizes, current=current, **budget)[0])
    theirs = objective(drifted, sizes, current)
    assert all(a <= b for a, b in zip(ours, theirs, strict=True))


def test_layers_of_the_plan_in_force_that_are_no_longer_valid_are_not_used():
    sizes = SIZES["K=4"]
    current = rebalance(LOAD, *sizes, effort=500)[0]
    broken = current.copy()
    broken[2] = 0
    broken[3, 0] = -1
    mixed = rebalance(LOAD, *sizes, effort=0, current=broken)[0]
    alone = rebalance(LOAD, *sizes, effort=0)[0]
    np.testing.assert_array_equal(mixed[2:4], alone[2:4])
    np.testing.assert_array_equal(mixed[[0, 1, 4, 5]], current[[0, 1, 4, 5]])


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("budget", [{"effort": 0}, {"time_limit": 0.0005}], ids=str)
def test_a_plan_in_force_as_good_as_the_greedys_stays(sizes, budget):
    slots, _, nodes, gpus = sizes
    placed = rebalance(LOAD, *sizes, effort=0)[0]
    by_node = placed.reshape(len(LOAD), nodes, gpus // nodes, slots // gpus)
    current = by_node[:, :, ::-1].reshape(placed.shape)
    kept = rebalance(LOAD, *sizes, current=current, **budget)[0]
    better = objective(LOAD, sizes, kept)
    for row, (mine, theirs) in enumerate(zip(better, objective(LOAD, sizes, current), strict=True)):
        assert mine < theirs or (kept[row] == current[row]).all()


def test_a_plan_in_force_that_splits_a_group_is_not_used():
    flat, nodes = rebalance(LOAD, 80, 1, 1, 16, effort=500)[0], SIZES["nodes"]
    objective(LOAD, nodes, rebalance(LOAD, *nodes, effort=0, current=flat)[0])  # checks the laws


def test_a_layers_plan_does_not_depend_on_its_neighbours():
    for sizes in SIZES.values():
        together = rebalance(LOAD, *sizes, effort=150)[0]
        for layer_idx in (0, 4):
            alone = rebalance(LOAD[[layer_idx]], *sizes, effort=150)[0]
            np.testing.assert_array_equal(alone[0], together[layer_idx])


@pytest.mark.parametrize("seed", range(40))
def test_odd_shapes_and_loads_are_planned_and_never_worse(seed):
    rng = np.random.default_rng(seed)
    weight, sizes, effort = random_call(rng)
    maps = rebalance(weight, *sizes, effort=effort)
    check_maps(weight, sizes, maps)
    if weight.sum(axis=1).max() < 2**62:
        mine, theirs = (objective(weight, sizes, p) for p in (maps[0], greedy(weight, sizes)))
        assert all(a <= b for a, b in zip(mine, theirs, strict=True))


def test_a_share_of_the_soak():
    report = soak(1500, seed=7)
    assert report.calls == 1500


def test_soak_loads_are_of_every_kind():
    rng = np.random.default_rng(0)
    drawn = [random_loads(rng, 2, 16) for _ in range(200)]
    assert any((x == 0).all() for x in drawn)
    assert any(x.dtype == np.float32 for x in drawn)
    assert any(x.dtype == np.int64 for x in drawn)


BYTES = """
import hashlib, sys, threading
import eplb_opt
from eplb_opt.bench.families import family_loads
load = family_loads("lognormal-1.0", 6, 64, 0)
def digest(results):
    digest = hashlib.sha256()
    for sizes in ((144, 1, 1, 16), (80, 1, 1, 40), (80, 8, 4, 16)):
        for array in eplb_opt.rebalance_experts(load, *sizes, effort=300):
            digest.update(array.tobytes())
    results.append(digest.hexdigest())
results = []
threads = [threading.Thread(target=digest, args=(results,)) for _ in range({threads})]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*set(results))
"""


def expected_digest():
    digest = hashlib.sha256()
    for name in ("K=9", "K=2", "nodes"):
        for array in rebalance(LOAD, *SIZES[name], effort=300):
            digest.update(array.tobytes())
    return digest.hexdigest()


def fresh(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"},
        {"PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "8", "LANG": "C"},
        # What the loader then takes the narrow copies for, where it knows the setting.
        {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX512F,-FMA"},
    ],
    ids=str,
)
def test_effort_gives_the_same_bytes_in_every_process(environment):
    done = fresh(BYTES.replace("{threads}", "1"), **environment)
    assert done.stdout.split() == [expected_digest()]


def test_calls_in_threads_give_the_same_bytes():
    expected, found = expected_digest(), []
    threads = [threading.Thread(target=lambda: found.append(expected_digest())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x * np.nan, "NaN"),
        (lambda x: x * np.inf, "NaN or inf"),
        (lambda x: -x, "below 0"),
        (lambda x: x[0], "shape"),
        (lambda x: x.astype(str), "dtype"),
        (lambda x: (x + 2) * (2**62 // x.sum(axis=1).min()), "2\\*\\*62"),
    ],
)
def test_bad_loads_are_refused(change, message):
    with pytest.raises(ProblemError, match=message):
        rebalance(change(LOAD.astype(np.int64)), *SIZES["K=4"], effort=1)


@pytest.mark.parametrize("current", [np.zeros((6, 5), int), np.zeros((6, 80)), [[1, 2]]])
def test_a_current_plan_of_another_shape_is_refused(current):
    with pytest.raises(ProblemError, match="current"):
        rebalance(LOAD, *SIZES["K=4"], effort=1, current=current)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ProblemError, match="multiple"):
        rebalance(LOAD, 81, 1, 1, 20, effort=1)
