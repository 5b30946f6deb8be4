"""The sweeps in Triton: on the GPU where there is one, else in Triton's interpreter on the CPU."""

from contextlib import contextmanager

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Plan, ProblemError
from eplb_opt.engines.dispatch import device

torch = pytest.importorskip("torch")
ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"


@contextmanager
def interpreted():
    """Triton reads the variable when it is imported, when kernels are, and at the first call."""
    with pytest.MonkeyPatch.context() as patch:
        if not ON_GPU:
            patch.setenv("TRITON_INTERPRET", "1")
        yield


with interpreted():
    triton = pytest.importorskip("triton", reason="triton is not installed: eplb-opt[triton]")
    KERNELS = device.load_kernels()

if not ON_GPU and type(KERNELS.level_experts).__name__ != "InterpretedFunction":
    pytest.skip("triton was imported earlier, for a GPU that is not there", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def _interpreted():
    with interpreted():
        yield


def drawn(seed, num_experts=6, num_slots=10, num_layers=2):
    rng = np.random.default_rng(seed)
    rows = [
        rng.permutation([*range(num_experts), *rng.choice(num_experts, num_slots - num_experts)])
        for _ in range(num_layers)
    ]
    return np.array(rows), rng.integers(0, 50, (2, num_layers, num_experts)).astype(float)


def largest(weights, rows, load, num_gpus, speed):
    tokens = weights * load[:, np.arange(len(rows))[:, None], rows] * (rows >= 0)
    return (tokens.reshape(*tokens.shape[:2], num_gpus, -1).sum(3) / speed).max(2)


@pytest.mark.parametrize(("seed", "num_gpus"), [(0, 5), (1, 10), (2, 2), (3, 1)])
@pytest.mark.parametrize("fast", [1, 2.5])
def test_largest_loads_are_those_of_the_cpu(seed, num_gpus, fast):
    rows, load = drawn(seed)
    rows[0, 4] = rows[0, 4] if (rows[0] == rows[0, 4]).sum() == 1 else -1
    speed = np.ones(num_gpus)
    speed[0] = fast
    held = device.DeviceDispatcher(rows, num_gpus=num_gpus, gpu_speed=speed, device=DEVICE)
    weights = held(torch.tensor(load, device=DEVICE))
    assert (weights.dtype, weights.device.type) == (torch.float64, DEVICE)
    cpu = eplb_opt.dispatch(rows, load, num_gpus=num_gpus, gpu_speed=speed)
    ours = largest(weights.cpu().numpy(), rows, load, num_gpus, speed)
    np.testing.assert_allclose(ours, largest(cpu, rows, load, num_gpus, speed), rtol=1e-6)
    sums = np.zeros((2, 2, 6))
    for layer_idx, row in enumerate(rows):
        np.add.at(
            sums[:, layer_idx],
            (slice(None), row[row >= 0]),
            weights.cpu().numpy()[:, layer_idx, row >= 0],
        )
    np.testing.assert_allclose(sums, 1)


def test_experts_without_load_are_split_evenly_and_copies_of_a_gpu_equally():
    held = device.DeviceDispatcher([[0, 0, 0, 1, 1, 2]], num_gpus=2, device=DEVICE)
    weights = held(torch.tensor([[8.0, 0, 3]], device=DEVICE)).cpu().numpy()
    # Expert 0 is on the first GPU alone; expert 1 on the second alone.
    np.testing.assert_allclose(weights, [[1 / 3, 1 / 3, 1 / 3, 0.5, 0.5, 1]])
    held = device.DeviceDispatcher([[0, 0, 1, 1, 0, 2]], num_gpus=2, device=DEVICE)
    weights = held(torch.tensor([[8.0, 0, 2]], device=DEVICE)).cpu().numpy()
    np.testing.assert_allclose(weights, [[0.3125, 0.3125, 0.5, 0.5, 0.375, 1]])
    weights = held(torch.tensor([[0.0, 2, 2]], device=DEVICE)).cpu().numpy()
    np.testing.assert_allclose(weights[0, [0, 1, 4]], 1 / 3)


def test_the_same_call_gives_the_same_bytes_in_every_scenario():
    rows, load = drawn(5)
    held = device.DeviceDispatcher(Plan(rows, 5, 6), device=DEVICE)
    together = held(torch.tensor(load, device=DEVICE))
    assert torch.equal(together, held(torch.tensor(load, device=DEVICE)))
    assert torch.equal(together[1], held(torch.tensor(load[1], device=DEVICE)))
    with pytest.raises(ProblemError, match="needs"):
        held(torch.ones(3, 6, device=DEVICE))
