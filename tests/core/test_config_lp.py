"""The compiled configuration LP against the same LP with all patterns written out."""

from __future__ import annotations

import threading
from itertools import combinations_with_replacement
from math import inf, nan

import numpy as np
import pytest

from eplb_opt.core import config_lp

optimize = pytest.importorskip("scipy.optimize")
TOLERANCE = 1e-6


class Layer:
    """A tiny layer with a window of counts and a target load between hopeless and easy."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.num_gpus, self.slots_per_gpu = int(rng.integers(1, 5)), int(rng.integers(1, 4))
        self.num_slots = self.num_gpus * self.slots_per_gpu
        num_experts = int(rng.integers(1, min(self.num_slots, 5) + 1))
        self.load = rng.integers(0, int(rng.choice([3, 30, 1000])), num_experts)
        self.load = self.load ** int(rng.integers(1, 4)) + (rng.random() < 0.5)
        self.target = max(self.load.sum() / self.num_gpus, 0.5) * float(rng.uniform(0.98, 1.8))
        self.low = np.ones(num_experts, dtype=np.int64)
        self.high = np.full(num_experts, self.num_slots)
        if rng.random() < 0.4:
            self.high[rng.integers(num_experts)] = rng.integers(1, 4)

    def begin(self) -> config_lp.ColumnGeneration:
        return config_lp.ColumnGeneration(self.load, self.num_slots, self.num_gpus, None)

    def decide(self, work: config_lp.ColumnGeneration, rounds: int = 500) -> config_lp.Verdict:
        window = self.low, self.high
        return work.decide(self.target, *window, None, seconds=inf, rounds=rounds)

    def counts(self) -> list[range]:
        """The counts that target, window and slots leave each expert."""
        needed = np.maximum(np.ceil(self.load / self.target - 1e-12), 1).astype(int)
        fewest = np.maximum(needed, self.low)
        most = np.minimum(fewest + self.num_slots - fewest.sum(), self.high)
        return [range(a, b + 1) for a, b in zip(fewest, most, strict=True)]

    def patterns(self) -> np.ndarray:
        """What each pattern that fits covers of each expert, [num_patterns, num_experts]."""
        replicas = [(e, c) for e, counts in enumerate(self.counts()) for c in counts]
        covered = [
            np.bincount([e for e, _ in chosen], [1 / c for _, c in chosen], len(self.load))
            for num in range(1, self.slots_per_gpu + 1)
            for chosen in combinations_with_replacement(replicas, num)
            if sum(self.load[e] / c for e, c in chosen) <= self.target * (1 + 1e-12)
        ]
        return np.array(covered)

    def has_counts(self) -> bool:
        counts = self.counts()
        return all(counts) and sum(c[-1] for c in counts) >= self.num_slots

    def fewest_gpus(self, patterns: np.ndarray) -> float:
        """What the LP says: how many GPUs the patterns need, fractions allowed."""
        ones = np.ones(len(patterns)), -np.ones(len(self.load))
        return float(optimize.linprog(ones[0], -patterns.T, ones[1]).fun)


@pytest.mark.parametrize("first_seed", range(0, 160, 40))
def test_verdict_is_that_of_the_lp_with_all_patterns(first_seed: int) -> None:
    seen = set()
    for seed in range(first_seed, first_seed + 40):
        layer = Layer(seed)
        verdict = layer.decide(layer.begin())
        if not layer.has_counts():
            assert verdict == config_lp.Verdict.INFEASIBLE, seed
            continue
        fewest = layer.fewest_gpus(layer.patterns())
        if fewest > layer.num_gpus * (1 + TOLERANCE):
            assert verdict == config_lp.Verdict.INFEASIBLE, seed
        elif fewest < layer.num_gpus * (1 - TOLERANCE):
            assert verdict == config_lp.Verdict.FEASIBLE, seed
        seen.add(verdict)
    assert seen == {config_lp.Verdict.FEASIBLE, config_lp.Verdict.INFEASIBLE}


@pytest.mark.parametrize("rounds", [1, 3, 500])
def test_no_pattern_outweighs_a_gpu_of_the_dual_values(rounds: int) -> None:
    for seed in range(120):
        layer = Layer(seed)
        work = layer.begin()
        verdict = layer.decide(work, rounds)
        if layer.has_counts():
            heaviest = (layer.patterns() * work.centre).sum(axis=1).max()
            assert heaviest <= 1 + TOLERANCE, seed
            if verdict == config_lp.Verdict.INFEASIBLE:
                assert work.centre.sum() >= layer.num_gpus * (1 - TOLERANCE), seed


def test_feasible_division_covers_every_expert_with_counts_of_the_window() -> None:
    found = 0
    for seed in range(120):
        layer = Layer(seed)
        work = layer.begin()
        if layer.decide(work) != config_lp.Verdict.FEASIBLE:
            continue
        found += 1
        division = work.division()
        assert (division.sum(axis=1) >= 1 - TOLERANCE).all()
        for e, counts in enumerate(layer.counts()):
            outside = np.setdiff1d(np.arange(division.shape[1]), counts)
            assert division[e, outside].sum() <= len(outside) * TOLERANCE
    assert found > 40


def test_start_whose_gpus_fit_makes_the_lp_feasible_without_pricing() -> None:
    load, start = np.array([4, 3, 2, 1]), np.array([0, 3, 1, 2])
    work = config_lp.ColumnGeneration(load, 4, 2, start)
    window = np.ones(4, dtype=np.int64), np.full(4, 4)
    assert work.decide(5.0, *window, None, seconds=inf, rounds=1) == config_lp.Verdict.FEASIBLE


def test_later_targets_go_on_from_the_columns_of_the_first() -> None:
    load = np.floor(1e6 * np.arange(1, 65) ** -1.2).astype(np.int64)
    window = np.ones(64, dtype=np.int64), np.full(64, 72)
    work = config_lp.ColumnGeneration(load, 72, 18, None)
    target = load.sum() / 18 * 1.2
    work.decide(target, *window, None, seconds=inf, rounds=None)
    first = work.rounds
    work.decide(target * 1.0001, *window, work.centre, seconds=inf, rounds=None)
    assert first > 10
    assert work.rounds - first < first / 2


@pytest.mark.parametrize("limit", [{"seconds": 0, "rounds": None}, {"seconds": inf, "rounds": 0}])
def test_no_budget_leaves_it_open(limit: dict[str, float]) -> None:
    layer = Layer(1)
    work = layer.begin()
    assert work.decide(layer.target, layer.low, layer.high, None, **limit) == config_lp.Verdict.OPEN
    assert work.rounds == 0


GOOD = {
    "load": np.array([5, 3, 2]),
    "num_slots": 4,
    "num_gpus": 2,
    "start": np.array([0, 0, 1, 2]),
}


@pytest.mark.parametrize(
    "bad",
    [
        {"load": np.zeros(0, dtype=np.int64)},
        {"load": np.array([5, -3, 2])},
        {"load": np.array([5, 2**62 + 1, 2])},
        {"num_slots": 0},
        {"num_gpus": 0},
        {"num_gpus": 3},
        {"num_slots": 2**50, "num_gpus": 1, "start": None},
        {"load": np.ones(20_000, dtype=np.int64), "num_slots": 20_000, "start": None},
        {"start": np.array([0, 1, 2])},
        {"start": np.array([0, 1, 2, 3])},
        {"start": np.array([0, 1, 2, -1])},
    ],
)
def test_bad_node_is_refused(bad: dict[str, object]) -> None:
    config_lp.ColumnGeneration(*GOOD.values())
    with pytest.raises(ValueError, match=r"\."):
        config_lp.ColumnGeneration(*(GOOD | bad).values())


@pytest.mark.parametrize(
    "bad",
    [
        {"target": 0.0},
        {"target": nan},
        {"target": inf},
        {"low": np.ones(2, dtype=np.int64)},
        {"low": np.array([1, -1, 1])},
        {"high": np.array([1, 2**62, 1])},
        {"last": np.ones(4)},
        {"last": np.array([1.0, nan, 1.0])},
        {"last": np.array([1.0, -1.0, 1.0])},
        {"seconds": nan},
    ],
)
def test_bad_question_is_refused(bad: dict[str, object]) -> None:
    work = config_lp.ColumnGeneration(*GOOD.values())
    good = {"target": 6.0, "low": np.ones(3, dtype=np.int64), "high": np.full(3, 2)}
    good |= {"last": None, "seconds": 1.0, "rounds": 3}
    work.decide(**good)
    with pytest.raises(ValueError, match=r"\."):
        work.decide(**(good | bad))


def test_one_of_two_threads_that_ask_at_once_gets_an_error() -> None:
    load = np.floor(1e6 * np.arange(1, 257) ** -1.2).astype(np.int64)
    window = np.ones(256, dtype=np.int64), np.full(256, 288)
    work = config_lp.ColumnGeneration(load, 288, 72, None)
    refused: list[str] = []

    def ask() -> None:
        for k in range(300):
            target = load.sum() / 72 * (1.2 + k / 1000)
            try:
                work.decide(target, *window, None, seconds=inf, rounds=3)
            except RuntimeError as error:
                refused.append(str(error))
            if refused:
                return

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "another thread" in refused[0]
