"""The Triton greedy: on the GPU where there is one, else in Triton's interpreter on the CPU."""

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from heuristic_cases import README, Case, cases, gpu_loads, peaks, random_case
from hypothesis import given, settings

from heuristics import HEURISTICS, MissingDependency, errors, greedy_triton

torch = pytest.importorskip("torch")
ON_GPU = torch.cuda.is_available()


@contextmanager
def interpreted():
    """Triton reads the variable when it is imported, when kernels are, and at the first call."""
    with pytest.MonkeyPatch.context() as patch:
        if not ON_GPU:
            patch.setenv("TRITON_INTERPRET", "1")
        yield


with interpreted():
    triton = pytest.importorskip("triton", reason="triton is not installed: eplb-opt[triton]")
    KERNELS = greedy_triton.load_kernels()

if not ON_GPU and not KERNELS.INTERPRETED:
    pytest.skip("triton was imported earlier, for a GPU that is not there", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def _interpreted():
    with interpreted():
        yield


needs_gpu = pytest.mark.skipif(not ON_GPU, reason="there is no GPU here")
DEVICE = "cuda" if ON_GPU else "cpu"

SHAPES = [
    random_case(1, 2, 24, 36, 1, 1, 6),
    random_case(2, 2, 12, 24, 1, 1, 12, top=4),
    random_case(3, 2, 16, 16, 1, 1, 4),
    random_case(4, 2, 16, 24, 4, 2, 8),
    random_case(5, 2, 12, 12, 6, 2, 6, top=3),
    random_case(6, 3, 1, 6, 1, 1, 3),
    random_case(7, 2, 8, 8, 1, 1, 8),
    random_case(8, 2, 7, 9, 1, 1, 1),
    Case(np.zeros((2, 6)), 9, 1, 1, 3),
    Case(np.array([[10**9, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 3]]), 12, 1, 1, 4),
    Case(np.array([[1e-45, 3e-39, 0.1, 1e30]]), 8, 1, 1, 2),
]
if ON_GPU:  # the interpreter would take minutes
    SHAPES += [
        random_case(9, 58, 256, 288, 1, 1, 32),
        random_case(10, 58, 256, 288, 8, 4, 144),
        random_case(11, 4, 512, 1024, 1, 1, 1024),
        random_case(12, 4, 512, 1023, 1, 1, 33),
        random_case(13, 4, 64, 1024, 1, 1, 512, top=9),
    ]


def plan(case, num_swaps=0):
    """The maps as arrays, and on the way that they come as int64 on the loads' device."""
    weight = torch.tensor(case.weight, device=DEVICE)
    maps = greedy_triton.rebalance_experts(weight, *case.numbers, num_swaps=num_swaps)
    assert {(m.dtype, m.device.type) for m in maps} == {(torch.int64, DEVICE)}
    return [m.cpu().numpy() for m in maps]


def assert_is_the_greedys(maps, case):
    phy2log, log2phy, logcnt = case.run(HEURISTICS["greedy"])
    np.testing.assert_array_equal(maps[0], phy2log)
    np.testing.assert_array_equal(maps[2], logcnt)
    width = log2phy.shape[2]
    assert maps[1].shape[2] == case.num_replicas - case.weight.shape[1] + 1
    np.testing.assert_array_equal(maps[1][:, :, :width], log2phy)
    assert (maps[1][:, :, width:] == -1).all()


def assert_maps_agree(maps, case):
    phy2log, log2phy, logcnt = maps
    for layer, row in enumerate(phy2log):
        np.testing.assert_array_equal(np.bincount(row, minlength=len(logcnt[0])), logcnt[layer])
        for expert, line in enumerate(log2phy[layer]):
            slots = np.flatnonzero(row == expert)
            assert line.tolist() == [*slots, *[-1] * (len(line) - len(slots))]


@pytest.mark.parametrize("case", SHAPES, ids=lambda c: f"{c.weight.shape}-{c.numbers}")
def test_without_swaps_it_is_the_greedy_byte_for_byte(case):
    assert_is_the_greedys(plan(case), case)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(case=cases())
def test_drawn_problems_get_the_greedys_maps(case):
    assert_is_the_greedys(plan(case), case)


@pytest.mark.parametrize("case", SHAPES, ids=lambda c: f"{c.weight.shape}-{c.numbers}")
def test_swaps_keep_the_counts_and_never_raise_a_largest_load(case):
    maps = plan(case, num_swaps=4)
    assert_maps_agree(maps, case)
    greedy = case.run(HEURISTICS["greedy"])
    np.testing.assert_array_equal(maps[2], greedy[2])
    assert (peaks(case, maps) <= peaks(case, greedy) * (1 + 1e-12)).all()


def lightest_pair_after_a_swap(case, phy2log, layer):
    """Least that the heaviest GPU and a partner reach by one swap, by trying all."""
    load = gpu_loads(case.weight, phy2log, case.num_gpus)[layer]
    row, room = phy2log[layer], phy2log.shape[1] // case.num_gpus
    share = case.weight[layer] / np.bincount(row, minlength=case.weight.shape[1])
    heavy = int(load.argmax())
    return min(
        max(load[heavy] - gain, load[slot // room] + gain)
        for here in range(heavy * room, (heavy + 1) * room)
        for slot in range(len(row))
        if slot // room != heavy
        for gain in [share[row[here]] - share[row[slot]]]
    )


@pytest.mark.parametrize("case", [SHAPES[0], SHAPES[2]], ids=["replicated", "unreplicated"])
def test_swaps_end_where_no_swap_of_the_heaviest_gpu_helps(case):
    start, end = plan(case), plan(case, num_swaps=200)
    assert (peaks(case, end) < peaks(case, start)).any()
    for layer, top in enumerate(peaks(case, end)):
        assert lightest_pair_after_a_swap(case, end[0], layer) >= top * (1 - 1e-8)


def test_one_swap_is_the_best_one():
    # Two GPUs: the pair that swaps is all there is, so its larger load is the layer's.
    case = random_case(21, 4, 12, 12, 1, 1, 2)
    start, after = plan(case)[0], peaks(case, plan(case, num_swaps=1))
    best = [lightest_pair_after_a_swap(case, start, layer) for layer in range(4)]
    np.testing.assert_allclose(after, np.minimum(best, peaks(case, [start])), rtol=1e-12)
    assert (after < peaks(case, [start])).any()


def test_swaps_stay_within_a_node():
    case = SHAPES[3]
    before, after = (p[0].reshape(2, 2, -1) for p in (plan(case), plan(case, num_swaps=50)))
    np.testing.assert_array_equal(np.sort(before, axis=2), np.sort(after, axis=2))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -5.0], ids=str)
@pytest.mark.parametrize("num_swaps", [0, 3])
def test_loads_that_are_none_still_give_a_valid_map(bad, num_swaps):
    case = Case(np.array([[4.0, bad, 2.0, bad, 1.0, 9.0]]), 9, 1, 1, 3)
    maps = plan(case, num_swaps)
    assert_maps_agree(maps, case)
    assert (maps[2] >= 1).all()


def test_any_real_dtype_and_any_stride_is_taken_and_left_alone():
    wide = torch.tensor(README.weight, device=DEVICE)
    expected = plan(README)[0]
    for weight in (wide.to(torch.int32), wide.double(), wide.half(), wide.T.contiguous().T):
        before = weight.clone()
        maps = greedy_triton.rebalance_experts(weight, *README.numbers)
        np.testing.assert_array_equal(maps[0].cpu().numpy(), expected)
        assert torch.equal(weight, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": [[1.0, 2.0]]}, "a list"),
        ({"weight": torch.ones(3)}, r"shape \[3\]"),
        ({"weight": torch.ones((0, 3))}, r"shape \[0, 3\]"),
        ({"weight": torch.ones((1, 3), dtype=torch.bool)}, "bool"),
        ({"num_replicas": 5}, "no multiple"),
        ({"num_replicas": 2**15 + 2}, "more than 32768"),
        ({"num_swaps": -1}, "num_swaps=-1"),
        ({"num_swaps": 1.5}, "num_swaps=1.5"),
    ],
    ids=str,
)
def test_what_makes_no_problem_is_refused_with_its_numbers(change, message):
    numbers = {"num_replicas": 4, "num_groups": 1, "num_nodes": 1, "num_gpus": 2}
    call = {"weight": torch.ones((1, 3), device=DEVICE)} | numbers | change
    with pytest.raises(ValueError, match=message):
        greedy_triton.rebalance_experts(**call)


