"""What a placement is worth, in exact rationals.

This module shares no code with the exact models or the search, whose plans it judges.
"""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from math import lcm

import numpy as np

from eplb_opt import core
from eplb_opt.core.parts import in_parts
from eplb_opt.placement import homes, step_time
from eplb_opt.placement.level_flow import least_level
from eplb_opt.placement.peaks import whole_peaks
from eplb_opt.placement.senders import AS_DEALT, MOST, senders
from eplb_opt.problem.problem import Problem

#: Far above the rounding of a float64 sum of some thousand terms (1e-12), far below any real gap.
FLOAT_DOUBT = 1e-9
#: Slots that are worth a thread: splitting the tokens on them takes about ten milliseconds.
SLOTS_OF_A_THREAD = 20_000
#: Binary digits of the half in which loads are multiplied, so that int64 holds the sums.
HALF_BITS = 31
#: What the core's integers hold of a GPU's speed.
MAX_RATE = 2**62


def objectives(
    problem: Problem, physical_to_logical: np.ndarray, reading: str = AS_DEALT
) -> list[Fraction]:
    """What a plan is worth, exactly, one a layer; see `Problem`.

    Parameters
    ----------
    problem
        The problem, with or without scenarios.
    physical_to_logical
        int64 [num_layers, num_slots], every expert at least once.
    reading
        Under nearest copy, which of a replica's possible numbers of senders counts; see `senders`.

    Returns
    -------
    The largest GPU load in units of the loads, or what the scenarios make together, or what load
    and price make with a topology; with costs the largest GPU's in units of these.
    """
    if problem.has_cost:
        spent = step_time.gpu_costs(problem, physical_to_logical, reading)
        return [Fraction(largest) for largest in spent.max(axis=1).tolist()]
    if problem.splits_by_sender and problem.topology is None:
        sent = senders(problem, physical_to_logical, reading)
        return sent_objectives(problem, physical_to_logical, sent)
    if not problem.counts_ratios:
        return _peaks(problem, problem.load, physical_to_logical)
    if not problem.has_scenarios:
        loads = load_ratios(problem, physical_to_logical, reading)
        return homes.with_price(problem, physical_to_logical, [loads])[0]
    ratios = scenario_ratios(problem, physical_to_logical)
    ratios = homes.with_price(problem, physical_to_logical, ratios)
    return [combined(problem, ratio) for ratio in zip(*ratios, strict=True)]


def layer_objectives(problem: Problem, physical_to_logical: np.ndarray) -> list[Fraction]:
    """What each layer is worth whatever the other layers hold, exactly, at least `objectives`.

    It differs under nearest copy alone, where it is the most that any draw makes of a layer: for
    comparing plans of single layers.

    Parameters
    ----------
    problem, physical_to_logical
        As for `objectives`.
    """
    return objectives(problem, physical_to_logical, MOST)


def sent_objectives(
    problem: Problem, physical_to_logical: np.ndarray, sent: np.ndarray
) -> list[Fraction]:
    """What a plan is worth for these numbers of senders, whatever the problem's dispatch is.

    Parameters
    ----------
    problem, physical_to_logical
        As for `objectives`.
    sent
        int64 [num_layers, num_slots], GPUs that send to each slot; see `senders`.
    """
    if not problem.has_scenarios:
        return _sent_peaks(problem, problem.load, physical_to_logical, sent)
    ratios = scenario_ratios(problem, physical_to_logical, sent)
    return [combined(problem, ratio) for ratio in zip(*ratios, strict=True)]


def combined(problem: Problem, ratio: Sequence[Fraction]) -> Fraction:
    """The scenarios' figures of one layer, [num_scenarios], as one."""
    if problem.objective == "max":
        return max(r for r, share in zip(ratio, problem.shares, strict=True) if share)
    pairs = zip(ratio, problem.shares, strict=True)
    return _sum_of([(r.numerator * s.numerator, r.denominator * s.denominator) for r, s in pairs])


