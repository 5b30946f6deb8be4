"""Splits of loads over the copies: as level as the exact optimum, and the same bytes twice."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt import Plan, PlanError, ProblemError
from eplb_opt.engines.dispatch import split
from eplb_opt.engines.dispatch.call import Dispatcher
from eplb_opt.placement.level_flow import least_level

SPEEDS = st.sampled_from([1, 1, 1.5, 0.25])
LOADS = st.one_of(st.integers(0, 5), st.integers(0, 1000), st.just(0), st.integers(0, 2**40))


@st.composite
def cases(draw, max_gpus=6, room=3):
    """Ids with empty slots and copies side by side, loads, and speeds or none."""
    num_gpus, room = draw(st.integers(1, max_gpus)), draw(st.integers(1, room))
    num_experts = draw(st.integers(1, num_gpus * room))
    ids = st.integers(-1, num_experts - 1)
    row = draw(st.lists(ids, min_size=num_gpus * room, max_size=num_gpus * room))
    load = [draw(LOADS) if e in row else 0 for e in range(num_experts)]
    speed = draw(st.none() | st.lists(SPEEDS, min_size=num_gpus, max_size=num_gpus))
    if max(row) < 0:
        row[0] = 0
    return np.array([row]), np.array([load]), num_gpus, speed


def hosts_of(row, num_experts, num_gpus):
    room = len(row) // num_gpus
    return [sorted({p // room for p, e in enumerate(row) if e == i}) for i in range(num_experts)]


def optimum(row, load, num_gpus, speed=None):
    """The exact least level."""
    speed = None if speed is None else [Fraction(s) for s in speed]
    hosts = hosts_of(row.tolist(), len(load), num_gpus)
    return float(least_level([int(w) for w in load], hosts, num_gpus, speed).level)


def level(weights, row, load, num_gpus, speed=None):
    tokens = np.where(row >= 0, weights * load[row], 0.0)
    return (tokens.reshape(num_gpus, -1).sum(1) / (1 if speed is None else speed)).max()


def assert_shares(weights, row, num_gpus):
    """Each expert's sum to 1, none is negative, none is empty's, and a GPU's copies are equal."""
    assert weights.min() >= 0
    assert not weights[row < 0].any()
    room = len(row) // num_gpus
    for expert in np.unique(row[row >= 0]):
        assert weights[row == expert].sum() == pytest.approx(1, abs=1e-14)
    for gpu in range(num_gpus):
        here = slice(gpu * room, (gpu + 1) * room)
        for expert in np.unique(row[here]):
            assert np.unique(weights[here][row[here] == expert]).size == 1


