"""What the serving call answers with a price: valid, never dearer, the same everywhere."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt import Plan, Problem, ProblemError, Topology
from eplb_opt.bench.families import family_loads
from eplb_opt.core import serving
from eplb_opt.engines import every_rank
from eplb_opt.engines.serving.at_price import PriceRules, rebalance_at_price, usable_sizes
from eplb_opt.engines.vllm import EplbOptPolicy
from eplb_opt.placement.moves import across_nodes_by_gpu, moved_slots

LOAD = family_loads("lognormal-1.0", 6, 64, 0)
SIZES = {
    "K=9": (144, 8, 4, 16),
    "K=5": (80, 8, 8, 16),
    "K=2": (80, 8, 2, 40),
    "K=1": (80, 8, 4, 80),
    "no groups more than nodes": (80, 4, 8, 16),
    "nothing divides": (84, 7, 3, 14),
}


def judged(load, sizes, placed, price):
    """The exact objective of each layer, by code that the serving path does not share."""
    slots, groups, nodes, gpus = sizes
    problem = Problem(load, slots, gpus, nodes, groups, topology=Topology(price=price))
    eplb_opt.Plan(np.asarray(placed), gpus).check(problem)
    return eplb_opt.evaluate(problem, placed).objective


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("budget", [{"effort": 60}, {"time_limit": 0.02}], ids=str)
def test_plans_cost_no_more_than_the_greedys_flat_one(sizes, budget):
    maps = eplb_opt.rebalance_experts(LOAD, *sizes, topology_price=0.3, **budget)
    flat = eplb_opt.rebalance_experts(LOAD, sizes[0], 1, 1, sizes[3], effort=0)[0]
    ours, theirs = (judged(LOAD, sizes, placed, 0.3) for placed in (maps[0], flat))
    assert (ours.sum() if "time_limit" in budget else ours <= theirs * (1 + 1e-9)).all()
    plan = eplb_opt.Plan(maps[0], sizes[3], 64)
    np.testing.assert_array_equal(maps[2], plan.logical_count)
    np.testing.assert_array_equal(maps[1], plan.logical_to_physical)


@pytest.mark.parametrize("price", [0.0, 0.05, 0.3, 2.0, 50.0])
@pytest.mark.parametrize("name", ["K=9", "K=5", "K=2"])
def test_plans_cost_no_more_than_with_groups_on_their_nodes(name, price):
    sizes = SIZES[name]
    ours = eplb_opt.rebalance_experts(LOAD, *sizes, effort=60, topology_price=price)[0]
    strict = eplb_opt.rebalance_experts(LOAD, *sizes, effort=60)[0]
    assert (judged(LOAD, sizes, ours, price) <= judged(LOAD, sizes, strict, price) + 1e-9).all()


@pytest.mark.parametrize("price", [0.0, 0.05, 0.3, 3.0])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_more_effort_never_costs_more(sizes, price):
    costs = [
        judged(LOAD, sizes, session_plan(LOAD, sizes, effort, price), price)
        for effort in (0, 1, 2, 4, 7, 12, 25, 50, 120)
    ]
    for less, more in itertools.pairwise(costs):
        assert (more <= less * (1 + 1e-12)).all()
    # Where traffic is dear, the first plan can be the last.
    assert costs[-1].sum() < costs[0].sum() or price in (0.0, 3.0)


def session_plan(load, sizes, effort, price):
    return eplb_opt.rebalance_experts(load, *sizes, effort=effort, topology_price=price)[0]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_longer_search_never_costs_more_whatever_the_sizes(data):
    gpus, per_gpu = data.draw(st.integers(2, 12)), data.draw(st.integers(1, 5))
    groups = data.draw(st.integers(2, min(8, gpus * per_gpu)))
    nodes = data.draw(st.integers(2, gpus))
    experts = data.draw(st.integers(groups, gpus * per_gpu))
    load = np.array(data.draw(st.lists(st.integers(0, 999), min_size=experts, max_size=experts)))
    used = usable_sizes(load, groups, nodes, gpus)
    if used is None:
        return
    before = np.inf
    for steps in (0, 1, 3, 9, 30):
        session = serving.PricedSession(load[None], (gpus * per_gpu, *used, gpus), 0.3)
        session.plan(steps, None)
        cost = float(session.worth[0, 2])
        # The homes that a search has in mind are the best ones for its plan.
        assert cost == session.worth_of(np.array(session.placed))[0, 2]
        assert cost <= before
        before = cost


def test_with_steps_enough_gpus_are_level_and_most_experts_at_home():
    load = family_loads("lognormal-1.0", 4, 256, 1)
    problem = Problem(load, 288, 32, 4, 8, topology=Topology(price=0.3))
    placed = session_plan(load, (288, 8, 4, 32), 100, 0.3)
    assert (eplb_opt.evaluate(problem, placed).balancedness > 0.995).all()
    worth = judged(load, (288, 8, 4, 32), placed, 0.3)
    assert (worth <= 1.005 * eplb_opt.evaluate(problem, placed).lower_bound).all()


@pytest.mark.parametrize("sizes", [(80, 8, 2, 40), (84, 7, 3, 42), (88, 8, 6, 44)])
def test_two_slots_begin_with_pairs_as_level_as_their_replicas_allow(sizes):
    session = serving.PricedSession(LOAD, sizes, 0.3)
    session.plan(0, None)
    for load, placed, worth in zip(LOAD, np.array(session.placed), session.worth, strict=True):
        replicas = np.sort(load[placed] / np.bincount(placed)[placed])
        assert worth[0] == pytest.approx((replicas + replicas[::-1]).max(), rel=1e-6)
    flat = eplb_opt.rebalance_experts(LOAD, sizes[0], 1, 1, sizes[3], effort=0)[0]
    assert (session.worth[:, 2] < session.worth_of(flat)[:, 2]).all()


def test_a_short_time_is_kept_to_one_plan_of_every_layer():
    sizes = SIZES["K=9"]
    first = session_plan(LOAD, sizes, 0, 0.3)
    found = eplb_opt.rebalance_experts(LOAD, *sizes, time_limit=1e-6, topology_price=0.3)[0]
    flat = eplb_opt.rebalance_experts(LOAD, 144, 1, 1, 16, effort=0)[0]
    allowed = np.maximum(judged(LOAD, sizes, first, 0.3), judged(LOAD, sizes, flat, 0.3))
    assert (judged(LOAD, sizes, found, 0.3) <= 2 * allowed).all()
    session = serving.PricedSession(LOAD, sizes, 0.3)
    session.plan(0, 5.0)
    long = serving.PricedSession(LOAD, sizes, 0.3)
    long.plan(0, None)
    assert (session.worth[:, 2] <= long.worth[:, 2]).all()
    assert session.worth[:, 2].sum() < long.worth[:, 2].sum()


def test_a_price_buys_locality_and_no_price_buys_load():
    sizes = SIZES["K=9"]
    problem = Problem(LOAD, 144, 16, 4, 8, topology=Topology(price=1.0))
    plans = [
        eplb_opt.rebalance_experts(LOAD, *sizes, effort=60, topology_price=price)[0]
        for price in (0.0, 0.3, 50.0)
    ]
    away = [float(sum(eplb_opt.placement.homes.off_home(problem, placed))) for placed in plans]
    assert away[0] > away[1] > away[2]
    flat = eplb_opt.rebalance_experts(LOAD, 144, 1, 1, 16, effort=60)[0]
    assert (judged(LOAD, sizes, plans[0], 0.0) <= judged(LOAD, sizes, flat, 0.0) + 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_sizes_give_a_valid_plan_and_the_same_one_twice(data):
    gpus, per_gpu = data.draw(st.integers(2, 12)), data.draw(st.integers(1, 5))
    nodes = data.draw(st.integers(1, gpus))
    experts = data.draw(st.integers(1, gpus * per_gpu))
    groups = data.draw(st.integers(1, experts))
    load = np.array(data.draw(st.lists(st.integers(0, 999), min_size=experts, max_size=experts)))
    price = data.draw(st.sampled_from([0.0, 0.1, 0.3, 3.0, 1e6]))
    sizes = gpus * per_gpu, groups, nodes, gpus
    maps = [
        eplb_opt.rebalance_experts(load[None], *sizes, effort=20, topology_price=price)
        for _ in range(2)
    ]
    for mine, again in zip(*maps, strict=True):
        assert mine.tobytes() == again.tobytes()
    eplb_opt.Plan(maps[0][0], gpus).check(Problem(load[None], sizes[0], gpus))
    used = usable_sizes(load, groups, nodes, gpus)
    if used is not None and load.any():
        numbers = sizes[0], *used, gpus
        ours = judged(load[None], numbers, maps[0][0], price)
        flat = eplb_opt.rebalance_experts(load[None], sizes[0], 1, 1, gpus, effort=0)[0]
        assert (ours <= judged(load[None], numbers, flat, price) * (1 + 1e-9)).all()


def test_a_layers_plan_depends_on_that_layer_alone():
    whole = eplb_opt.rebalance_experts(LOAD, *SIZES["K=5"], effort=60, topology_price=0.3)[0]
    alone = eplb_opt.rebalance_experts(LOAD[3:4], *SIZES["K=5"], effort=60, topology_price=0.3)[0]
    np.testing.assert_array_equal(whole[3:4], alone)


@pytest.mark.parametrize("sizes", [(144, 1, 4, 16), (144, 8, 1, 16)], ids=str)
def test_where_a_price_buys_nothing_the_plan_is_the_flat_one(sizes):
    ours = eplb_opt.rebalance_experts(LOAD, *sizes, effort=60, topology_price=0.3)
    flat = eplb_opt.rebalance_experts(LOAD, 144, 1, 1, 16, effort=60)
    for mine, theirs in zip(ours, flat, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_what_the_core_says_of_a_plan_is_what_the_scorer_says():
    sizes = SIZES["nothing divides"]
    session = serving.PricedSession(LOAD, sizes, 0.3)
    session.plan(60, None)
    for placed, worth in ((session.placed, session.worth),):
        exact = judged(LOAD, sizes, np.array(placed), 0.3)
        np.testing.assert_allclose(worth[:, 2] / LOAD.sum(axis=1), exact, rtol=1e-9)
    other = eplb_opt.rebalance_experts(LOAD, 84, 1, 1, 14, effort=20)[0]
    worth = session.worth_of(other)[:, 2] / LOAD.sum(axis=1)
    np.testing.assert_allclose(worth, judged(LOAD, sizes, other, 0.3), rtol=1e-9)


@pytest.mark.parametrize("name", ["K=9", "K=5", "nothing divides"])
@pytest.mark.parametrize("tolerance", [0.0, 0.01, 0.1])
def test_near_plans_are_within_the_tolerance_of_the_free_one(name, tolerance):
    sizes = SIZES[name]
    held = eplb_opt.rebalance_experts(LOAD, *sizes, effort=60, topology_price=0.3)[0]
    drifted = LOAD * np.random.default_rng(1).lognormal(0, 0.1, LOAD.shape)
    fresh = eplb_opt.rebalance_experts(drifted, *sizes, effort=60, topology_price=0.3)[0]
    near = eplb_opt.rebalance_experts(
        drifted, *sizes, effort=60, topology_price=0.3, current=held, move_tolerance=tolerance
    )[0]
    level = judged(drifted, sizes, fresh, 0.3) * (1 + tolerance)
    assert (judged(drifted, sizes, near, 0.3) <= level * (1 + 1e-9)).all()
    few, many = (
        moved_slots(*(eplb_opt.Plan(p, sizes[3], 64) for p in (held, placed))).sum()
        for placed in (near, fresh)
    )
    assert few < many or (few == many and tolerance == 0)


def test_a_map_that_is_good_enough_stays_byte_for_byte():
    sizes = SIZES["K=9"]
    held = eplb_opt.rebalance_experts(LOAD, *sizes, effort=60, topology_price=0.3)[0]
    near = eplb_opt.rebalance_experts(
        LOAD, *sizes, effort=60, topology_price=0.3, current=held, move_tolerance=0.0
    )[0]
    np.testing.assert_array_equal(near, held)
    other = eplb_opt.rebalance_experts(LOAD, 144, 1, 1, 16, effort=0)[0]
    rules = PriceRules(0.3, tolerance=0.01, min_gain=0.99)
    kept = rebalance_at_price(LOAD, *sizes, rules=rules, effort=60, current=other)[0]
    np.testing.assert_array_equal(kept, other)


def test_layers_whose_map_is_not_valid_are_planned_freely():
    sizes = SIZES["K=9"]
    held = eplb_opt.rebalance_experts(LOAD, *sizes, effort=60, topology_price=0.3)[0].copy()
    held[2] = 0
    near = eplb_opt.rebalance_experts(
        LOAD, *sizes, effort=60, topology_price=0.3, current=held, move_tolerance=0.01
    )[0]
    judged(LOAD, sizes, near, 0.3)
    np.testing.assert_array_equal(np.delete(near, 2, axis=0), np.delete(held, 2, axis=0))


def test_beyond_the_serving_paths_time_the_planner_goes_on():
    sizes = SIZES["nothing divides"]
    found = eplb_opt.rebalance_experts(LOAD[:2], *sizes, time_limit=1.0, topology_price=0.3)[0]
    flat = eplb_opt.rebalance_experts(LOAD[:2], 84, 1, 1, 14, effort=0)[0]
    assert (judged(LOAD[:2], sizes, found, 0.3) <= judged(LOAD[:2], sizes, flat, 0.3)).all()


@pytest.mark.parametrize(
    "given",
    [
        {"topology_price": -0.1},
        {"topology_price": float("nan")},
        {"topology_price": "much"},
        {"topology_price": 0.3, "max_moves": 3},
        {"topology_price": 0.3, "active_gpus": [True] * 16},
        {"topology_price": 0.3, "move_tolerance": 0.1},
        {"topology_price": 0.3, "effort": 5, "time_limit": 1.0},
        {"topology_price": 0.3, "effort": -5},
    ],
    ids=str,
)
def test_what_does_not_combine_is_refused(given):
    with pytest.raises(ProblemError):
        eplb_opt.rebalance_experts(LOAD, *SIZES["K=9"], **given)


@pytest.mark.parametrize(
    ("sizes", "price"),
    [((144, 8, 4, 16), -1.0), ((144, 8, 4, 16), np.inf), ((144, 65, 4, 16), 0.3),
     ((144, 8, 17, 16), 0.3), ((144, 8, 7, 16), 0.3), ((140, 8, 4, 16), 0.3)],
    ids=str,
)  # fmt: skip
def test_the_core_refuses_what_it_cannot_plan(sizes, price):
    with pytest.raises(ValueError, match=r"\."):
        serving.PricedSession(LOAD, sizes, price)


def test_the_core_refuses_plans_of_other_shapes():
    session = serving.PricedSession(LOAD, SIZES["K=9"], 0.3)
    session.plan(0, None)
    placed = np.array(session.placed)
    for wrong in (placed[:, :-1].copy(), placed + 64):
        with pytest.raises(ValueError, match=r"\."):
            session.worth_of(wrong)
        with pytest.raises(ValueError, match=r"\."):
            session.offer(wrong, np.arange(6))
        with pytest.raises(ValueError, match=r"\."):
            session.near(wrong, 0.1, 5)


def test_drop_ins_read_the_price(monkeypatch):
    monkeypatch.setenv(every_rank.PRICE_VARIABLE, "0.3")
    torch = pytest.importorskip("torch")
    sizes = SIZES["nothing divides"]
    weight = torch.from_numpy(np.array(LOAD))
    placed = EplbOptPolicy.rebalance_experts(weight, *sizes).numpy()
    wanted = eplb_opt.rebalance_experts(LOAD, *sizes, effort=100, topology_price=0.3)[0]
    np.testing.assert_array_equal(placed, wanted)
    near = EplbOptPolicy.rebalance_experts(weight, *sizes, old_global_expert_indices=placed)
    np.testing.assert_array_equal(near.numpy(), placed)
    monkeypatch.setenv(every_rank.TOLERANCE_VARIABLE, "0")
    again = EplbOptPolicy.rebalance_experts(weight, *sizes, old_global_expert_indices=placed)
    assert (
        judged(LOAD, sizes, again.numpy(), 0.3) <= judged(LOAD, sizes, wanted, 0.3) + 1e-9
    ).all()


def test_drop_ins_say_what_does_not_combine(monkeypatch):
    monkeypatch.setenv(every_rank.PRICE_VARIABLE, "0.3")
    monkeypatch.setenv(
        every_rank.COST_VARIABLE,
        "expert_bytes=1e7,bandwidth=1e11,step_seconds=0.05,moe_share=0.5,steps_until_next=1000",
    )
    with pytest.raises(ProblemError, match="do not combine"):
        every_rank.place(LOAD, *SIZES["K=9"])
    monkeypatch.setenv(every_rank.PRICE_VARIABLE, "cheap")
    with pytest.raises(ProblemError, match="cheap"):
        every_rank.place(LOAD, *SIZES["K=9"])


def test_a_lost_gpu_suspends_the_price(monkeypatch):
    monkeypatch.setenv(every_rank.PRICE_VARIABLE, "0.3")
    active = np.arange(16) != 3
    placed = every_rank.place(LOAD, *SIZES["K=9"], effort=20, active=active)[0]
    assert (placed.reshape(6, 16, 9)[:, 3] == -1).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"weight": np.array([1, -1, 2, 3])},
        {"weight": np.array([1, 2**60, 2, 3])},
        {"placed": np.array([0, 1, 2, 3, 0])},
        {"placed": np.array([0, 1, 2, 2, 0, 1])},
        {"placed": np.array([0, 1, 2, 4, 0, 1])},
        {"homes": np.array([0, 2])},
        {"homes": np.array([0, 1, 1])},
        {"sizes": (6, 2, 2, 4)},
        {"price": -1.0},
        {"steps": -1},
    ],
    ids=str,
)
def test_a_descent_refuses_what_it_cannot_read(changed):
    arguments = {
        "weight": np.array([5, 1, 2, 3]),
        "placed": np.array([0, 1, 2, 3, 0, 1]),
        "homes": np.array([0, 1]),
        "sizes": (6, 2, 2, 3),
        "price": 0.3,
        "steps": 5,
    }
    assert serving.plans_on_the_way(**arguments).shape[1] == 6
    with pytest.raises((ValueError, TypeError)):
        serving.plans_on_the_way(**(arguments | changed))


def test_drop_ins_tell_of_another_split(monkeypatch, caplog):
    monkeypatch.setenv(every_rank.PRICE_VARIABLE, "0.3")
    every_rank._tell_of_the_split.cache_clear()
    sizes = SIZES["K=9"]
    with caplog.at_level("WARNING", logger="eplb_opt"):
        placed = every_rank.place(LOAD, *sizes, effort=20, dispatch=("nearest", 4))[0]
    assert "uniform split" in caplog.text
    wanted = every_rank.place(LOAD, *sizes, effort=20)[0]
    np.testing.assert_array_equal(placed, wanted)


def test_moves_across_nodes_count_in_the_choice_of_names():
    rng = np.random.default_rng(8)
    load = rng.lognormal(0, 1, (4, 32)) * 1000
    sizes = (48, 8, 4, 8)
    held = eplb_opt.rebalance_experts(load, *sizes, topology_price=0.3, effort=20)[0]
    later = load * rng.lognormal(0, 0.8, load.shape)
    node, across = np.arange(8) // 2, []
    for price in (1, 50):
        near = eplb_opt.rebalance_experts(
            later,
            *sizes,
            topology_price=0.3,
            effort=20,
            current=held,
            move_tolerance=0.0,
            cross_node_price=price,
        )[0]
        plans = Plan(np.asarray(held), 8), Plan(np.asarray(near), 8)
        across.append(int(across_nodes_by_gpu(*plans, node).sum()))
    assert across[1] <= across[0]
    with pytest.raises(ProblemError, match="cross_node_price=0"):
        eplb_opt.rebalance_experts(
            later, *sizes, topology_price=0.3, current=held, cross_node_price=0
        )
