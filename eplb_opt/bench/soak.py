"""A great many calls on shapes and loads that nobody would choose, each answer checked."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench.attack import MOST_TOLD, AttackReport, attack
from eplb_opt.engines.serving.call import rebalance
from eplb_opt.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable

#: Largest of a random shape.
MOST_EXPERTS, MOST_GPUS, MOST_SLOTS, MOST_LAYERS, MOST_EFFORT = 512, 1024, 2048, 4, 40
#: Calls between two reports of progress.
TOLD_EVERY = 100


@dataclass(frozen=True)
class SoakReport:
    """What a soak saw.

    Parameters
    ----------
    calls
        Calls of the serving function.
    seconds
        Duration of the whole soak.
    layers, slots
        Layers and slots that the calls planned in all.
    grown_bytes
        Resident memory at the end above that after a tenth of the calls; 0 where the system does
        not tell.
    faults
        What was wrong with the answers of the serving call, the first few; `random_call` draws such
        a call anew.
    attack
        The outcome for the plans; see `attack`.
    """

    calls: int
    seconds: float
    layers: int
    slots: int
    grown_bytes: int
    faults: tuple[str, ...]
    attack: AttackReport

    @property
    def is_clean(self) -> bool:
        """Whether neither the calls nor the plans showed a fault."""
        return not (self.faults or self.attack.faults)


def soak(
    calls: int, seed: int = 0, progress: Callable[[int], object] | None = None, plans: int = 0
) -> SoakReport:
    """Make random calls with counted effort and check every answer; tell how many are done.

    Parameters
    ----------
    calls
        Calls of the serving call, on shapes and loads of any kind.
    seed
        Seed of all draws.
    progress
        Called now and then with the number of calls and plans done.
    plans
        Random problems that are planned besides, judged by trying everything where they are small.
    """
    began = time.monotonic()
    layers = slots = at_first = 0
    faults: list[str] = []
    for index in range(calls):
        rng = np.random.default_rng((seed, index))
        weight, sizes, effort = random_call(rng)
        try:
            maps = rebalance(weight, *sizes, effort=effort)
            check_maps(weight, sizes, maps)
        except Exception as error:  # whatever is raised is a find, not the end of the hunt
            if len(faults) < MOST_TOLD:
                told = f"{type(error).__name__}: {error}"
                faults.append(f"seed {seed}, serving call {index}: {told}")
            continue
        if progress is not None and index % TOLD_EVERY == 0:
            progress(index)
        layers += len(weight)
        slots += maps[0].size
        if index == calls // 10:
            at_first = resident_bytes()
    grown = resident_bytes() - at_first

    def show(done: int) -> None:
        if progress is not None:
            progress(calls + done)

    planned = attack(plans, seed, progress=show)
    seconds = time.monotonic() - began
    return SoakReport(calls, seconds, layers, slots, grown, tuple(faults), planned)


def random_call(
    rng: np.random.Generator,
) -> tuple[np.ndarray, tuple[int, int, int, int], int]:
    """Loads, (slots, groups, nodes, GPUs) and the effort of one call."""
    num_experts = _one_of(rng, [1, 2, 8, _up_to(rng, 64), _up_to(rng, MOST_EXPERTS)])
    groups = _divisor(rng, num_experts, num_experts)
    nodes = _divisor(rng, groups, 8)
    most_gpus = min(MOST_GPUS, 4 * num_experts + 4)
    num_gpus = nodes * _up_to(rng, max(most_gpus // nodes, 1))
    least = -(-num_experts // num_gpus)
    spare = _one_of(rng, [0, 0, 1, _up_to(rng, 8)])
    slots_per_gpu = min(least + spare, max(MOST_SLOTS // num_gpus, least))
    weight = random_loads(rng, _up_to(rng, MOST_LAYERS), num_experts)
    sizes = num_gpus * slots_per_gpu, groups, nodes, num_gpus
    return weight, sizes, int(rng.integers(0, MOST_EFFORT))


def _divisor(rng: np.random.Generator, number: int, most: int) -> int:
    """One of a number's divisors up to `most`."""
    return _one_of(rng, [d for d in range(1, min(number, most) + 1) if number % d == 0])


def _one_of(rng: np.random.Generator, numbers: list[int]) -> int:
    return numbers[int(rng.integers(len(numbers)))]


def _up_to(rng: np.random.Generator, most: int) -> int:
    return int(rng.integers(1, most + 1))


def random_loads(rng: np.random.Generator, num_layers: int, num_experts: int) -> np.ndarray:
    """Loads of a random kind: zero rows, one expert, equal ones, huge skew, floats, integers."""
    shape = num_layers, num_experts
    kinds: dict[str, Callable[[], np.ndarray]] = {
        "lognormal": lambda: rng.lognormal(0, rng.uniform(0, 4), shape),
        "zero": lambda: np.zeros(shape),
        "one": lambda: np.eye(1, num_experts, int(rng.integers(num_experts))).repeat(num_layers, 0),
        "equal": lambda: np.full(shape, rng.uniform(0, 1e6)),
        "skew": lambda: np.exp(rng.uniform(-28, 28, shape)),
        "sparse": lambda: rng.integers(0, 10**6, shape) * (rng.random(shape) < 0.1),
        "ties": lambda: rng.integers(0, 4, shape),
        "huge": lambda: rng.integers(0, 2**52, shape),
    }
    load = kinds[str(rng.choice(list(kinds)))]()
    if rng.random() < 0.2:
        load[int(rng.integers(num_layers))] = 0
    return np.asarray(load.astype(np.float32) if rng.random() < 0.3 else load)


def check_maps(
    weight: np.ndarray, sizes: tuple[int, int, int, int], maps: tuple[np.ndarray, ...]
) -> None:
    """Raise PlanError unless the three maps agree and every law holds; shares no code with them."""
    num_slots, groups, nodes, num_gpus = sizes
    num_layers, num_experts = weight.shape
    phy2log, log2phy, logcnt = maps
    if phy2log.shape != (num_layers, num_slots) or num_slots % num_gpus:
        raise PlanError(f"phy2log has shape {list(phy2log.shape)}.")
    if phy2log.min() < 0 or phy2log.max() >= num_experts:
        raise PlanError(f"experts {phy2log.min()} to {phy2log.max()} of {num_experts}.")
    for layer_idx in range(num_layers):
        counts = np.bincount(phy2log[layer_idx], minlength=num_experts)
        if (counts != logcnt[layer_idx]).any() or counts.min() < 1:
            raise PlanError(f"layer {layer_idx}: counts {counts} against {logcnt[layer_idx]}.")
        order = np.argsort(phy2log[layer_idx], kind="stable")
        listed = log2phy[layer_idx]
        if (listed[listed >= 0] != order).any() or ((listed >= 0).sum(axis=1) != counts).any():
            raise PlanError(f"layer {layer_idx}: log2phy does not list the slots.")
        if nodes > 1:
            held = phy2log[layer_idx].reshape(nodes, -1) // (num_experts // groups)
            homes = [set(row.tolist()) for row in held]
            if sum(map(len, homes)) != groups or len(set(map(len, homes))) != 1:
                raise PlanError(f"layer {layer_idx}: groups on nodes {homes}.")


def resident_bytes() -> int:
    """Memory that this process holds now; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