def exact_sum(values: Sequence[Fraction]) -> Fraction:
    """The sum of rationals, halves first: one by one, hundreds of them take the square of the time.

    Their denominators have little in common, so what is added up so far grows with each.
    """
    return _sum_of([(value.numerator, value.denominator) for value in values] or [(0, 1)])


def _sum_of(parts: list[tuple[int, int]]) -> Fraction:
    """The sum of quotients, numerators and denominators."""
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        odd = parts[-1:] if len(parts) % 2 else []
        parts = [(a * d + c * b, b * d) for (a, b), (c, d) in pairs] + odd
    return Fraction(*parts[0])


def scenario_ratios(
    problem: Problem, physical_to_logical: np.ndarray, sent: np.ndarray | None = None
) -> list[list[Fraction]]:
    """Largest over mean GPU load, exactly, [num_scenarios][num_layers]; 1 where there is no load.

    Loads that were rounded down as they came in count with all that they may lack. `sent` are the
    senders of each slot where it is they who split the tokens, and by default the problem's own.
    """
    num_layers, each = problem.num_layers, range(problem.num_scenarios)
    if sent is None and problem.splits_by_sender:
        sent = senders(problem, physical_to_logical)
    # All scenarios at once: a problem of its own for each would take longer than the work.
    loads = problem.load.reshape(-1, problem.num_experts)
    placed = np.tile(physical_to_logical, (len(each), 1))
    if sent is None:
        peaks = _peaks(problem, loads, placed)
    else:
        peaks = _sent_peaks(problem, loads, placed, np.tile(sent, (len(each), 1)))
    rows = [slice(r * num_layers, (r + 1) * num_layers) for r in each]
    return [_ratios(problem, peaks[rows[r]], loads[rows[r]], problem.rounded[r]) for r in each]


def load_ratios(
    problem: Problem, physical_to_logical: np.ndarray, reading: str = AS_DEALT
) -> list[Fraction]:
    """Largest over mean GPU load, exactly, [num_layers], scenarios together; 1 without load."""
    if problem.has_scenarios:
        ratios = scenario_ratios(problem, physical_to_logical)
        return [combined(problem, ratio) for ratio in zip(*ratios, strict=True)]
    if problem.splits_by_sender:
        sent = senders(problem, physical_to_logical, reading)
        peaks = _sent_peaks(problem, problem.load, physical_to_logical, sent)
    else:
        peaks = _peaks(problem, problem.load, physical_to_logical)
    return _ratios(problem, peaks, problem.load, problem.rounded)


def _ratios(
    problem: Problem, peaks: Sequence[Fraction], load: np.ndarray, rounded: np.ndarray
) -> list[Fraction]:
    """Largest GPU loads, [num_layers], over the means of loads of which some were rounded down."""
    lacking = (rounded * problem.slots_per_gpu).tolist()
    totals = load.sum(axis=1).tolist()
    slowest = problem.slowest
    return [
        _share_of_mean(peak + less / slowest if less else peak, problem.capacity, total)
        for peak, less, total in zip(peaks, lacking, totals, strict=True)
    ]


def _share_of_mean(peak: Fraction, capacity: Fraction, total: int) -> Fraction:
    """A GPU load over total / capacity; 1 where there is no load."""
    if not total:
        return Fraction(1)
    below = peak.denominator * capacity.denominator * total
    return Fraction(peak.numerator * capacity.numerator, below)


def _peaks(problem: Problem, load: np.ndarray, physical_to_logical: np.ndarray) -> list[Fraction]:
    speed = None if problem.gpu_speed is None else problem.speed
    if not problem.is_split_freely:
        return largest_gpu_loads(load, physical_to_logical, problem.num_gpus, speed)
    rates = problem.whole_speed
    return least_levels(load, physical_to_logical, problem.num_gpus, speed, rates)


