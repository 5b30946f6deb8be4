"""The hot call: loads in, three maps out, in the milliseconds or steps that are given."""

from __future__ import annotations

import time
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt import scoring
from eplb_opt.hot import start
from eplb_opt.hot.arena import ARENA
from eplb_opt.hot.door import Call, admit, fixed_point, in_kind
from eplb_opt.hot.kernels import is_warm, warm_in_background, warm_kernels
from eplb_opt.hot.marks import LARGEST, REACHED, TOTAL
from heuristics import greedy, greedy_numpy
from heuristics.errors import MissingDependency
from heuristics.maps import complete, count_replicas

if TYPE_CHECKING:
    from eplb_opt.hot.kernels import Kernels
    from heuristics.maps import Maps

#: Below this share of its bound a gap is of no use to anyone.
NEGLIGIBLE_GAP = 2e-6
#: Maps cost so much of what the greedy took, and so many seconds at least.
OUTPUT_SHARE, OUTPUT_SECONDS = 0.4, 30e-6
#: Exchanges of two for two that one step may look at.
MAX_EXCHANGES = 100_000


def rebalance(
    weight: Any,
    num_replicas: Any,
    num_groups: Any,
    num_nodes: Any,
    num_gpus: Any,
    *,
    time_limit: float | None = None,
    effort: int | None = None,
    current: Any = None,
) -> Maps:
    """Plan within `time_limit` seconds from the call to the return, or with `effort` steps a layer.

    Parameters
    ----------
    weight, num_replicas, num_groups, num_nodes, num_gpus
        As in `eplb_opt.rebalance_experts`; any array or tensor.
    time_limit
        Seconds. While the kernels are cold the answer comes from numpy and a thread loads them.
    effort
        Steps a layer, each an exchange of the heaviest GPU or a kick; the same bytes everywhere.
        Waits for the kernels.
    current
        The map in force, [num_layers, num_replicas]: no layer's plan will be worse than it, where
        it is valid.

    Returns
    -------
    phy2log, log2phy, logcnt
        int64; log2phy is as wide as the largest count. Tensors on the weight's device where a
        tensor came in.

    Raises
    ------
    ProblemError
        For an argument that cannot be used.
    """
    began = time.perf_counter()
    call = admit(weight, num_replicas, num_groups, num_nodes, num_gpus)
    held = None if current is None else start.admit_current(call, current)
    if effort is None and not is_warm():
        warm_in_background()
        return in_kind(weight, _numpy_plan(call, held))
    try:
        kernels = warm_kernels()
    except MissingDependency:
        return in_kind(weight, _numpy_plan(call, held))
    end = None if effort is not None else began + (time_limit or 0.0)
    return in_kind(weight, _plan(call, held, kernels, end, effort or 0))


def _numpy_plan(call: Call, held: tuple[np.ndarray, np.ndarray] | None) -> Maps:
    """The greedy in numpy, or the plan in force where that is better."""
    placed = greedy_numpy.solve(call.single, call.layout)
    if held is not None:
        problem, layers = call.problem(), np.flatnonzero(held[1])
        old, new = (
            scoring.largest_gpu_loads(problem.load[layers], rows[layers], problem.num_gpus)
            for rows in (held[0], placed)
        )
        keep = layers[[a < b for a, b in zip(old, new, strict=True)]]
        placed[keep] = held[0][keep]
    return complete(placed, call.layout.num_experts, None)


def _plan(
    call: Call,
    held: tuple[np.ndarray, np.ndarray] | None,
    kernels: Kernels,
    end: float | None,
    steps: int,
) -> Maps:
    """The greedy or the plan in force, refined until `end` (of `perf_counter`) or by steps."""
    began = time.perf_counter()
    placed, counts = greedy.place(call.single, call.layout, kernels.greedy)
    took = time.perf_counter() - began
    if end is not None:
        # What the output takes is known by the machine's speed at the greedy.
        end -= OUTPUT_SHARE * took + OUTPUT_SECONDS
    if held is not None or not _is_over(end):
        placed, counts = _refined(call, held, kernels, end, steps, placed, counts)
    return placed, greedy.list_slots(placed, counts, kernels.greedy), counts


