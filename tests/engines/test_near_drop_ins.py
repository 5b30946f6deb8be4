"""Drop-ins stay near the map in force."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from eplb_opt import Plan, Problem, ProblemError, evaluate
from eplb_opt.bench.families import family_loads
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.engines import ascend, atom, sglang
from eplb_opt.engines.by_senders import DISPATCH_VARIABLE
from eplb_opt.engines.every_rank import (
    COST_VARIABLE,
    DEFAULT_TOLERANCE,
    GAIN_VARIABLE,
    TOLERANCE_VARIABLE,
    place,
)
from eplb_opt.engines.vllm import EplbOptPolicy, ThreeMapsPolicy
from eplb_opt.placement.moves import moved_slots

NUM_SLOTS, NUM_GPUS = 72, 12
SIZES = NUM_SLOTS, 1, 1, NUM_GPUS
EARLIER = family_loads("lognormal-0.5", 3, 60, 0)
LATER = np.rint(EARLIER * np.random.default_rng(1).lognormal(0, 0.1, EARLIER.shape)).astype(int)
IN_FORCE = place(EARLIER, NUM_SLOTS, 1, 1, NUM_GPUS, effort=200)[0]


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    for variable in (TOLERANCE_VARIABLE, GAIN_VARIABLE, COST_VARIABLE, "EPLB_OPT_EFFORT"):
        monkeypatch.delenv(variable, raising=False)
    # vllm-ascend's own dispatch has its tests in test_by_senders.
    monkeypatch.setenv(DISPATCH_VARIABLE, "uniform")


def vllm(load, held):
    return np.asarray(EplbOptPolicy.rebalance_experts(load, NUM_SLOTS, 1, 1, NUM_GPUS, held))


def vllm_three_maps(load, held):
    maps = ThreeMapsPolicy.rebalance_experts(load, NUM_SLOTS, None, 1, NUM_GPUS, held)
    return np.asarray(maps[0])


def sglang_with_its_map(load, held):
    """SGLang's function with ours in its place, and its map where it keeps it."""
    metadata = SimpleNamespace(physical_to_logical_map_cpu=held)
    location = ModuleType(sglang.LOCATION_MODULE)
    vars(location)[sglang.LOCATION_FUNCTION] = lambda: metadata
    modules = {sglang.LOCATION_MODULE: location}
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        call = sglang._drop_in(lambda *_: None, None)
        return np.asarray(call(load[None], NUM_SLOTS, NUM_SLOTS // NUM_GPUS, 1, 1, "deepseek")[0])


def atom_layers(load, held):
    rows = zip(load, held, strict=True)
    maps = [atom.rebalance_layer(row, NUM_SLOTS, NUM_GPUS, old) for row, old in rows]
    return np.array([np.asarray(m[0]) for m in maps])


def common_call(load, held):
    return place(load, NUM_SLOTS, 1, 1, NUM_GPUS, current=held)[0]


def ascend_table(load, held):
    """Each expert's load stands in its slots in equal parts."""
    shape = (len(load), NUM_GPUS, -1)
    count = Plan(held, NUM_GPUS, load.shape[1]).logical_count
    slot_load = np.take_along_axis(load / count, held, 1)
    table = ascend.rebalance_experts(held.reshape(shape), slot_load.reshape(shape), least_gain=0.0)
    return table[2].reshape(len(load), -1)


DROP_INS = {
    "vllm": vllm,
    "vllm, three maps": vllm_three_maps,
    "sglang": sglang_with_its_map,
    "atom": atom_layers,
    "every rank": common_call,
    "ascend": ascend_table,
}
every = pytest.mark.parametrize("drop_in", DROP_INS.values(), ids=DROP_INS)


def moves(placed):
    return moved_slots(Plan(IN_FORCE, NUM_GPUS, 60), Plan(placed, NUM_GPUS, 60))


def map_in_force(drop_in):
    """vllm-ascend allows no expert twice on a device."""
    if drop_in is not ascend_table:
        return IN_FORCE
    return ascend_table(EARLIER, np.tile(np.arange(NUM_SLOTS) % 60, (3, 1)))


@every
def test_layers_are_within_the_default_tolerance_for_few_moves(drop_in):
    held = map_in_force(drop_in)
    placed = drop_in(LATER, held)
    problem = Problem(LATER, NUM_SLOTS, NUM_GPUS)
    Plan(placed, NUM_GPUS).check(problem)
    bound = np.array([float(b.value) for b in fast_bounds(problem)])
    # Where nothing gets there, the best plan that is found freely takes the bound's place.
    best = np.maximum(bound, evaluate(problem, place(LATER, *SIZES)[0]).objective)
    above = evaluate(problem, placed).objective / best - 1
    # Loads that are split over slots and added up again are rounded.
    assert (above <= DEFAULT_TOLERANCE + 1e-5).all()
    # What is planned freely moves nearly everything.
    assert (placed != held).sum() < 0.7 * placed.size
    assert (placed == held).any(axis=1).all()


@every
def test_a_tolerance_of_nought_plans_freely(drop_in, monkeypatch):
    held = map_in_force(drop_in)
    near = drop_in(LATER, held)
    monkeypatch.setenv(TOLERANCE_VARIABLE, "0")
    free = drop_in(LATER, held)
    assert (free != held).sum() > (near != held).sum()
    problem = Problem(LATER, NUM_SLOTS, NUM_GPUS)
    assert evaluate(problem, free).objective.sum() < evaluate(problem, near).objective.sum()


@every
def test_a_looser_tolerance_moves_less(drop_in, monkeypatch):
    held = map_in_force(drop_in)
    near = drop_in(LATER, held)
    monkeypatch.setenv(TOLERANCE_VARIABLE, "0.03")
    assert (drop_in(LATER, held) != held).sum() < (near != held).sum()


@pytest.mark.parametrize("name", [name for name in DROP_INS if name != "ascend"])
def test_below_the_least_gain_the_map_in_force_comes_back_byte_for_byte(name, monkeypatch):
    monkeypatch.setenv(GAIN_VARIABLE, "0.5")
    assert DROP_INS[name](LATER, IN_FORCE).tobytes() == IN_FORCE.tobytes()
    monkeypatch.setenv(GAIN_VARIABLE, "0.001")
    assert DROP_INS[name](LATER, IN_FORCE).tobytes() != IN_FORCE.tobytes()


def test_ascend_reads_the_least_gain_too(monkeypatch):
    held = map_in_force(ascend_table).reshape(3, NUM_GPUS, -1)
    slot_load = np.random.default_rng(0).integers(50, 150, held.shape)
    for gain, changed in (("0.9", 0), ("0", 1)):
        monkeypatch.setenv(GAIN_VARIABLE, gain)
        assert ascend.rebalance_experts(held, slot_load)[0] == changed


@every
def test_bytes_do_not_depend_on_the_layout_of_what_comes_in(drop_in):
    held = map_in_force(drop_in)
    plain = drop_in(LATER, held)
    turned = drop_in(np.asfortranarray(LATER), np.asfortranarray(held))
    assert turned.tobytes() == plain.tobytes()
    torch = pytest.importorskip("torch")
    if drop_in is not ascend_table:
        tensors = torch.from_numpy(LATER).t().contiguous().t(), torch.from_numpy(held)
        assert drop_in(*tensors).tobytes() == plain.tobytes()


def test_experts_stand_once_on_a_device_near_a_table_of_ascend():
    held = map_in_force(ascend_table)
    by_device = np.sort(ascend_table(LATER, held).reshape(3, NUM_GPUS, -1), axis=2)
    assert (np.diff(by_device, axis=2) > 0).all()


def test_without_a_map_in_force_sglang_plans_freely():
    free = np.asarray(sglang.rebalance_experts(LATER[None], 72, 6, 1, 1, "deepseek")[0])
    for held in (None, IN_FORCE[:, :60]):  # none yet, or one of another size
        assert sglang_with_its_map(LATER, held).tobytes() == free.tobytes()
    assert sglang.map_in_force(3, 72) is None  # SGLang is not there


@pytest.mark.parametrize("variable", [TOLERANCE_VARIABLE, GAIN_VARIABLE])
@pytest.mark.parametrize("value", ["-1", "much", "nan", "inf"])
def test_shares_that_are_none_are_refused(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ProblemError, match=variable):
        place(LATER, NUM_SLOTS, 1, 1, NUM_GPUS, current=IN_FORCE)


def move_cost(bandwidth, steps=1000):
    return (
        f"expert_bytes=40000000,bandwidth={bandwidth},step_seconds=0.05,moe_share=0.5,"
        f"steps_until_next={steps}"
    )


@every
def test_told_what_moving_costs_nothing_moves_that_is_not_worth_it(drop_in, monkeypatch):
    held = map_in_force(drop_in)
    for dear in (move_cost(1.0), move_cost(1e8, steps=1)):
        monkeypatch.setenv(COST_VARIABLE, dear)
        assert drop_in(LATER, held).tobytes() == held.tobytes()


@every
def test_a_move_cost_takes_the_place_of_the_tolerance(drop_in, monkeypatch):
    held = map_in_force(drop_in)
    near = drop_in(LATER, held)
    monkeypatch.setenv(COST_VARIABLE, move_cost(1e9, steps=10000))
    cheap = drop_in(LATER, held)
    monkeypatch.setenv(TOLERANCE_VARIABLE, "0.5")
    assert drop_in(LATER, held).tobytes() == cheap.tobytes()
    monkeypatch.setenv(TOLERANCE_VARIABLE, "0")
    assert drop_in(LATER, held).tobytes() == cheap.tobytes()
    problem = Problem(LATER, NUM_SLOTS, NUM_GPUS)
    reached, level = (evaluate(problem, plan).objective.sum() for plan in (cheap, near))
    assert reached <= level * 1.01
    monkeypatch.setenv(COST_VARIABLE, move_cost(2e7))
    assert (held != drop_in(LATER, held)).sum() < (held != cheap).sum()


@every
@pytest.mark.parametrize("value", ["fast", "bandwidth=1", move_cost("fast"), move_cost(-1)])
def test_a_move_cost_that_cannot_be_understood_is_refused(drop_in, monkeypatch, value):
    held = map_in_force(drop_in)
    monkeypatch.setenv(COST_VARIABLE, value)
    with pytest.raises(ProblemError, match=COST_VARIABLE):
        drop_in(LATER, held)