def _sent_peaks(
    problem: Problem, load: np.ndarray, placed: np.ndarray, sent: np.ndarray
) -> list[Fraction]:
    """The largest GPU load of each layer: every GPU sends an equal part of each expert's load."""
    slots = np.take_along_axis(load, np.maximum(placed, 0), axis=1)
    shape = len(load), problem.num_gpus, -1
    high, low = (
        (half * sent).reshape(shape).sum(axis=2)
        for half in (slots >> HALF_BITS, slots & (2**HALF_BITS - 1))
    )
    high, low = high + (low >> HALF_BITS), low & (2**HALF_BITS - 1)
    if problem.gpu_speed is None:
        most = high.max(axis=1)
        rest = np.where(high == most[:, None], low, 0).max(axis=1)
        pairs = zip(most.tolist(), rest.tolist(), strict=True)
        return [Fraction((h << HALF_BITS) + w, problem.num_senders) for h, w in pairs]
    return [
        max(
            Fraction((h << HALF_BITS) + w, problem.num_senders) / speed
            for h, w, speed in zip(*gpus, problem.speed, strict=True)
        )
        for gpus in zip(high.tolist(), low.tolist(), strict=True)
    ]


def least_levels(
    load: np.ndarray,
    physical_to_logical: np.ndarray,
    num_gpus: int,
    speed: tuple[Fraction, ...] | None = None,
    rates: tuple[Sequence[int], int] | None = None,
) -> list[Fraction]:
    """The largest GPU load of each layer under optimal dispatch, exactly; as `largest_gpu_loads`.

    The core finds the set of GPUs that proves it; where its integers are too narrow `level_flow`
    does, which says why nothing lower can be. `rates` are what `whole_rates` makes of the speeds,
    where that is known.
    """
    rate, unit = whole_rates(num_gpus, speed) if rates is None else rates
    placed = np.ascontiguousarray(physical_to_logical, dtype=np.int64)
    weights = np.ascontiguousarray(load, dtype=np.int64)
    tokens = np.full(len(load), -1, dtype=np.int64)
    tight = np.zeros((len(load), num_gpus), dtype=bool)
    if max(rate) <= MAX_RATE:
        whole = np.array(rate, dtype=np.int64)

        def find(part: slice) -> None:
            core.scoring.least_levels(weights[part], placed[part], whole, tokens[part], tight[part])

        in_parts(find, len(load), max(SLOTS_OF_A_THREAD // placed.shape[1], 1))
    together = tight.sum(axis=1) if speed is None else tight @ np.array(rate, dtype=object)
    layers = zip(tokens.tolist(), together.tolist(), weights, placed, strict=True)
    return [
        Fraction(found * unit, total) if found >= 0 else _level(row, slots, num_gpus, speed)
        for found, total, row, slots in layers
    ]


def whole_rates(num_gpus: int, speed: tuple[Fraction, ...] | None) -> tuple[list[int], int]:
    """Speeds as whole numbers [num_gpus] of a common unit, and how many of it make 1."""
    if speed is None:
        return [1] * num_gpus, 1
    unit = lcm(*(value.denominator for value in speed))
    return [int(value * unit) for value in speed], unit


def _level(
    load: np.ndarray, placed: np.ndarray, num_gpus: int, speed: tuple[Fraction, ...] | None
) -> Fraction:
    """The least level of one layer, in integers of any size."""
    hosts = expert_hosts(placed, len(load), num_gpus)
    return least_level(load.tolist(), hosts, num_gpus, speed).level


def expert_hosts(placed: np.ndarray, num_experts: int, num_gpus: int) -> list[list[int]]:
    """The GPUs that hold each expert of one layer ([num_slots] ids), ascending."""
    gpu_idx = np.arange(len(placed)) // (len(placed) // num_gpus)
    pairs = np.unique(placed[placed >= 0] * num_gpus + gpu_idx[placed >= 0])
    hosts: list[list[int]] = [[] for _ in range(num_experts)]
    for expert, gpu in zip((pairs // num_gpus).tolist(), (pairs % num_gpus).tolist(), strict=True):
        hosts[expert].append(gpu)
    return hosts


def replica_counts(physical_to_logical: np.ndarray, num_experts: int) -> np.ndarray:
    """Replicas of each expert, int64 [num_layers, num_experts]; -1 is an empty slot."""
    num_layers = physical_to_logical.shape[0]
    # Empty slots are counted as an expert of their own and then left out.
    labels = physical_to_logical + 1 + np.arange(num_layers)[:, None] * (num_experts + 1)
    counts = np.bincount(labels.ravel(), minlength=num_layers * (num_experts + 1))
    return counts.astype(np.int64).reshape(num_layers, num_experts + 1)[:, 1:]


def gpu_loads(load: np.ndarray, physical_to_logical: np.ndarray, num_gpus: int) -> np.ndarray:
    """GPU loads, float64 [num_layers, num_gpus]: for looking at, never for claims."""
    counts = replica_counts(physical_to_logical, load.shape[1])
    return _rough_loads(load, counts, physical_to_logical, num_gpus)


def _rough_loads(
    load: np.ndarray, counts: np.ndarray, physical_to_logical: np.ndarray, num_gpus: int
) -> np.ndarray:
    # Empty slots (-1) take the last column, where nothing is.
    share = np.zeros((len(load), load.shape[1] + 1))
    share[:, :-1] = load / np.maximum(counts, 1)
    replicas = np.take_along_axis(share, physical_to_logical, axis=1)
    return np.asarray(replicas.reshape(len(load), num_gpus, -1).sum(axis=2))


def largest_gpu_loads(
    load: np.ndarray,
    physical_to_logical: np.ndarray,
    num_gpus: int,
    speed: tuple[Fraction, ...] | None = None,
) -> list[Fraction]:
    """The largest GPU load of each layer, exactly.

    Parameters
    ----------
    load
        int64 [num_layers, num_experts].
    physical_to_logical
        int64 [num_layers, num_slots], every expert at least once; -1 is an empty slot.
    num_gpus
        Slot p is on GPU p // (num_slots // num_gpus).
    speed
        [num_gpus], what each GPU's load is divided by.

    Returns
    -------
    One rational a layer, in units of the loads.
    """
    counts = replica_counts(physical_to_logical, load.shape[1])
    rough = _rough_loads(load, counts, physical_to_logical, num_gpus)
    over = rough if speed is None else rough / np.array([float(value) for value in speed])
    # Floats only choose which GPUs can be the heaviest; each of those is then added up exactly.
    doubtful = over >= over.max(axis=1, keepdims=True) * (1 - FLOAT_DOUBT)
    placed = physical_to_logical.reshape(len(load), num_gpus, -1)
    found = whole_peaks(load, counts, placed, doubtful, rough, speed)
    for row, value in enumerate(found):
        if value is None:
            gpu_idx = np.flatnonzero(doubtful[row])
            found[row] = max(_exact_loads(load[row], counts[row], placed[row], gpu_idx, speed))
    return [value for value in found if value is not None]


def _exact_loads(
    load: np.ndarray,
    count: np.ndarray,
    placed: np.ndarray,
    gpu_idx: np.ndarray,
    speed: tuple[Fraction, ...] | None,
) -> set[Fraction]:
    """Exact loads of the given GPUs of one layer, over their speeds."""
    gpus = placed[gpu_idx]
    # GPUs that hold the same at the same speed are added up once.
    rate = [1] * len(gpu_idx) if speed is None else [speed[g] for g in gpu_idx.tolist()]
    held = {
        (tuple(sorted(Counter(gpu).items())), by)
        for gpu, by in zip(gpus.tolist(), rate, strict=True)
    }
    counts = {e: int(count[e]) for gpu, _ in held for e, _ in gpu if e >= 0}
    denominator = lcm(*set(counts.values()))
    weight = {e: int(load[e]) * (denominator // c) for e, c in counts.items()}
    weight[-1] = 0
    return {
        Fraction(sum(weight[e] * times for e, times in gpu), denominator) / by for gpu, by in held
    }