def _is_over(end: float | None) -> bool:
    return end is not None and time.perf_counter() >= end


def _refined(
    call: Call,
    held: tuple[np.ndarray, np.ndarray] | None,
    kernels: Kernels,
    end: float | None,
    steps: int,
    placed: np.ndarray,
    counts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """A placement that is nowhere worse than the given one, and its counts."""
    layout = call.layout
    ARENA.begin()
    weights, units = fixed_point(call.values)
    least = start.read(call, weights, placed, kernels)
    # The greedy's counts keep the largest replica as small as can be, on its own partition.
    water = least.worst(LARGEST, call.num_layers) if layout.num_nodes == 1 else 0
    if held is not None:
        least = _with_current(call, weights, least, held, kernels, exactly=end is None)
        counts = count_replicas(least.placed, layout.num_experts)
    if _is_over(end):
        return least.placed, counts
    rows = start.for_refinement(call, weights, least, kernels)
    bounds = np.maximum(rows.worst(TOTAL, call.num_layers) // layout.node_gpus, water) + 1
    # Now, for the rows that are refined may be those of `least`.
    ceilings = least.worst(REACHED, call.num_layers) - rounding(call) - 1
    _run(call, weights, rows, bounds, units, kernels, end, steps)
    out = least.placed.reshape(-1, layout.node_slots)
    kernels.write(rows.plans, rows.bests, rows.marks, ceilings, layout.node_gpus, out, counts)
    return least.placed, counts


def rounding(call: Call) -> int:
    """What rounding down may hide of a GPU's fixed-point load: a unit a weight and one a share."""
    return 2 * call.slots_per_gpu


def _with_current(
    call: Call,
    weights: np.ndarray,
    least: start.Rows,
    held: tuple[np.ndarray, np.ndarray],
    kernels: Kernels,
    exactly: bool,
) -> start.Rows:
    """The better of two placements, layer by layer; written into `least`."""
    current, valid = held
    old = np.where(valid[:, None], current, least.placed)
    rows = start.read(call, weights, old, kernels)
    keep = start.keep_layers(call, least, rows, rounding(call), exactly)
    least.replace(rows, keep)
    return least


def _run(
    call: Call,
    weights: np.ndarray,
    rows: start.Rows,
    bounds: np.ndarray,
    units: np.ndarray,
    kernels: Kernels,
    end: float | None,
    steps: int,
) -> None:
    """Refine in place."""
    num_slots, num_gpus = call.layout.node_slots, call.layout.node_gpus
    pairs = pairs_of_slots(call.slots_per_gpu, num_gpus)
    work = np.empty((2, 3, max(num_slots, len(pairs) * num_gpus)), dtype=np.int32)
    targets = bounds + (bounds * NEGLIGIBLE_GAP).astype(np.int64)
    worth = np.zeros((3, call.num_layers))
    worth[0] = units
    deadline = 0
    if end is not None:
        now, left = kernels.now_ns(), end - time.perf_counter()
        if left <= 0 or now is None:
            return
        deadline = now + int(left * 1e9)
    kernels.refine(
        rows.plans,
        rows.bests,
        weights,
        rows.marks,
        num_slots,
        num_gpus,
        pairs,
        targets,
        worth,
        work[0],
        work[1],
        steps,
        deadline,
    )


@lru_cache(maxsize=64)
def pairs_of_slots(slots_per_gpu: int, num_gpus: int) -> np.ndarray:
    """Places of a GPU that are exchanged together, int64 [num_pairs, 2]; evenly chosen if many.

    With three slots a GPU a swap of two is one of one under other names.
    """
    found = list(combinations(range(slots_per_gpu), 2)) if slots_per_gpu > 3 else []
    most = max(int((MAX_EXCHANGES / num_gpus) ** 0.5), 1)
    if len(found) > most:
        found = [found[i * len(found) // most] for i in range(most)]
    return np.array(found, dtype=np.int64).reshape(-1, 2) * num_gpus
