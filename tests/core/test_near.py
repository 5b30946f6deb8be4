"""Plans near the map in force, against all plans of small layers."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from eplb_opt.bench.families import family_loads
from eplb_opt.core import near, serving
from tests.core.near_cases import (
    all_plans,
    columns,
    fixed,
    largest_load,
    moves_between,
    planner,
    random_map,
)

#: Experts, slots and GPUs of layers whose plans can all be looked at.
SMALL = [(4, 6, 3), (5, 6, 3), (4, 6, 2), (5, 8, 2), (6, 8, 2)]
#: Steps that no small layer needs.
STEPS = 100


def small_layers(sizes, num=30, seed=1):
    """Loads and maps in force; half of the loads have a heavy head."""
    rng = np.random.default_rng(seed)
    for i in range(num):
        load = rng.integers(1, 60, sizes[0]) if i % 2 else rng.zipf(1.5, sizes[0]).clip(max=300)
        yield load.astype(np.int64), random_map(rng, *sizes[:2])


def bound_of(load, held, num_gpus):
    weights, unit = fixed(load[None])
    plan = planner(len(load), len(held), num_gpus).within(weights, held[None], 0.0, 0, 0.0)
    return Fraction(int(columns(plan)["bound"][0])) * Fraction(float(unit[0]))


@pytest.mark.parametrize("sizes", SMALL, ids=str)
def test_no_plan_has_fewer_moves_than_the_fewest_of_all_and_most_have_as_few(sizes):
    num_experts, _, num_gpus = sizes
    plans = all_plans(*sizes)
    reached = fewest = asked = 0
    for load, held in small_layers(sizes):
        worth = [largest_load(load, plan, num_gpus) for plan in plans]
        moves = [moves_between(held, plan, num_gpus) for plan in plans]
        bound = bound_of(load, held, num_gpus)
        assert bound <= min(worth)
        for slack in (0.05, 0.3):
            # A little more than what the best plan is worth, for loads are rounded.
            tolerance = float(min(worth) / bound) * (1 + slack) - 1 + 1e-5
            level = bound * (1 + Fraction(tolerance))
            least = min(m for m, load_of in zip(moves, worth, strict=True) if load_of <= level)
            placed, numbers = planner(*sizes).within(
                fixed(load[None])[0], held[None], tolerance, STEPS, None
            )
            found = columns((placed, numbers))
            asked += 1
            assert found["moves"][0] == moves_between(held, placed[0], num_gpus)
            assert set(placed[0].tolist()) == set(range(num_experts))
            if found["reached"][0]:
                assert largest_load(load, placed[0], num_gpus) <= level
                assert found["moves"][0] >= least
                reached += 1
                fewest += found["moves"][0] == least
    # What is reached where all plans show that it can be, and how often nothing moves less.
    assert reached >= 0.75 * asked
    assert fewest >= 0.85 * reached


@pytest.mark.parametrize("sizes", SMALL, ids=str)
@pytest.mark.parametrize("most", [0, 1, 2, 4])
def test_moves_stay_within_their_limit_and_staying_is_never_worse(sizes, most):
    num_gpus = sizes[2]
    for load, held in small_layers(sizes, 10):
        limits = np.array([most])
        plan = planner(*sizes).at_most(fixed(load[None])[0], held[None], limits, STEPS)
        assert moves_between(held, plan[0][0], num_gpus) == columns(plan)["moves"][0] <= most
        assert largest_load(load, plan[0][0], num_gpus) <= largest_load(load, held, num_gpus)


def test_more_moves_are_never_worse_along_a_front_and_it_begins_in_force():
    load = family_loads("lognormal-1.0", 1, 32, 3)
    held = random_map(np.random.default_rng(5), 32, 40)
    placed, numbers = planner(32, 40, 8).front(fixed(load)[0], held[None], STEPS)
    found = columns((placed, numbers))
    assert len(placed) > 5
    assert found["moves"][0] == 0
    assert (placed[0] == held).all()
    assert (np.diff(found["moves"]) > 0).all()
    assert (np.diff(found["largest"]) < 0).all()
    exact = [largest_load(load[0], row, 8) for row in placed]
    assert all(a > b for a, b in pairwise(exact))


def test_what_stays_on_its_gpu_keeps_its_slot():
    load = family_loads("lognormal-1.0", 1, 32, 3)
    held = random_map(np.random.default_rng(5), 32, 40)
    plan = planner(32, 40, 8).within(fixed(load)[0], held[None], 0.05, STEPS, None)
    # Were a survivor to change its slot, more slots would differ than replicas are new.
    assert (plan[0][0] != held).sum() == columns(plan)["moves"][0] > 0


def test_groups_stay_on_their_nodes():
    rng = np.random.default_rng(2)
    load = family_loads("lognormal-1.0", 4, 32, 1)
    half = [np.concatenate([np.arange(16), rng.integers(0, 16, 4)]) + 16 * n for n in (1, 0)]
    held = np.stack([np.concatenate([rng.permutation(h) for h in half]) for _ in load])
    tied = planner(32, 40, 8, groups=4, nodes=2)
    plan = tied.within(fixed(load)[0], held, 0.02, STEPS, None)
    assert columns(plan)["moves"].min() > 0
    assert (plan[0][:, :20] >= 16).all()
    assert (plan[0][:, 20:] < 16).all()


def test_groups_on_two_nodes_are_no_map_to_plan_from():
    held = np.resize(np.arange(8), 16)[None]
    tied = planner(8, 16, 4, groups=2, nodes=2)
    plan = tied.within(fixed(np.ones((1, 8), dtype=np.int64))[0], held, 0.1, STEPS, None)
    assert columns(plan)["largest"][0] == 0
    assert (plan[0] == held).all()


def test_no_expert_comes_to_a_gpu_that_holds_it_where_that_is_forbidden():
    rng = np.random.default_rng(4)
    load = family_loads("zipf-0.8", 6, 24, 4)
    greedy = planner(24, 32, 4, apart=True)
    held = np.stack([_apart(rng, 24, 32, 4) for _ in load])
    plan = greedy.within(fixed(load)[0], held, 0.01, STEPS, None)
    by_gpu = np.sort(plan[0].reshape(6, 4, 8), axis=2)
    assert columns(plan)["moves"].min() > 0
    assert (np.diff(by_gpu, axis=2) > 0).all()


def _apart(rng, num_experts, num_slots, num_gpus):
    while True:
        held = random_map(rng, num_experts, num_slots)
        if (np.diff(np.sort(held.reshape(num_gpus, -1), axis=1), axis=1) > 0).all():
            return held


@pytest.mark.parametrize("lost", [[0], [3, 5], [1, 2, 6]], ids=str)
def test_every_expert_finds_a_slot_on_the_gpus_that_are_left(lost):
    rng = np.random.default_rng(6)
    load = family_loads("lognormal-1.0", 5, 20, 2)
    held = np.stack([random_map(rng, 20, 48) for _ in load])
    active = ~np.isin(np.arange(8), lost)
    plan = planner(20, 48, 8, active=active).within(fixed(load)[0], held, 0.02, STEPS, None)
    slots = np.repeat(active, 6)
    assert (plan[0][:, ~slots] == -1).all()
    for row in plan[0]:
        assert set(row[slots].tolist()) == set(range(20))
    # Where a GPU comes back, its empty slots are filled.
    back = planner(20, 48, 8).within(fixed(load)[0], plan[0], 0.02, STEPS, None)
    assert back[0].min() >= 0
    assert (columns(back)["moves"] >= 6 * len(lost)).all()


def test_no_fewer_moves_suffice_after_a_loss_than_lost_experts_need():
    held = np.array([[0, 1, 2, 3, 4, 5, 0, 1]])  # only 2 and 3 stand on the second GPU alone
    active = np.array([True, False, True, True])
    load = np.array([[8, 8, 1, 1, 8, 8]])
    plan = planner(6, 8, 4, active=active).within(fixed(load)[0], held, 5.0, STEPS, None)
    assert columns(plan)["moves"][0] == 2


def test_a_move_to_another_node_is_dearer_where_that_is_asked_for():
    load = family_loads("lognormal-1.0", 8, 32, 9)
    rng = np.random.default_rng(9)
    held = np.stack([random_map(rng, 32, 40) for _ in load])
    crossing = []
    for far_price in (1, 4):
        plan = planner(32, 40, 8, nodes=2, far_price=far_price).within(
            fixed(load)[0], held, 0.05, STEPS, None
        )
        found = columns(plan)
        assert (found["price"] >= found["moves"]).all()
        crossing.append(sum(_crossings(a, b) for a, b in zip(held, plan[0], strict=True)))
    assert crossing[1] < crossing[0]


def _crossings(held, placed):
    """Slots whose expert was not on their node."""
    halves = zip(held.reshape(2, -1), placed.reshape(2, -1), strict=True)
    return sum(int((~np.isin(after, before)).sum()) for before, after in halves)


def test_layers_without_load_stay_as_they_are():
    held = np.resize(np.arange(6), 8)[None]
    plan = planner(6, 8, 4).within(np.zeros((1, 6), dtype=np.int64), held, 0.0, STEPS, None)
    assert columns(plan)["reached"][0]
    assert (plan[0] == held).all()


def test_layers_whose_turn_comes_too_late_stay_as_they_are():
    load = family_loads("lognormal-1.0", 3, 32, 3)
    held = np.tile(random_map(np.random.default_rng(5), 32, 40), (3, 1))
    plan = planner(32, 40, 8).within(fixed(load)[0], held, 0.01, STEPS, 0.0)
    assert (plan[0] == held).all()


def test_a_layer_is_planned_the_same_beside_other_layers():
    load = family_loads("lognormal-1.0", 3, 32, 3)
    rng = np.random.default_rng(5)
    held = np.stack([random_map(rng, 32, 40) for _ in load])
    weights = fixed(load)[0]
    together = planner(32, 40, 8).within(weights, held, 0.01, STEPS, None)[0]
    for i in (2, 0, 1):
        row = slice(i, i + 1)
        alone = planner(32, 40, 8).within(weights[row], held[row], 0.01, STEPS, None)[0]
        assert alone.tobytes() == together[row].tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": -1}, "steps"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"tolerance": -0.1}, "tolerance"),
        ({"held": np.full((1, 8), 6)}, "held"),
        ({"held": np.zeros((1, 6), dtype=np.int64)}, "held"),
        ({"weights": np.full((1, 6), -1)}, "negative"),
        ({"weights": np.full((1, 6), 2**58)}, "add up"),
    ],
    ids=str,
)
def test_arguments_that_cannot_be_used_are_refused(change, message):
    good = {
        "weights": np.full((1, 6), 5),
        "held": np.resize(np.arange(6), 8)[None],
        "tolerance": 0.1,
        "steps": 3,
        "seconds": None,
    }
    planner(6, 8, 4).within(**good)
    with pytest.raises(ValueError, match=message):
        planner(6, 8, 4).within(**good | change)


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_replicas_of_what_has_become_hot_are_split_over_many_changes_of_the_loads(seed):
    # Levelling alone keeps the counts of long ago, and finds places for ever larger replicas.
    rng = np.random.default_rng(seed)
    load = family_loads("lognormal-1.0", 1, 64, 7).astype(float)
    held = serving.Session(np.rint(load).astype(np.int64), (80, 1, 1, 8)).placed.copy()
    larger = []
    for _ in range(12):
        load *= rng.lognormal(0, 0.3, load.shape)
        weights = fixed(np.rint(load).astype(np.int64))[0]
        held = planner(64, 80, 8).within(weights, held, 0.01, STEPS, None)[0]
        counts = np.bincount(held[0], minlength=64)
        larger.append((weights[0] / counts).max() / least_replica(weights[0], 80))
    assert np.mean(larger) < 1.5
    assert max(larger) < 1.8


def least_replica(weight, num_slots):
    """The largest replica's size where each in turn goes to the expert with the largest ones."""
    counts = np.ones(len(weight), dtype=int)
    for _ in range(num_slots - len(weight)):
        counts[(weight / counts).argmax()] += 1
    return (weight / counts).max()


