"""Plans for the engine's own dispatch: the call, the variable, and what each drop-in asks for."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eplb_opt import Problem, ProblemError, rebalance_experts
from eplb_opt.engines import ascend, sglang
from eplb_opt.engines.by_senders import COST_VARIABLE, DISPATCH_VARIABLE, chosen_dispatch
from eplb_opt.engines.every_rank import GAIN_VARIABLE, TOLERANCE_VARIABLE, place
from eplb_opt.placement import checker, scoring

SIZES = (48, 1, 4, 8)
DISPATCHES = ("nearest", "rank_modulo")


def loads(num_layers=3, num_experts=32, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.lognormal(0, 1, (num_layers, num_experts)) * 1000).astype(np.int64)


def worth(load, placed, dispatch, nodes=4, gpus=8):
    asked = Problem(load, placed.shape[1], gpus, nodes, dispatch=dispatch)
    return [float(value) for value in scoring.layer_objectives(asked, placed)]


def moved(before, after, gpus=8):
    """Slots whose expert is new on its GPU."""
    count = 0
    for old, new in zip(before, after, strict=True):
        for had, has in zip(old.reshape(gpus, -1), new.reshape(gpus, -1), strict=True):
            left = had.tolist()
            for expert in has.tolist():
                if expert in left:
                    left.remove(expert)
                else:
                    count += 1
    return count


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_the_call_plans_for_the_dispatch(dispatch):
    load = loads()
    plain = rebalance_experts(load, *SIZES, effort=100)[0]
    maps = rebalance_experts(load, *SIZES, effort=100, dispatch=dispatch)
    checker.check(Problem(load, 48, 8, 4, dispatch=dispatch), maps[0])
    assert sum(worth(load, maps[0], dispatch)) < sum(worth(load, plain, dispatch))
    counts = np.stack([np.bincount(row, minlength=32) for row in maps[0]])
    assert (maps[2] == counts).all()
    for layer, expert in ((0, 0), (1, 7), (2, 31)):
        slots = maps[1][layer, expert]
        assert (maps[0][layer, slots[slots >= 0]] == expert).all()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_sizes_give_valid_plans_and_the_same_bytes(data):
    nodes = data.draw(st.sampled_from([1, 2, 3]))
    gpus = nodes * data.draw(st.integers(1, 3))
    slots = gpus * data.draw(st.integers(1, 4))
    experts = data.draw(st.integers(1, slots))
    groups = nodes if experts % nodes == 0 and data.draw(st.booleans()) else 1
    row = st.lists(st.integers(0, 10**6), min_size=experts, max_size=experts)
    load = np.array(data.draw(st.lists(row, min_size=1, max_size=2)))
    dispatch = data.draw(st.sampled_from(DISPATCHES))
    sizes = slots, groups, nodes, gpus
    first, second = (rebalance_experts(load, *sizes, effort=30, dispatch=dispatch) for _ in "ab")
    checker.check(Problem(load, slots, gpus, nodes, groups, dispatch=dispatch), first[0])
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    later = load[:, ::-1].copy()
    near = rebalance_experts(
        later, *sizes, effort=30, dispatch=dispatch, current=first[0], move_tolerance=0.01
    )[0]
    checker.check(Problem(later, slots, gpus, nodes, groups, dispatch=dispatch), near)
    before, after = (worth(later, placed, dispatch, nodes, gpus) for placed in (first[0], near))
    assert all(new <= old * (1 + 1e-12) for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_near_plans_are_as_level_as_asked_for_few_moves(dispatch):
    load = loads()
    held = rebalance_experts(load, *SIZES, effort=200, dispatch=dispatch)[0]
    later = (load * np.random.default_rng(5).lognormal(0, 0.1, load.shape)).astype(np.int64)
    asked = {"effort": 200, "dispatch": dispatch}
    near = rebalance_experts(later, *SIZES, current=held, move_tolerance=0.02, **asked)[0]
    anew = rebalance_experts(later, *SIZES, **asked)[0]
    mean = later.sum(axis=1) / 8
    assert all(w <= 1.02 * m for w, m in zip(worth(later, near, dispatch), mean, strict=True))
    assert moved(held, near) < moved(held, anew) / 2


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_no_layer_gets_worse_than_the_map_in_force(dispatch):
    load = loads()
    held = rebalance_experts(load, *SIZES, effort=500, dispatch=dispatch)[0]
    again = rebalance_experts(load, *SIZES, effort=1, dispatch=dispatch, current=held)[0]
    pairs = zip(worth(load, held, dispatch), worth(load, again, dispatch), strict=True)
    assert all(new <= old for old, new in pairs)


def test_a_layer_whose_map_lacks_an_expert_is_made_anew():
    load = loads()
    held = rebalance_experts(load, *SIZES, effort=50, dispatch="nearest")[0]
    held[1] = 0
    near = rebalance_experts(
        load, *SIZES, effort=50, dispatch="nearest", current=held, move_tolerance=0.5
    )[0]
    assert set(near[1].tolist()) == set(range(32))
    assert (near[0] == held[0]).all()


@pytest.mark.parametrize("limit", [0.05, 0.6])
def test_seconds_are_taken_too(limit):
    load = loads(1)
    placed = rebalance_experts(load, *SIZES, time_limit=limit, dispatch="nearest")[0]
    checker.check(Problem(load, 48, 8, 4, dispatch="nearest"), placed)


def test_two_slots_a_gpu_begin_with_the_counts_of_the_uniform_split():
    load = loads(2, 24, seed=3)
    sizes = 32, 1, 4, 16
    placed = rebalance_experts(load, *sizes, effort=100, dispatch="rank_modulo")[0]
    plain = rebalance_experts(load, *sizes, effort=100)[0]
    values = (worth(load, p, "rank_modulo", 4, 16) for p in (placed, plain))
    assert all(ours <= theirs for ours, theirs in zip(*values, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dispatch": "optimal"}, "known: uniform, nearest, rank_modulo"),
        ({"max_moves": 3, "current": True}, "max_moves does not go with dispatch"),
        ({"active_gpus": [True] * 8, "current": True}, "active_gpus does not go with"),
        ({"cross_node_price": 2, "current": True}, "cross_node_price does not go with"),
        ({"move_tolerance": 0.1}, "needs current="),
        ({"move_tolerance": -1, "current": True}, "at least 0"),
        ({"effort": 1, "time_limit": 1.0}, "exclude each other"),
        ({"time_limit": -1.0}, "must be seconds"),
    ],
)
def test_what_does_not_go_with_it_is_refused(change, message):
    load = loads()
    asked = {"dispatch": "nearest"} | change
    if "current" in change:
        asked["current"] = np.arange(48)[None].repeat(3, axis=0) % 32
    with pytest.raises(ProblemError, match=message):
        rebalance_experts(load, *SIZES, **asked)


def test_nodes_that_do_not_divide_the_gpus_are_refused():
    with pytest.raises(ProblemError, match="num_nodes=3 does not divide 8 GPUs"):
        rebalance_experts(loads(), 48, 1, 3, 8, effort=1, dispatch="nearest")


def test_the_variable_names_the_dispatch(monkeypatch):
    monkeypatch.delenv(DISPATCH_VARIABLE, raising=False)
    assert chosen_dispatch("nearest") == "nearest"
    monkeypatch.setenv(DISPATCH_VARIABLE, " uniform ")
    assert chosen_dispatch("nearest") == "uniform"
    monkeypatch.setenv(COST_VARIABLE, "...")
    assert chosen_dispatch("nearest") == "uniform"
    monkeypatch.setenv(DISPATCH_VARIABLE, "nearest")
    with pytest.raises(ProblemError, match="does not go with"):
        chosen_dispatch("nearest")
    monkeypatch.delenv(DISPATCH_VARIABLE)
    assert chosen_dispatch("nearest") == "uniform"
    monkeypatch.setenv(DISPATCH_VARIABLE, "static")
    with pytest.raises(ProblemError, match="known: uniform, nearest, rank_modulo"):
        chosen_dispatch("nearest")


def test_drop_ins_stay_near_and_keep_slots(monkeypatch):
    for variable in (TOLERANCE_VARIABLE, GAIN_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    load = loads()
    sent = ("nearest", 4)
    held = place(load, 48, 1, 1, 8, 100, dispatch=sent)[0]
    later = (load * np.random.default_rng(1).lognormal(0, 0.1, load.shape)).astype(np.int64)
    near = place(later, 48, 1, 1, 8, 100, held, dispatch=sent)[0]
    assert moved(held, near) < held.size / 3
    assert sum(worth(later, near, "nearest")) < sum(worth(later, held, "nearest"))
    monkeypatch.setenv(GAIN_VARIABLE, "0.9")
    assert (place(later, 48, 1, 1, 8, 100, held, dispatch=sent)[0] == held).all()
    monkeypatch.setenv(GAIN_VARIABLE, "0")
    monkeypatch.setenv(TOLERANCE_VARIABLE, "0")
    anew = place(later, 48, 1, 1, 8, 100, held, dispatch=sent)[0]
    assert sum(worth(later, anew, "nearest")) <= sum(worth(later, near, "nearest"))


def test_while_a_gpu_is_lost_plans_are_for_the_uniform_split():
    load, active = loads(), np.arange(8) != 3
    given = (load, 48, 1, 1, 8, 100)
    assert (
        place(*given, active=active, dispatch=("nearest", 4))[0] == place(*given, active=active)[0]
    ).all()


@pytest.fixture
def arguments(monkeypatch):
    """SGLang's server arguments in this process."""
    monkeypatch.delenv(DISPATCH_VARIABLE, raising=False)
    module = ModuleType(sglang.ARGUMENTS_MODULE)
    found = SimpleNamespace(ep_dispatch_algorithm="static")
    setattr(module, sglang.ARGUMENTS_FUNCTION, lambda: found)
    monkeypatch.setitem(sys.modules, sglang.ARGUMENTS_MODULE, module)
    return found


