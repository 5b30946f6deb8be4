"""Slots whose expert is new on its GPU."""

import numpy as np
import pytest

from eplb_opt.placement.moves import moved_slots
from eplb_opt.placement.plan import Plan


@pytest.mark.parametrize("num_experts", [3, 40])  # a table of experts, or slots against slots
def test_moved_slots_are_counted_as_one_slot_at_a_time(num_experts):
    rng = np.random.default_rng(num_experts)
    for _ in range(200):
        num_gpus, slots = int(rng.integers(1, 5)), int(rng.integers(2, 5))
        shape = (int(rng.integers(1, 4)), num_gpus * slots)
        old, new = (rng.integers(-1, num_experts, shape) for _ in range(2))
        expected = [
            sum(
                expert >= 0
                and expert not in before[slot // slots * slots : (slot // slots + 1) * slots]
                for slot, expert in enumerate(row)
            )
            for before, row in zip(old.tolist(), new.tolist(), strict=True)
        ]
        plans = (Plan(placed, num_gpus, num_experts) for placed in (old, new))
        assert moved_slots(*plans).tolist() == expected
