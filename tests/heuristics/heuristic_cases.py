"""Problems to draw, and the score that the tests of the heuristics share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

README_LOADS = [
    [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
    [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
]
README_ANSWER = [
    [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
    [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
]


@dataclass(frozen=True)
class Case:
    """One call of a heuristic."""

    weight: np.ndarray
    num_replicas: int
    num_groups: int
    num_nodes: int
    num_gpus: int

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        return self.num_replicas, self.num_groups, self.num_nodes, self.num_gpus

    @property
    def hierarchical(self) -> bool:
        return self.num_groups % self.num_nodes == 0

    def run(self, heuristic: Any) -> Any:
        return heuristic(self.weight, *self.numbers)


README = Case(np.array(README_LOADS), 16, 4, 2, 8)

# Spread, ties everywhere, mostly zero, and one expert far above the rest.
LOADS = (
    st.integers(0, 10**6),
    st.integers(0, 2),
    st.sampled_from([0, 0, 0, 7]),
    st.sampled_from([1, 2, 3, 2**23]),
)


@st.composite
def cases(draw: Any, flat: bool | None = None) -> Case:
    """Draw a small problem, flat or hierarchical, with at least as many slots as experts."""
    num_nodes = 1 if flat else draw(st.integers(1, 3))
    num_groups = 1 if flat else num_nodes * draw(st.integers(1, 3))
    num_gpus = num_nodes * draw(st.integers(1, 4))
    num_experts = num_groups * draw(st.integers(1, 9 if flat else 4))
    room = -(-num_experts // num_gpus) + draw(st.integers(0, 3))
    num_layers = draw(st.integers(1, 3))
    rows = [
        draw(st.lists(draw(st.sampled_from(LOADS)), min_size=num_experts, max_size=num_experts))
        for _ in range(num_layers)
    ]
    weight = np.array(rows, dtype=np.int64)
    if draw(st.booleans()):
        weight = weight * np.float32(0.37)
    return Case(weight, room * num_gpus, num_groups, num_nodes, num_gpus)


def random_case(
    seed: int, num_layers: int, num_experts: int, *numbers: int, top: int = 10**5
) -> Case:
    """Make a larger problem; a small `top` makes it full of ties."""
    weight = np.random.default_rng(seed).integers(0, top, (num_layers, num_experts))
    return Case(weight, *numbers)


def gpu_loads(weight: Any, phy2log: np.ndarray, num_gpus: int) -> np.ndarray:
    """Load of every GPU in float64, [num_layers, num_gpus], from the map alone."""
    weight = np.asarray(weight, dtype=np.float64)
    loads = np.zeros((len(weight), num_gpus))
    room = phy2log.shape[1] // num_gpus
    for layer, row in enumerate(phy2log):
        copies = np.bincount(row, minlength=weight.shape[1])
        for slot, expert in enumerate(row):
            loads[layer, slot // room] += weight[layer, expert] / copies[expert]
    return loads


def peaks(case: Case, maps: Any) -> np.ndarray:
    """Largest GPU load of every layer, [num_layers]."""
    return gpu_loads(case.weight, maps[0], case.num_gpus).max(axis=1)
