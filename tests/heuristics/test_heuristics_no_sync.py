"""The tensor heuristics never wait for the device.

Three proxies run anywhere. On the meta device, whose tensors have shapes and no
values, whatever reads one back (item, bool, tolist, cpu, nonzero) raises. A
dispatch mode counts the operations that make the host wait on a GPU, some of
which the meta device lets pass. The number of operations must not depend on the
values. Where there is a GPU, CUDA itself refuses to wait and the profiler counts.
"""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from heuristics import (
    HEURISTICS,
    greedy_triton,
    replica_refine,
    swap_refine,
    vectorized_lpt,
    waterfill_diverse,
)
from heuristics.layout import make_layout
from heuristics.maps import complete_tensor

SOLVERS = {
    "vectorized_lpt": vectorized_lpt.solve,
    "swap_refine": swap_refine.solve,
    "replica_refine": replica_refine.solve,
    "replica_refine_guarded": replica_refine.solve_guarded,
    "waterfill_diverse": waterfill_diverse.solve,
}


NUMBERS = [(16, 4, 2, 8), (18, 1, 1, 3), (12, 1, 1, 4)]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

#: Operations whose result's shape, or whose result itself, the host must wait for.
WAITS = {
    "_local_scalar_dense", "bincount", "equal", "histc", "is_nonzero", "item", "masked_select",
    "nonzero", "unique_consecutive", "unique_dim", "_unique", "_unique2",
}  # fmt: skip


class Waits(TorchDispatchMode):
    """Counts what would make the host wait, were the tensors on a GPU."""

    def __init__(self):
        super().__init__()
        self.waits, self.total = Counter(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.total += 1
        name = func.overloadpacket.__name__
        if waits(name, args, kwargs):
            self.waits[name] += 1
        return func(*args, **kwargs)


def waits(name, args, kwargs):
    if name in ("index", "index_put", "index_put_", "_index_put_impl_"):  # a mask is counted first
        return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
    if name == "repeat_interleave":
        return kwargs.get("output_size") is None
    if name == "lift_fresh":  # a tensor of Python's numbers: copied from pageable memory
        return True
    return name in WAITS or (name == "_to_copy" and kwargs.get("device") is not None)


def plan(name, weight, numbers):
    phy2log = SOLVERS[name](weight, make_layout(weight.shape[1], *numbers))
    return complete_tensor(phy2log, weight.shape[1], numbers[0] - weight.shape[1] + 1)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_no_operation_waits_for_its_result(name, numbers, device):
    with Waits() as counted:
        plan(name, torch.ones((3, 12), device=device), numbers)
    assert counted.total > 10
    assert not counted.waits


READS = {
    "item": lambda t: t.argmax().item(),
    "bool": lambda t: bool((t > 0).any()),
    "int": lambda t: t[:, int(t.argmax()) % 4],
    "mask": lambda t: t[t > 0],
    "put": lambda t: t.index_put_((t > 0,), t.flatten().clone()),
    "equal": lambda t: torch.equal(t, t),
    "unique": lambda t: torch.unique(t),
    "nonzero": lambda t: t.nonzero(),
    "bincount": lambda t: t.long()[0].bincount(),
    "repeat": lambda t: t[0].repeat_interleave(t[0].long()),
    "literal": lambda t: t + torch.tensor([1.0, 2.0, 3.0, 4.0]),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_the_counter_does_count_a_wait(read):
    with Waits() as counted:
        read(torch.ones((3, 4)))
    assert counted.waits


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("num_swaps", [0, 5])
def test_nothing_is_read_back_around_the_triton_kernels(numbers, num_swaps, monkeypatch):
    launched = []

    class Kernel:  # kernel[grid](...) is how triton is called
        def __init__(self, name):
            self.name = name

        def __getitem__(self, grid):
            return lambda *_, **__: launched.append((self.name, grid))

    kernels = SimpleNamespace(
        INTERPRETED=True, plan_rows=Kernel("plan_rows"), write_maps=Kernel("write_maps")
    )
    monkeypatch.setattr(greedy_triton, "load_kernels", lambda: kernels)
    weight = torch.empty((3, 12), device="meta")
    with Waits() as counted:
        maps = greedy_triton.rebalance_experts(weight, *numbers, num_swaps=num_swaps)
    assert not counted.waits
    assert [m.shape[:2] for m in maps] == [(3, numbers[0]), (3, 12), (3, 12)]
    groups = [("plan_rows", (3,)), ("plan_rows", (6,))]
    assert launched == [
        *(groups if numbers[1] > 1 else [("plan_rows", (3,))]),
        ("write_maps", (3, 12)),
    ]


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("numbers", NUMBERS)
def test_no_value_is_read_back(name, numbers):
    maps = plan(name, torch.empty((3, 12), device="meta"), numbers)
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


def profiled_waits(call):
    """What the profiler saw the host wait for, by name, and how many kernels were launched."""
    activities = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[activities.CPU, activities.CUDA]) as profile:
        call()
    # The profiler itself waits for the whole device, so that call says nothing.
    words = "cudaStreamSynchronize", "cudaEventSynchronize", "DtoH"
    counted = {e.key: e.count for e in profile.key_averages()}
    waits = {k: n for k, n in counted.items() if any(word in k for word in words)}
    return waits, sum(n for k, n in counted.items() if "LaunchKernel" in k)


@pytest.fixture
def strict_cuda():
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("default")


@needs_gpu
@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("numbers", NUMBERS)
def test_cuda_never_waits_in_a_heuristic(name, numbers, strict_cuda):
    weight = torch.rand((3, 12), device="cuda")
    plan(name, weight, numbers)  # what torch sets up at a first call may wait
    torch.cuda.synchronize()
    strict_cuda()
    plan(name, weight, numbers)
    torch.cuda.set_sync_debug_mode("default")
    waits, launches = profiled_waits(lambda: plan(name, weight, numbers))
    assert launches > 10
    assert not waits


@needs_gpu
@pytest.mark.parametrize("name", SOLVERS)
def test_a_whole_call_waits_once_at_the_door(name):
    weight = torch.rand((3, 12), device="cuda")
    HEURISTICS[name](weight, *NUMBERS[0])
    waits, _ = profiled_waits(lambda: HEURISTICS[name](weight, *NUMBERS[0]))
    assert sum(n for key, n in waits.items() if "DtoH" in key) == 1


@needs_gpu
@pytest.mark.parametrize("numbers", NUMBERS)
def test_cuda_never_waits_in_a_whole_call_of_the_triton_greedy(numbers, strict_cuda):
    pytest.importorskip("triton", reason="triton is not installed: eplb-opt[triton]")
    weight = torch.rand((3, 12), device="cuda")
    call = lambda: greedy_triton.rebalance_experts(weight, *numbers, num_swaps=5)  # noqa: E731
    call()  # compiles
    torch.cuda.synchronize()
    strict_cuda()
    call()
    torch.cuda.set_sync_debug_mode("default")
    waits, launches = profiled_waits(call)
    assert launches
    assert not waits
