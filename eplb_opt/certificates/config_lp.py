"""Verification of kind "config_lp": every plan has a GPU of at least the claimed load.

The certificate gives each expert e a value v_e >= 0. Let a replica of e weigh ceil(v_e / c) when e
has c of them. All replicas of a plan weigh at least sum_e v_e, so some GPU carries at least

    W = ceil(sum_e v_e / num_gpus)

on its K slots. Suppose the plan's largest load is below T. Then every count is above w_e / T, and
at most what the others' fewest leave of the slots; so that GPU holds at most K such replicas of
load below T together that weigh W. Where no such pattern exists, T is a lower bound. (Values w_e
give the mean, values ceil(w_e / T) the water level.)

Patterns are searched exactly, each as two partial patterns of half the slots. A partial pattern is
left out where another one is no larger and no lighter (dominance), or where it cannot reach W.
Where there are too many, neighbours are merged into one of the smaller size and the larger weight,
and sizes are rounded down: both can only make a heavy pattern appear where there is none.

References
----------
E. Horowitz and S. Sahni, "Computing partitions with applications to the knapsack problem", Journal
of the ACM 21, 1974 (two halves of a knapsack).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.work import spend

if TYPE_CHECKING:
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem

#: Sizes and weights of a whole layer, as int64, stay below this.
INT64_ROOM = 2**61
#: The cells of size in the table of the most that k slots can weigh.
NUM_CELLS = 1024
#: The most sums of two lists of patterns, for their memory; longer lists are merged first.
MAX_SUMS = 1_500_000
#: Where there are more partial patterns, most dominated ones are left out before sorting, by about
#: as many cells of size.
NUM_WEEDED = 1 << 14
#: The most replicas to choose from (experts times counts), for their memory.
MAX_CHOICES = 4_000_000


@dataclass(frozen=True, eq=False)
class Patterns:
    """Partial patterns of which none dominates another, the empty one first.

    Parameters
    ----------
    size, weight
        int64 [num_patterns], both ascending.
    """

    size: np.ndarray
    weight: np.ndarray


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again in integers as the module describes.

    Rules of nodes and co-location only forbid plans, so the bound holds under them too.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    value = _read(certificate, problem.num_experts)
    if certificate.bound <= 0:
        return certificate.bound  # no load is negative
    load = problem.load[0]
    least = least_load(load, problem.num_slots, problem.num_gpus, value, certificate.bound)
    if least < certificate.bound:
        raise CertificateError(f"the values prove {least}, not {certificate.bound}.")
    return certificate.bound


def least_load(
    load: np.ndarray,
    num_slots: int,
    num_gpus: int,
    value: list[int],
    below: Fraction,
    count_range: tuple[list[int], list[int]] | None = None,
) -> Fraction:
    """The lower bound, at most `below`, that the values prove.

    Parameters
    ----------
    load
        int64 [num_experts], loads of at least 0 that add up to less than 2**62.
    num_slots, num_gpus
        The slots and GPUs of the problem; num_gpus divides num_slots.
    value
        [num_experts], the experts' values of the certificate, at least 0.
    below
        A load above 0; plans of at least this load are not looked at.
    count_range
        The least and the largest counts, [num_experts] each: the bound holds for plans with counts
        between them. None for all counts.

    Raises
    ------
    CertificateError
        When the values are too large for exact sums.
    """
    slots_per_gpu = num_slots // num_gpus
    if sum(value) >= INT64_ROOM // (2 * slots_per_gpu):
        raise CertificateError(f"the values add up to {sum(value)}, too large for exact sums.")
    loads = [int(w) for w in load]
    counts = _counts(loads, num_slots, below, count_range)
    if counts is None:
        return below
    needed = -(-sum(value) // num_gpus)
    unit = _unit(sum(loads))
    scaled = below / unit
    most = min(-(-scaled.numerator // scaled.denominator) - 1, INT64_ROOM)
    singles = _singles(loads, value, *counts, unit, most)
    size = _least_size(singles, slots_per_gpu, most, needed)
    return below if size is None else min(size * unit, below)


def leaf_units(slots_per_gpu: int) -> int:
    """The most that `least_load` may cost, in units of work."""
    return (slots_per_gpu - slots_per_gpu // 2) * MAX_SUMS


def _counts(
    loads: list[int],
    num_slots: int,
    below: Fraction,
    count_range: tuple[list[int], list[int]] | None,
) -> tuple[list[int], list[int]] | None:
    """Least and largest counts in a plan below that load, or None when there is no such plan."""
    fewest = [w * below.denominator // below.numerator + 1 for w in loads]
    if count_range is not None:
        fewest = [max(pair) for pair in zip(fewest, count_range[0], strict=True)]
    spare = num_slots - sum(fewest)
    most = [c + spare for c in fewest]
    if count_range is not None:
        most = [min(pair) for pair in zip(most, count_range[1], strict=True)]
    # Some expert has no count left, or the counts cannot fill the slots.
    is_empty = any(m < c for c, m in zip(fewest, most, strict=True)) or sum(most) < num_slots
    return None if is_empty else (fewest, most)


def _read(certificate: Certificate, num_experts: int) -> list[int]:
    value = certificate.data.get("value")
    if set(certificate.data) != {"value"} or not isinstance(value, list):
        raise CertificateError("config_lp has one list of integers, value, and nothing else.")
    if len(value) != num_experts or min(value) < 0:
        raise CertificateError(f"config_lp needs {num_experts} values, none negative.")
    return value


def _unit(total: int) -> Fraction:
    """The smallest power of two in units of which the layer's total fits."""
    bits = INT64_ROOM.bit_length() - 2 - total.bit_length()
    return Fraction(1, 2**bits) if bits >= 0 else Fraction(2**-bits)