@settings(max_examples=300, deadline=None)
@given(case=cases())
def test_no_split_is_more_level(case):
    placed, load, num_gpus, speed = case
    plan = Plan(placed, num_gpus, load.shape[1])
    weights = eplb_opt.dispatch(plan, load, gpu_speed=speed)
    assert_shares(weights[0], placed[0], num_gpus)
    best = optimum(placed[0], load[0], num_gpus, speed)
    assert level(weights[0], placed[0], load[0], num_gpus, speed) == pytest.approx(best, rel=1e-8)


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_the_exact_split_meets_the_exact_level(case):
    placed, load, num_gpus, speed = case
    plan = Plan(placed, num_gpus, load.shape[1])
    weights = eplb_opt.dispatch(plan, load, gpu_speed=speed, exact=True)
    assert_shares(weights[0], placed[0], num_gpus)
    best = optimum(placed[0], load[0], num_gpus, speed)
    assert level(weights[0], placed[0], load[0], num_gpus, speed) == pytest.approx(best, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(case=cases(max_gpus=4, room=2))
def test_sweeps_alone_have_the_optimum_as_their_fixed_point(case):
    placed, load, num_gpus, speed = case
    held = Dispatcher.of(Plan(placed, num_gpus, load.shape[1]), gpu_speed=speed)
    rows = load[None].astype(float)
    weights, _ = held.routes.compiled.split(rows, held.gpu_speed, 20_000, most_searches=0)
    best = optimum(placed[0], load[0], num_gpus, speed)
    found = level(weights[0, 0], placed[0], load[0], num_gpus, speed)
    assert found == pytest.approx(best, rel=1e-6)


def chain(num_gpus):
    """Expert g links GPU g with the next one; the last GPU has as much load again of its own."""
    links, last = num_gpus - 1, num_gpus - 2
    row = [[e for g in range(num_gpus) for e in (max(g - 1, 0), min(g, last), links + g)]]
    load = np.zeros((1, links + num_gpus))
    load[0, :links] = load[0, -1] = 1000
    return np.array(row), load


@pytest.mark.parametrize("num_gpus", [3, 32, 144])
def test_long_chains_are_levelled_to_the_end(num_gpus):
    row, load = chain(num_gpus)
    weights = eplb_opt.dispatch(row, load, num_gpus=num_gpus)
    best = optimum(row[0], load[0], num_gpus)
    assert level(weights[0], row[0], load[0], num_gpus) == pytest.approx(best, rel=1e-9)


def random_rows(seed, num_layers, num_experts, num_slots):
    rng = np.random.default_rng(seed)
    spare = [rng.choice(num_experts, num_slots - num_experts) for _ in range(num_layers)]
    rows = [rng.permutation([*range(num_experts), *more]) for more in spare]
    return np.array(rows), rng.lognormal(0, 1, (3, num_layers, num_experts)) * 1000


@pytest.mark.parametrize(("num_slots", "num_gpus"), [(80, 16), (96, 32), (160, 16)])
def test_linear_programming_finds_nothing_better(num_slots, num_gpus):
    optimize = pytest.importorskip("scipy.optimize")
    rows, load = random_rows(num_slots, 2, 64, num_slots)
    weights = eplb_opt.dispatch(rows, load, num_gpus=num_gpus)
    for layer_idx, row in enumerate(rows):
        pairs = sorted({(e, p // (num_slots // num_gpus)) for p, e in enumerate(row)})
        expert, gpu = np.array(pairs).T
        cost = np.zeros(len(pairs) + 1)
        cost[-1] = 1
        sums = (expert == np.arange(64)[:, None]).astype(float)
        tops = (gpu == np.arange(num_gpus)[:, None]).astype(float)
        best = optimize.linprog(
            cost, np.c_[tops, -np.ones(num_gpus)], np.zeros(num_gpus),
            np.c_[sums, np.zeros(64)], load[1, layer_idx],
        ).fun  # fmt: skip
        found = level(weights[1, layer_idx], row, load[1, layer_idx], num_gpus)
        assert found == pytest.approx(best, rel=1e-8)


def test_what_is_called_proven_is_the_optimum():
    rows, load = random_rows(1, 3, 64, 96)
    held = Dispatcher.of(rows, num_gpus=16)
    _, proven = split.split(held.routes, load, held.gpu_speed)
    for layer_idx, row in enumerate(rows):
        tokens, unit = split.in_integers(load[2, layer_idx])
        best = optimum(row, tokens, 16) / unit
        assert proven[2, layer_idx] == pytest.approx(best, rel=1e-9)


def test_scenarios_and_layers_do_not_touch_each_other():
    rows, load = random_rows(2, 4, 64, 96)
    together = eplb_opt.dispatch(rows, load, num_gpus=16)
    assert together.shape == (3, 4, 96)
    for scenario in range(3):
        alone = eplb_opt.dispatch(rows[2:3], load[scenario, 2:3], num_gpus=16)
        assert alone.tobytes() == together[scenario, 2:3].tobytes()


def test_the_same_call_gives_the_same_bytes():
    rows, load = random_rows(3, 4, 64, 96)
    plan = Plan(rows, 16)
    assert eplb_opt.dispatch(plan, load).tobytes() == eplb_opt.dispatch(plan, load).tobytes()
    assert eplb_opt.dispatch(plan, load).tobytes() == (
        eplb_opt.dispatch(rows, load, num_gpus=16).tobytes()
    )


def test_experts_under_other_numbers_are_split_as_level():
    rows, load = random_rows(4, 3, 64, 96)
    new = np.random.default_rng(0).permutation(64)
    old = np.argsort(new)
    first = eplb_opt.dispatch(rows, load[0], num_gpus=16)
    second = eplb_opt.dispatch(new[rows], load[0][:, old], num_gpus=16)
    for i, row in enumerate(rows):
        assert level(first[i], row, load[0, i], 16) == pytest.approx(
            level(second[i], new[row], load[0, i, old], 16), rel=1e-9
        )


@pytest.mark.parametrize("scale", [1e-290, 2.0**-60, 2.0**60, 1e300])
def test_the_unit_of_the_loads_does_not_matter(scale):
    rows, load = random_rows(5, 2, 64, 96)
    plain = eplb_opt.dispatch(rows, load[0], num_gpus=16)
    scaled = eplb_opt.dispatch(rows, load[0] * scale, num_gpus=16)
    np.testing.assert_allclose(scaled, plain, atol=1e-9)


def test_an_expert_without_load_is_split_evenly():
    weights = eplb_opt.dispatch([[0, 1, 1, -1, 1, 0]], [[9, 0]], num_gpus=3)
    np.testing.assert_allclose(weights, [[0.5, 1 / 3, 1 / 3, 0, 1 / 3, 0.5]])


def test_tensors_come_back_as_tensors():
    torch = pytest.importorskip("torch")
    rows, load = random_rows(7, 2, 64, 96)
    arrays = eplb_opt.dispatch(rows, load, num_gpus=16)
    tensors = eplb_opt.dispatch(torch.tensor(rows), torch.tensor(load), num_gpus=16)
    assert tensors.dtype == torch.float64
    np.testing.assert_array_equal(tensors.numpy(), arrays)
    half = eplb_opt.dispatch(rows, torch.tensor(load).bfloat16(), num_gpus=16)
    assert half.shape == tensors.shape


BAD = {
    "num_gpus=": (PlanError, [[0, 1]], [[1, 1]], {}),
    "2 slots": (PlanError, [[0, 1]], [[1, 1]], {"num_gpus": 3}),
    "for 2 GPUs": (PlanError, Plan([[0, 1]], 2), [[1, 1]], {"num_gpus": 1}),
    "expert 1 has load 3 and no slot": (PlanError, [[0, 2]], [[1, 3, 1]], {"num_gpus": 2}),
    "expert 2 has load": (PlanError, [[0, 1]], [[1, 1, 1]], {"num_gpus": 2}),
    "need 3": (ProblemError, [[0, 2]], [[1, 1]], {"num_gpus": 2}),
    "from -1": (ProblemError, [[0, 1]], [[1, -1]], {"num_gpus": 2}),
    "sums to nan": (ProblemError, [[0, 1]], [[1, float("nan")]], {"num_gpus": 2}),
    "sums to inf": (ProblemError, [[0, 1]], [[1e308, 1e308]], {"num_gpus": 2}),
    "1 layers": (ProblemError, [[0, 1]], [[1, 1], [1, 1]], {"num_gpus": 2}),
    "must hold something": (ProblemError, [[0, 1]], np.ones((0, 1, 2)), {"num_gpus": 2}),
    "gpu_speed": (ProblemError, [[0, 1]], [[1, 1]], {"num_gpus": 2, "gpu_speed": [1, 0]}),
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_split_is_refused_with_the_numbers(message):
    error, plan, load, options = BAD[message]
    with pytest.raises(error, match=message), np.errstate(all="ignore"):
        eplb_opt.dispatch(plan, load, **options)


def test_arrays_that_may_not_be_written_are_split_too():
    rows, load = random_rows(8, 1, 16, 24)
    first = eplb_opt.dispatch(rows, load, num_gpus=8)
    load.flags.writeable = False
    rows.flags.writeable = False
    assert eplb_opt.dispatch(rows, load, num_gpus=8).tobytes() == first.tobytes()


def test_pouring_onto_gpus_that_are_level_but_for_rounding_ends():
    # Experts 0 to 2 are alone on a GPU, expert 3 is on all of them.
    plan, rng = Plan([[0, 3, 1, 3, 2, 3]], 3), np.random.default_rng(0)
    held = Dispatcher.of(plan)
    levels = rng.choice([1.0, 3.0, 1 / 3], (20_000, 3))
    levels *= 1 + rng.integers(-2, 3, levels.shape) * 2.0**-52
    load = np.c_[levels, rng.choice([1e-16, 2 / 3, 0.1, 8 / 3], 20_000)][:, None]
    weights, _ = held.routes.compiled.split(load, held.gpu_speed, most_searches=0)
    np.testing.assert_allclose(weights[:, 0, 1::2].sum(axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize("speed", [None, [1, 2, 3]])
@pytest.mark.parametrize("ratio", [1e14, 1e16, 1e20, 1e200])
def test_tokens_that_are_rounding_beside_others_are_shares_all_the_same(ratio, speed):
    row = np.array([0, 1, 0, 1, 0, 1])
    weights = eplb_opt.dispatch(row[None], [[ratio, 1]], num_gpus=3, gpu_speed=speed)
    assert_shares(weights[0], row, 3)
    load = np.array([ratio, 1])
    best = ratio / sum(speed or [1, 1, 1])
    assert level(weights[0], row, load, 3, speed or 1) == pytest.approx(best, rel=1e-12)


@settings(max_examples=200, deadline=None)
@given(case=cases(), data=st.data())
def test_loads_of_any_magnitude_are_split_to_the_last_digits(case, data):
    placed, load, num_gpus, _ = case
    unit = 2.0 ** data.draw(st.integers(-900, 900))
    power = st.integers(-60, 60)
    load = load * unit * np.array([[2.0 ** data.draw(power) for _ in load[0]]])
    held = Dispatcher.of(Plan(placed, num_gpus, load.shape[1]))
    weights = held(load)
    assert_shares(weights[0], placed[0], num_gpus)
    tokens, unit = split.in_integers(load[0])
    best = optimum(placed[0], tokens, num_gpus) / unit if max(tokens) else 0
    assert level(weights[0], placed[0], load[0], num_gpus) <= best * (1 + 1e-13)