def test_sglang_plans_for_nearest_copies_where_its_dispatch_is_static(arguments, monkeypatch):
    torch = pytest.importorskip("torch")
    load = loads()
    steps = torch.from_numpy(load)[None]
    call = (steps, 48, 6, 1, 4, "deepseek")
    static = sglang.rebalance_experts(*call, effort=100)[0].numpy()
    asked = rebalance_experts(load, *SIZES, effort=100, dispatch="nearest")[0]
    assert (static == asked).all()
    arguments.ep_dispatch_algorithm = "dynamic"
    uniform = sglang.rebalance_experts(*call, effort=100)[0].numpy()
    assert (uniform == rebalance_experts(load, 48, 1, 1, 8, effort=100)[0]).all()
    monkeypatch.setenv(DISPATCH_VARIABLE, "nearest")
    assert (sglang.rebalance_experts(*call, effort=100)[0].numpy() == static).all()


def test_sglang_without_arguments_dispatches_uniformly(monkeypatch):
    monkeypatch.delitem(sys.modules, sglang.ARGUMENTS_MODULE, raising=False)
    assert sglang.dispatch_in_force() == "uniform"
    module = ModuleType(sglang.ARGUMENTS_MODULE)

    def nothing():
        raise ValueError("not set yet")

    setattr(module, sglang.ARGUMENTS_FUNCTION, nothing)
    monkeypatch.setitem(sys.modules, sglang.ARGUMENTS_MODULE, module)
    assert sglang.dispatch_in_force() == "uniform"


