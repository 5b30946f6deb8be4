"""The tensor heuristics never wait for the device.

They run on the meta device, whose tensors have shapes and no values: whatever
reads one back (item, bool, tolist, cpu, nonzero) raises there.
"""

import numpy as np
import pytest
import torch

from heuristics import replica_refine, swap_refine, vectorized_lpt, waterfill_diverse
from heuristics.layout import make_layout
from heuristics.maps import complete_tensor

SOLVERS = {
    "vectorized_lpt": vectorized_lpt.solve,
    "swap_refine": swap_refine.solve,
    "replica_refine": replica_refine.solve,
    "replica_refine_guarded": replica_refine.solve_guarded,
    "waterfill_diverse": waterfill_diverse.solve,
}


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("numbers", [(16, 4, 2, 8), (18, 1, 1, 3), (12, 1, 1, 4)])
def test_no_value_is_read_back(name, numbers):
    weight = torch.empty((3, 12), device="meta")
    phy2log = SOLVERS[name](weight, make_layout(12, *numbers))
    maps = complete_tensor(phy2log, 12, numbers[0] - 11)
    shapes = [(3, numbers[0]), (3, 12, numbers[0] - 11), (3, 12)]
    assert [tuple(m.shape) for m in maps] == shapes
    assert {(m.device.type, m.dtype) for m in maps} == {("meta", torch.int64)}


@pytest.mark.parametrize(
    "read",
    [
        lambda t: t.argmax().item(),
        lambda t: bool((t > 0).any()),
        lambda t: t.tolist(),
        lambda t: t.cpu(),
        lambda t: t[t > 0],
    ],
    ids=["item", "bool", "tolist", "cpu", "mask"],
)
def test_the_meta_device_does_catch_a_read(read):
    # PyTorch raises NotImplementedError or RuntimeError, by operation.
    with pytest.raises((NotImplementedError, RuntimeError)):
        read(torch.empty((3, 4), device="meta"))


@pytest.mark.parametrize("name", SOLVERS)
def test_the_number_of_steps_depends_on_shapes_alone(name):
    counted = []
    for seed, top in ((1, 10**6), (2, 2), (3, 1)):
        weight = np.random.default_rng(seed).integers(0, top, (3, 12)).astype(np.float32)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            SOLVERS[name](torch.from_numpy(weight), make_layout(12, 16, 4, 2, 8))
        events = profile.key_averages()
        counted.append({e.key: e.count for e in events if e.key.startswith("aten::")})
    assert counted[0]
    assert counted[0] == counted[1] == counted[2]