def test_tensors_on_the_cpu_are_refused_outside_the_interpreter(monkeypatch):
    monkeypatch.setattr(KERNELS, "INTERPRETED", False)
    with pytest.raises(ValueError, match="weight is on cpu"):
        greedy_triton.rebalance_experts(torch.ones((1, 3)), 4, 1, 1, 2)


def test_missing_triton_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(MissingDependency, match=r"triton.*eplb-opt\[triton\]"):
        errors.require("triton")


COMPILE = """
import subprocess, sys, tempfile, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from heuristics import greedy_triton as g, greedy_triton_kernels as k
sizes = g.tiles(*map(int, sys.argv[2:]))
types = dict(weight="*fp32", counts="*i32", placed="*i64")
types |= dict.fromkeys(("num_experts", "num_slots", "num_gpus", "num_swaps"), "i32")
source = ASTSource(k.plan_rows, types | dict.fromkeys(sizes, "constexpr"), sizes)
target = GPUTarget("cuda", 90, 32)
made = triton.compile(source, target=target, options=g.options(sizes)).asm
with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
    file.write(made["cubin"])
    file.flush()
    subprocess.run([sys.argv[1], "-res-usage", file.name], check=True)
print(*{line.split()[0] for line in made["ptx"].splitlines() if "div." in line or "ftz" in line})
"""


@pytest.mark.parametrize("numbers", [(256, 288, 32, 8), (512, 1023, 33, 8)], ids=str)
def test_the_kernel_compiles_for_a_gpu_without_spills_and_divides_exactly(numbers):
    """Compiling needs no GPU; it needs a process whose triton is no interpreter."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    if not tool.exists():
        pytest.skip("this triton brings no NVIDIA tools")
    command = [sys.executable, "-c", COMPILE, str(tool), *map(str, numbers)]
    compiled = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=compiled
    )
    assert done.returncode == 0, done.stderr
    # What does not fit the registers lies on the stack: a tile would take 64 bytes a thread.
    assert int(re.search(r" STACK:(\d+) ", done.stdout)[1]) <= 16, done.stdout
    assert set(re.findall(r"\S+\.f(?:32|64)", done.stdout)) == {"div.rn.f32", "div.rn.f64"}


@needs_gpu
def test_a_captured_graph_plans_new_loads():
    weight = torch.tensor(SHAPES[0].weight, device="cuda", dtype=torch.float32)
    greedy_triton.rebalance_experts(weight, *SHAPES[0].numbers, num_swaps=4)  # compiles
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        maps = greedy_triton.rebalance_experts(weight, *SHAPES[0].numbers, num_swaps=4)
    for seed in (31, 32):
        case = random_case(seed, *SHAPES[0].weight.shape, *SHAPES[0].numbers)
        weight.copy_(torch.tensor(case.weight))
        graph.replay()
        for captured, direct in zip(maps, plan(case, num_swaps=4), strict=True):
            np.testing.assert_array_equal(captured.cpu().numpy(), direct)