def _singles(
    loads: list[int],
    value: list[int],
    fewest: list[int],
    most_counts: list[int],
    unit: Fraction,
    most: int,
) -> Patterns:
    """The patterns of one slot: sizes rounded down, weights up."""
    times = np.array(most_counts, dtype=np.int64) - fewest + 1
    if int(times.max()) * len(loads) > MAX_CHOICES:
        raise CertificateError(f"{len(loads)} experts with {times.max()} counts are too many.")
    scaled = [w * unit.denominator // unit.numerator for w in loads]
    first = np.repeat(np.cumsum(times) - times, times)
    count = np.repeat(np.array(fewest, dtype=np.int64), times) + np.arange(len(first)) - first
    size = np.repeat(np.array(scaled, dtype=np.int64), times) // count
    weight = -(-np.repeat(np.array(value, dtype=np.int64), times) // count)
    fits = size <= most
    return _undominated(size[fits], weight[fits])


def _undominated(size: np.ndarray, weight: np.ndarray) -> Patterns:
    """The patterns that are heavier than all that are no larger, after the empty one."""
    if len(size) > NUM_WEEDED:
        size, weight = _weeded(size, weight)
    order = np.lexsort((-weight, size))
    size, weight = size[order], weight[order]
    before = np.maximum.accumulate(np.concatenate([[0], weight]))[:-1]
    keep = weight > before
    zero = np.zeros(1, dtype=np.int64)
    return Patterns(np.concatenate([zero, size[keep]]), np.concatenate([zero, weight[keep]]))


def _weeded(size: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without most of the patterns that one in a lower cell of sizes dominates."""
    cell = size >> max(int(size.max()).bit_length() - NUM_WEEDED.bit_length(), 0)
    best = np.zeros(int(cell.max()) + 2, dtype=np.int64)
    np.maximum.at(best[1:], cell, weight)
    keep = weight > np.maximum.accumulate(best)[cell]
    return size[keep], weight[keep]


def _least_size(singles: Patterns, slots_per_gpu: int, most: int, needed: int) -> int | None:
    """The least size of a pattern that weighs `needed`; None when all are above `most`."""
    if needed <= 0:
        return 0
    tops = _tops(singles, slots_per_gpu, most)
    patterns = [Patterns(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))]
    for num_slots in range(1, slots_per_gpu - slots_per_gpu // 2 + 1):
        top = tops[slots_per_gpu - num_slots]
        patterns.append(_sums(patterns[-1], singles, top, most, needed))
    a, b = patterns[-1], patterns[slots_per_gpu // 2]
    partner = np.searchsorted(b.weight, needed - a.weight)
    there = partner < len(b.weight)
    sizes = a.size[there] + b.size[partner[there]]
    return int(sizes.min()) if sizes.size and sizes.min() <= most else None


def _tops(singles: Patterns, slots_per_gpu: int, most: int) -> list[np.ndarray]:
    """Upper limits on the weight of k slots by cells of size, for k = 0 .. slots_per_gpu.

    Sizes are rounded down to cells, so that a pattern of size s is found at s // width.
    """
    cell = singles.size // (most // NUM_CELLS + 1)
    single = np.zeros(NUM_CELLS, dtype=np.int64)
    np.maximum.at(single, cell, singles.weight)
    single = np.maximum.accumulate(single)
    steps = np.flatnonzero(np.diff(single, prepend=-1))
    tops = [np.zeros(NUM_CELLS, dtype=np.int64)]
    for _ in range(slots_per_gpu):
        top = tops[-1].copy()
        for x in steps.tolist():
            np.maximum(top[x:], tops[-1][: NUM_CELLS - x] + single[x], out=top[x:])
        tops.append(top)
    return tops


def _sums(
    patterns: Patterns, singles: Patterns, top: np.ndarray, most: int, needed: int
) -> Patterns:
    """The patterns of one slot more, without those that cannot reach the weight.

    `top` has the most that the remaining slots can weigh, by cells of size, from `_tops`.
    """
    singles = _merged(singles, MAX_SUMS // 200, most)
    patterns = _merged(patterns, max(MAX_SUMS // len(singles.size), 200), most)
    spend(len(patterns.size) * len(singles.size))
    size = (patterns.size[:, None] + singles.size).ravel()
    weight = (patterns.weight[:, None] + singles.weight).ravel()
    fits = size <= most
    size, weight = size[fits], weight[fits]
    reaches = weight + top[(most - size) // (most // NUM_CELLS + 1)] >= needed
    return _undominated(size[reaches], weight[reaches])


def _merged(patterns: Patterns, length: int, most: int) -> Patterns:
    """About `length` patterns: neighbours become one of the least size and largest weight."""
    if len(patterns.size) <= length:
        return patterns
    cell = patterns.size // (most // length + 1)
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    last = np.append(first[1:], len(cell)) - 1
    return _undominated(patterns.size[first], patterns.weight[last])