@pytest.mark.parametrize("tolerance", ["0.003", "0"])
def test_vllm_ascend_plans_for_ranks_that_take_copies_in_turn(monkeypatch, tolerance):
    monkeypatch.delenv(DISPATCH_VARIABLE, raising=False)
    monkeypatch.setenv(TOLERANCE_VARIABLE, tolerance)
    load = loads(2)
    placed = np.stack([np.arange(48) % 32] * 2)
    counts = np.stack([np.bincount(row, minlength=32) for row in placed])
    slot_load = np.take_along_axis(load / counts, placed, axis=1)
    given = placed.reshape(2, 8, 6), slot_load.reshape(2, 8, 6)
    _, _, table = ascend.rebalance_experts(*given, effort=100, least_gain=0.0)
    monkeypatch.setenv(DISPATCH_VARIABLE, "uniform")
    _, _, plain = ascend.rebalance_experts(*given, effort=100, least_gain=0.0)
    ours, theirs = (worth(load, t.reshape(2, 48), "rank_modulo") for t in (table, plain))
    assert sum(ours) < sum(theirs)
    assert all(len(set(gpu)) == 6 for layer in table.tolist() for gpu in layer)


@pytest.mark.parametrize("dispatch", DISPATCHES)
def test_where_no_single_copy_helps_a_layer_near_the_map_in_force_is_made_anew(dispatch):
    # Of four senders, three copies of the hot expert leave two to one of them: no better than two.
    load = np.array([[10, 10, 900, 10, 10, 10, 10, 40]])
    current = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]])
    near = {"current": current, "move_tolerance": 0.003, "effort": 100}
    placed = rebalance_experts(load, 12, 1, 1, 4, dispatch=dispatch, **near)[0]
    assert worth(load, placed, dispatch, nodes=1, gpus=4) == [255]
