"""A different problem: no slot count, replicas only where an expert exceeds its share.

Plain lists and a heap on the CPU. That replicas go out in descending load, each to the least
loaded GPU, is the rule of the longest processing time.

References
----------
R. L. Graham, "Bounds on multiprocessing timing anomalies", SIAM Journal on Applied
Mathematics 17 (2), 1969, pages 416 to 429.
"""

from __future__ import annotations

import heapq
import math
from typing import Any

import numpy as np

from heuristics.arguments import admit_array, admit_tensor, is_tensor
from heuristics.layout import positive


def share_counts(load: list[float], num_gpus: int) -> list[int]:
    """Replicas of every expert: as many as equal shares its load makes, at most one a GPU."""
    target = sum(load) / num_gpus
    # The target of loads near the least float is 0; it divides nothing.
    return [min(math.ceil(w / target), num_gpus) if w > target > 0 else 1 for w in load]


def cpu_lpt(expert_load: Any, num_gpus: int) -> list[list[int]]:
    """Replicate the experts above the mean GPU load and spread all replicas.

    Parameters
    ----------
    expert_load
        Tokens, [num_experts]: a list, an array, or a tensor on any device.
    num_gpus
        GPUs to fill.

    Returns
    -------
    list of list of int
        For every GPU its experts, in the order placed. A GPU may hold any
        number of replicas.

    Raises
    ------
    ValueError
        If the loads or the number of GPUs make no sense.
    """
    num_gpus = positive("num_gpus", num_gpus)
    admit = admit_tensor if is_tensor(expert_load) else admit_array
    admit(expert_load, num_axes=1)
    # Python numbers, as given: this method knows no float32.
    load = expert_load.tolist() if is_tensor(expert_load) else np.asarray(expert_load).tolist()
    replicas = [
        (w / count, expert)
        for expert, (w, count) in enumerate(zip(load, share_counts(load, num_gpus), strict=True))
        for _ in range(count)
    ]
    replicas.sort(key=lambda replica: -replica[0])
    assignment: list[list[int]] = [[] for _ in range(num_gpus)]
    heap = [(0.0, gpu) for gpu in range(num_gpus)]
    for replica_load, expert in replicas:
        gpu_load, gpu = heap[0]
        assignment[gpu].append(expert)
        heapq.heapreplace(heap, (gpu_load + replica_load, gpu))
    return assignment