@pytest.mark.parametrize("sizes", SMALL, ids=str)
def test_a_level_of_ones_own_is_reached_with_no_fewer_moves_than_the_fewest_of_all(sizes):
    num_gpus = sizes[2]
    plans = all_plans(*sizes)
    reached = 0
    for load, held in small_layers(sizes, num=12, seed=4):
        weights, unit = fixed(load[None])
        worth = sorted(largest_load(load, plan, num_gpus) for plan in plans)
        wanted = worth[len(worth) // 8]
        level = int(wanted / Fraction(float(unit[0])) * Fraction(10001, 10000))
        placed, numbers = planner(*sizes).below(weights, held[None], np.array([level]), STEPS)
        found = columns((placed, numbers))
        if not found["reached"][0]:
            assert found["largest"][0] > level
            continue
        reached += 1
        assert largest_load(load, placed[0], num_gpus) <= level * Fraction(float(unit[0]))
        assert found["moves"][0] >= min(
            moves_between(held, plan, num_gpus)
            for plan in plans
            if largest_load(load, plan, num_gpus) <= level * Fraction(float(unit[0]))
        )
    assert reached >= 9


def test_bisecting_finds_no_higher_level_than_one_descent():
    load = family_loads("lognormal-1.0", 6, 40, 3)
    held = np.tile(random_map(np.random.default_rng(5), 40, 48), (6, 1))
    weights = fixed(load)[0]
    given = weights, held, 0.0, STEPS, None
    once = columns(planner(40, 48, 24).within(*given, bisects=False))["largest"]
    found = columns(planner(40, 48, 24).within(*given))["largest"]
    assert (found <= once).all()
    assert (found < once).any()


def test_levels_that_are_none_are_refused():
    weights, held = np.full((1, 6), 5), np.resize(np.arange(6), 8)[None]
    for levels in (np.array([-1]), np.array([1, 2])):
        with pytest.raises(ValueError, match=r"below 0|levels"):
            planner(6, 8, 4).below(weights, held, levels, 3)


def test_machines_that_are_none_are_refused():
    mask = np.ones(4, dtype=bool)
    for sizes in ((9, 1, 1, 4), (8, 1, 3, 4), (8, 4, 1, 4), (0, 1, 1, 4)):
        with pytest.raises(ValueError, match=r"num_slots|Groups|at least"):
            near.Planner(6, sizes, mask, 1, False)
    with pytest.raises(ValueError, match="active"):
        near.Planner(6, (8, 1, 1, 4), mask[:3], 1, False)
    with pytest.raises(ValueError, match="far_price"):
        near.Planner(6, (8, 1, 1, 4), mask, 0, False)
