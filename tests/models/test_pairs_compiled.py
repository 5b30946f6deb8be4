"""The compiled parts of the engine for two slots a GPU."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("numba")

from eplb_opt.models.pairs_dual import ascend, cuts_of_rows, needs_of_rows, replicas_proven
from eplb_opt.models.pairs_lp import DIGITS, prove, solve_lp, tightened
from eplb_opt.models.pairs_moves import move_replicas, rate, refill
from eplb_opt.models.pairs_options import Layer, list_options
from eplb_opt.models.pairs_tree_compiled import CompiledTree

from eplb_opt.certificates import Certificate, verify
from eplb_opt.deadline import Deadline
from eplb_opt.models.pairs import PairsLayer, PairsModel, PairsParams
from eplb_opt.models.pairs_budget import Budget
from tests.models.pairs_cases import best_value, lognormal, random_pairs
from tests.models.starts import round_robin, water_filled
from tests.models.test_pairs_parts import counts_of


def some_options(seed):
    """Options of a random layer at a random level, some of them struck off."""
    rng = np.random.default_rng(seed)
    problem = random_pairs(seed) if seed % 2 else lognormal(1.0, seed, 24, 40)
    layer = Layer.of(problem.load[0], problem.num_slots)
    mean = 2 * int(problem.load.sum()) / problem.num_slots
    level = int(mean * layer.scale * rng.uniform(1.0, 1.5)) + 1
    options = list_options(layer, level)
    if options is None:
        return None, layer
    mask = rng.random(len(options)) < 0.6
    mask[options.first] = True
    return options.keep(mask), layer


def parts(options):
    first = np.append(options.first, len(options))
    least, need = needs_of_rows(first, options.change, options.rank, len(options.threshold))
    return first, least, need


def test_needs_and_proof_are_those_of_the_table_of_options_and_rows():
    num_tried = 0
    for seed in range(120):
        options, _ = some_options(seed)
        if options is None or not len(options.threshold):
            continue
        first, least, need = parts(options)
        rows = tightened(options, np.arange(len(options.threshold)))
        assert need[rows.threshold_idx].tolist() == rows.need.tolist()
        assert (np.delete(need, rows.threshold_idx) <= 0).all()
        price = np.random.default_rng(seed).integers(0, DIGITS, len(need))
        price[need <= 0] = 0
        excess = np.empty(len(options), dtype=np.int64)
        columns = options.count, options.change, options.rank
        value = replicas_proven(first, *columns, least, need, price, excess)
        wanted = prove(options, rows, price[rows.threshold_idx])
        assert (value, excess.tolist()) == (wanted.value, wanted.excess.tolist())
        num_tried += 1
    assert num_tried > 80


def test_ascent_comes_close_to_the_linear_program_and_never_above_it():
    problem = lognormal(0.5, 3, 96, 108)
    layer = Layer.of(problem.load[0], 108)
    level = int(2 * problem.load.sum() / 108 * 1.02 * layer.scale)
    options = list_options(layer, level)
    rows = tightened(options, np.arange(len(options.threshold)))
    active = np.ones(len(options), dtype=bool)
    best = solve_lp(options, rows, active, 10**6, Budget(Deadline())).proof.value / DIGITS
    first, least, need = parts(options)
    columns = options.count, options.change, options.rank
    cuts = cuts_of_rows(first, first[1:].copy(), options.change, options.rank, least, need)
    running, weight = np.zeros(len(need) + 1), np.empty(len(options))
    value = ascend(first, first[1:].copy(), *columns, cuts, running, best, 2000, weight)
    assert best - 0.3 < value <= best + 1e-3
    assert (np.diff(running) >= 0).all()


def test_compiled_tree_reaches_no_level_below_the_optimum_and_closes_none_above():
    num_closed = 0
    rng = np.random.default_rng(7)
    for seed in range(1000):
        problem = random_pairs(seed % 250)
        best = best_value(problem)
        layer = Layer.of(problem.load[0], problem.num_slots)
        level = max(int(best * layer.scale * Fraction(float(rng.uniform(0.8, 1.1)))), 1)
        tree = CompiledTree(layer, level, Budget(Deadline()), lambda counts: False, np.inf)
        if tree.search(int(rng.choice([1, 50]))) is False:
            num_closed += 1
            bound = Fraction(level, layer.scale)
            assert bound < best
            data = tree.trace.as_data(level, layer.scale, DIGITS)
            assert verify(problem, Certificate("k2", bound, data)) == bound
    assert num_closed > 400


def test_level_just_below_the_optimum_is_closed_by_branches_with_a_certificate():
    num_branched = 0
    for seed in range(12):
        problem = lognormal(0.5, seed, 20, 28)
        best = PairsModel()(problem, round_robin(problem), Fraction(0), Deadline.after(60))
        layer = Layer.of(problem.load[0], problem.num_slots)
        level = int(best.lower_bound * layer.scale) - 3
        tree = CompiledTree(layer, level, Budget(Deadline()), lambda counts: False, np.inf)
        assert tree.search(5000) is False
        bound = Fraction(level, layer.scale)
        data = tree.trace.as_data(level, layer.scale, DIGITS)
        assert verify(problem, Certificate("k2", bound, data)) == bound
        num_branched += len(tree.trace.rounds) > 1
    assert num_branched > 5


@pytest.mark.parametrize("seed", range(200))
def test_rating_of_a_move_is_that_of_the_sorted_replicas(seed):
    rng = np.random.default_rng(seed)
    counts = counts_of(rng, 6, 16)
    load = rng.integers(0, 12, 6).astype(float) if seed % 2 else rng.lognormal(0, 1, 6)
    giver, taker = rng.choice(6, 2, replace=False)
    giver = giver if counts[giver] > 1 else -1
    level = float(2 * load.sum() / 16)
    above, largest = rate(
        load, counts, np.argsort(load / counts), giver, taker, level, np.empty(16)
    )
    moved = counts.copy()
    moved[taker] += 1
    if giver >= 0:
        moved[giver] -= 1
    share = np.sort(np.repeat(load / moved, moved))[-16:]
    pairs = share[:8] + share[8:][::-1]
    assert largest == pytest.approx(pairs.max())
    assert above == pytest.approx(np.maximum(pairs - level, 0).sum())


def test_moves_keep_the_slots_and_the_limits_and_their_best_is_no_worse():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        load = rng.lognormal(0, 1, 12)
        counts = counts_of(rng, 12, 24)
        least, most = np.maximum(counts - 2, 1), counts + 2
        row = np.empty(24)
        before = rate(load, counts, np.argsort(load / counts), -1, -1, 0.0, row)[1]
        found, best = move_replicas(load, counts.copy(), least, most, 24, 0.0, 50)
        assert found.sum() == 24
        assert ((least <= found) & (found <= most)).all()
        after = rate(load, found, np.argsort(load / found), -1, -1, 0.0, row)[1]
        assert after == pytest.approx(best)
        assert best <= before


@pytest.mark.parametrize("num_slots", [10, 14, 30])
def test_refilled_counts_use_all_slots(num_slots):
    counts = np.array([7, 1, 3, 4])
    refill(np.array([9.0, 0.0, 3.0, 2.0]), counts, num_slots)
    assert counts.sum() == num_slots
    assert counts.min() >= 1


def test_engine_without_numba_agrees_with_brute_force_too():
    params = PairsParams(compiled=False)
    for seed in range(150):
        problem = random_pairs(seed)
        answer = PairsModel(params)(problem, round_robin(problem), Fraction(0), Deadline.after(30))
        assert answer.lower_bound == best_value(problem)


def test_many_short_turns_come_to_the_proven_optimum_and_never_step_back():
    problem = lognormal(0.5, 1, 128, 144)
    start = water_filled(problem)
    whole = PairsModel()(problem, start, Fraction(0), Deadline.after(60))
    layer = PairsLayer(problem, PairsParams())
    low, high = Fraction(0), None
    for _ in range(60):
        answer = layer.run(start, low, Deadline(), 250)
        assert answer.lower_bound >= low
        low, start = answer.lower_bound, answer.physical_to_logical
        value = worth(problem, start)
        assert low <= value
        assert high is None or value <= high
        high = value
        if low == high:
            break
    assert low == high == whole.lower_bound


def worth(problem, placed):
    from eplb_opt import scoring

    return scoring.largest_gpu_loads(problem.load, placed[None, :], problem.num_gpus)[0]


def test_turn_takes_over_a_better_plan_and_bound_found_elsewhere():
    problem = lognormal(0.5, 2, 128, 144)
    best = PairsModel()(problem, water_filled(problem), Fraction(0), Deadline.after(60))
    layer = PairsLayer(problem, PairsParams())
    layer.run(water_filled(problem), Fraction(0), Deadline(), 0)
    bound = best.lower_bound * Fraction(999, 1000)
    answer = layer.run(best.physical_to_logical, bound, Deadline(), 0)
    assert answer.physical_to_logical.tolist() == best.physical_to_logical.tolist()
    assert bound <= answer.lower_bound <= best.lower_bound
