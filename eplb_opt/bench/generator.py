"""Seeded loads that look like recorded ones, the same integers on every machine.

A layer's log-loads are a normal body, bent by a square to give it a heavier head or tail, plus a
part that the experts of a routing group share. Some of that part stays over all layers, and the
width of a layer follows the width of the one before it. Every layer gets the same total.

Calibration, by hand, against recorded traces (totals over snapshots; means over layers; the tests
assert ranges of them). "Peak" is the maximum over the mean load, "width" the standard deviation
of the log-loads:

- ``deepseek-v3``: ten SGLang recordings of DeepSeek-V3/R1, 58 x 256. Recorded: peak 5.6 to 7.3
  (single layers 2.8 to 13.7), second expert 4.8 to 5.9, width 0.56 to 0.74, spreading over layers
  by 0.12 to 0.16 of it with a lag-1 correlation of 0.5 to 0.8; the top 1/5/10 % of experts carry
  5.8-7.1 / 17-21 / 27-33 % of the load, the median is 0.71-0.80 of the mean and the lightest
  expert 0.11-0.18. The log-loads of two layers correlate at 0.15 to 0.31, near or (a little less)
  far: that is the eight routing groups, whose heaviest carries 1.5 to 2.1 times its share. `width`,
  `bend` and `wobble` fit the first figures, `group_share` and `lasting` the last two. The stored
  file reaches: peak 6.49 (2.7 to 13.1), second 5.2, width 0.69 spreading by 0.145, the top
  6.3 / 18 / 29 %, median 0.76, lightest 0.146, correlation 0.18, heaviest group 1.63; but a lag-1
  correlation of 0.39 only.
- ``deepseek-v2-lite``: three ESFT recordings, 26 x 64. Recorded: peak 3.5 to 4.3, width 0.59 to
  0.89 spreading by 0.2, lightest expert 0.07-0.18, top 5/10 % 13-16 / 22-27 %, no correlation.
  Seed 0 reaches: peak 3.7, width 0.71 spreading by 0.19, lightest 0.14, top 14 / 25 %.
- ``gpt-oss``: gpt-oss-20b over 243 text domains, 24 x 32. Recorded: peak 2.8 for the sum and 4.1
  for single domains; a flat head and a long light tail (width 1.12, median 0.83, lightest expert
  0.05). The bend that fits the sum alone is -250; -180 puts the peak between sum and domains. The
  stored file, at 36 x 128, reaches: peak 3.3, width 1.09, median 0.78, lightest 0.02, of four
  times the experts.
- ``mixtral``: Mixtral-8x7B over MMLU subjects and five text domains, 32 x 8. Recorded: peak 1.1 to
  1.4, width 0.1 to 0.2, lightest expert 0.75 to 0.79. The stored file reaches: 1.29, 0.17, 0.77.
- ``kimi-k2``: no recording exists; close to ``deepseek-v3``'s body, but without groups.

- ``lognormal-0.5``, ``-1.0`` and ``-1.5``: no model; the range of skews, by the width alone.

Qwen3-235B has no recording either and takes ``deepseek-v2-lite`` (a softmax router with a balancing
loss and no groups); gpt-oss-120b takes the profile of its small sister. Those shapes are
plausible, not measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from math import isqrt

import numpy as np

from eplb_opt.errors import ProblemError

#: Goes up when the same arguments give other loads.
VERSION = 1
#: Fixed-point one: everything before the exponential is an integer of this unit.
ONE = 1 << 16
#: Routed assignments of every layer: 131072 tokens of a top-8 router, about a million.
LAYER_TOTAL = 1 << 20
#: Correctly rounded by its standard on every machine; twelve digits are far more than are kept.
DECIMAL = Context(prec=12)


@dataclass(frozen=True)
class Profile:
    """The shape of a model's loads; all in thousandths, so that no float is involved.

    Parameters
    ----------
    width
        Mean over layers of the standard deviation of the log-loads.
    wobble
        Relative standard deviation of that width between layers.
    follow
        Correlation of a layer's width with the one before.
    bend
        Weight of the square: above 0 for a heavy head, below 0 for a flat head and a long tail.
    group_share
        Standard deviation of the part that a group shares, relative to the width.
    lasting
        Share of the group part's standard deviation that is the same in all layers.
    num_groups
        Routing groups; 1 for none.
    """

    width: int
    wobble: int
    follow: int
    bend: int = 0
    group_share: int = 0
    lasting: int = 0
    num_groups: int = 1


PROFILES: dict[str, Profile] = {
    "deepseek-v3": Profile(700, 140, 650, 60, group_share=500, lasting=820, num_groups=8),
    "deepseek-v2-lite": Profile(740, 190, 680, -50),
    "gpt-oss": Profile(1150, 200, 700, -180),
    "mixtral": Profile(190, 400, 400),
    "kimi-k2": Profile(640, 140, 650, 60),
    "lognormal-0.5": Profile(500, 0, 0),
    "lognormal-1.0": Profile(1000, 0, 0),
    "lognormal-1.5": Profile(1500, 0, 0),
}


def generate_loads(profile: str, num_layers: int, num_experts: int, seed: int) -> np.ndarray:
    """Loads of one recording.

    Only `random_raw` of PCG64 is drawn from, whose stream numpy guarantees, and only integers and
    correctly rounded decimals are computed with.

    Parameters
    ----------
    profile
        A name of `PROFILES`.
    num_layers, num_experts
        At least one of each; the experts are a multiple of the profile's groups.
    seed
        Seed of the generator.

    Returns
    -------
    int64 tokens, [num_layers, num_experts]; every layer adds up to `LAYER_TOTAL`.

    Raises
    ------
    ProblemError
        When the profile is unknown or the shape does not fit it.
    """
    shape = _profile(profile)
    _check_shape(shape, num_layers, num_experts)
    bits = np.random.PCG64(seed)
    width = _widths(shape, num_layers, bits)
    group = _group_part(shape, num_layers, num_experts, bits)
    own = isqrt(1000**2 - shape.group_share**2)
    body = _bent(_normals(bits, num_layers, num_experts), shape.bend)
    log_load = (group + body * own // 1000) * width[:, None] // ONE
    return np.array([_apportioned(_exponential(row), LAYER_TOTAL) for row in log_load])


def scenario_loads(
    profile: str, num_layers: int, num_experts: int, seed: int, num_scenarios: int, part: int
) -> np.ndarray:
    """Loads of several workloads of one model: some of each is common to all, the rest its own.

    Parameters
    ----------
    profile, num_layers, num_experts
        As of `generate_loads`.
    seed
        Seed of the common part; the workloads' own parts have the seeds that follow it.
    num_scenarios
        Workloads.
    part
        Thousandths of a workload's assignments that are its own.

    Returns
    -------
    int64 tokens, [num_scenarios, num_layers, num_experts].
    """
    common = generate_loads(profile, num_layers, num_experts, seed)
    seeds = range(seed + 1, seed + 1 + num_scenarios)
    own = [generate_loads(profile, num_layers, num_experts, each) for each in seeds]
    return np.array([(common * (1000 - part) + each * part) // 1000 for each in own])


def zipf_loads(exponent: int, num_layers: int, num_experts: int, seed: int) -> np.ndarray:
    """The r-th most loaded expert has r**-exponent of the first, blurred by a tenth.

    Parameters
    ----------
    exponent
        In thousandths.
    num_layers, num_experts
        At least one of each.
    seed
        Seed of the generator.

    Returns
    -------
    int64 tokens, [num_layers, num_experts]; every layer adds up to `LAYER_TOTAL`.
    """
    bits = np.random.PCG64(seed)
    draws = bits.random_raw(num_layers * num_experts).reshape(num_layers, num_experts)
    rank = draws.argsort(axis=1, kind="stable")
    logs = [
        int(DECIMAL.multiply(DECIMAL.ln(Decimal(r + 1)), Decimal(ONE))) for r in range(num_experts)
    ]
    blur = _normals(bits, num_layers, num_experts) // 10
    log_load = blur - np.array(logs)[rank] * exponent // 1000
    return np.array([_apportioned(_exponential(row), LAYER_TOTAL) for row in log_load])


def _profile(name: str) -> Profile:
    if name not in PROFILES:
        raise ProblemError(f"profile {name!r} is unknown; known: {', '.join(PROFILES)}.")
    return PROFILES[name]


def _check_shape(shape: Profile, num_layers: int, num_experts: int) -> None:
    if num_layers < 1 or num_experts < 1 or num_experts % shape.num_groups:
        raise ProblemError(
            f"num_layers={num_layers}, num_experts={num_experts}: at least one of each is needed, "
            f"and experts in a multiple of the profile's {shape.num_groups} groups."
        )


def _normals(bits: np.random.PCG64, num_rows: int, num_columns: int) -> np.ndarray:
    """Near-normal integers with standard deviation ONE: sums of twelve 16-bit uniforms."""
    raw = bits.random_raw(num_rows * num_columns * 3).reshape(num_rows, num_columns, 3)
    parts = [raw >> np.uint64(shift) & np.uint64(ONE - 1) for shift in (0, 16, 32, 48)]
    return np.asarray(np.sum(parts, axis=(0, 3)).astype(np.int64) - 6 * ONE)


def _bent(normal: np.ndarray, bend: int) -> np.ndarray:
    """Normal plus bend * (normal**2 - 1), brought back to standard deviation ONE."""
    square = normal * normal // ONE - ONE
    return np.asarray((normal + square * bend // 1000) * 1000 // isqrt(1000**2 + 2 * bend**2))


def _widths(shape: Profile, num_layers: int, bits: np.random.PCG64) -> np.ndarray:
    """Standard deviation of each layer's log-loads, in units of ONE; at least a third of it."""
    fresh = isqrt(1000**2 - shape.follow**2)
    steps = _normals(bits, num_layers, 1)[:, 0].tolist()
    walk = [steps[0]]
    for step in steps[1:]:
        walk.append((shape.follow * walk[-1] + fresh * step) // 1000)
    factor = np.maximum(ONE + shape.wobble * np.array(walk) // 1000, ONE // 3)
    return np.asarray(shape.width * factor // 1000)


def _group_part(
    shape: Profile, num_layers: int, num_experts: int, bits: np.random.PCG64
) -> np.ndarray:
    """What the experts of a group share, [num_layers, num_experts] in units of ONE."""
    fleeting = isqrt(1000**2 - shape.lasting**2)
    lasting = _normals(bits, 1, shape.num_groups) * shape.lasting
    part = (lasting + _normals(bits, num_layers, shape.num_groups) * fleeting) // 1000
    return np.repeat(part * shape.group_share // 1000, num_experts // shape.num_groups, axis=1)


def _exponential(log_load: np.ndarray) -> list[int]:
    """A million times the exponentials of integers in units of ONE."""
    exponents = (DECIMAL.divide(Decimal(value), Decimal(ONE)) for value in log_load.tolist())
    return [int(DECIMAL.exp(exponent).scaleb(6)) for exponent in exponents]


def _apportioned(weight: list[int], total: int) -> list[int]:
    """Integers that add up to the total, in proportion; the largest remainders are rounded up."""
    whole = sum(weight)
    share = [value * total // whole for value in weight]
    by_remainder = sorted(range(len(weight)), key=lambda i: -(weight[i] * total % whole))
    for expert_idx in by_remainder[: total - sum(share)]:
        share[expert_idx] += 1
    return share
