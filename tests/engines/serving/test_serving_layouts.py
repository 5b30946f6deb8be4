"""Every layout, stride and byte order that numpy and torch can hold gives the same maps."""

import numpy as np
import pytest

import eplb_opt
from heuristics import HEURISTICS

LOAD = np.random.default_rng(4).integers(1, 200, (6, 24))
SIZES = 36, 1, 1, 12


def unaligned(load):
    """The numbers one byte off the addresses that the processor likes."""
    memory = np.zeros(load.nbytes + 1, dtype=np.uint8)
    memory[1:] = np.frombuffer(load.tobytes(), dtype=np.uint8)
    return memory[1:].view(load.dtype).reshape(load.shape)


def in_records(load):
    """The numbers as one field of records whose size is no multiple of theirs."""
    records = np.zeros(load.shape, dtype=[("tag", "u1"), ("load", load.dtype), ("rest", "u2")])
    records["load"] = load
    return records["load"]


def read_only(load):
    load = load.copy()
    load.flags.writeable = False
    return load


LAYOUTS = {
    "column-major": np.asfortranarray,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "reversed": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "every other": lambda x: np.repeat(np.repeat(x, 2, axis=0), 2, axis=1)[::2, ::2],
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "little-endian": lambda x: x.astype(x.dtype.newbyteorder("<")),
    "read-only": read_only,
    "unaligned": unaligned,
    "records": in_records,
    "matrix": lambda x: x.view(type("Subclass", (np.ndarray,), {})),
    "lists": lambda x: x.tolist(),
}


def assert_same(maps, expected):
    for mine, theirs in zip(maps, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(mine), theirs)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
def test_loads_of_every_layout(layout, dtype):
    load = LOAD.astype(dtype)
    expected = eplb_opt.rebalance_experts(load, *SIZES, effort=30)
    assert_same(eplb_opt.rebalance_experts(layout(load), *SIZES, effort=30), expected)
    greedy = HEURISTICS["greedy"](load, *SIZES)
    assert_same(HEURISTICS["greedy"](layout(load), *SIZES), greedy)


def test_rows_that_are_one_row_expanded():
    load = np.broadcast_to(LOAD[:1], LOAD.shape)
    expected = eplb_opt.rebalance_experts(load.copy(), *SIZES, effort=30)
    assert_same(eplb_opt.rebalance_experts(load, *SIZES, effort=30), expected)


@pytest.mark.parametrize("budget", [{"effort": 20}, {"time_limit": 0.003}], ids=str)
@pytest.mark.parametrize(
    "layout",
    [
        *(f for name, f in LAYOUTS.items() if name != "lists"),
        lambda x: x.astype(np.uint8),
        lambda x: x.astype(">i4"),
    ],
)
def test_a_plan_in_force_of_every_layout(layout, budget):
    current = eplb_opt.rebalance_experts(LOAD, *SIZES, effort=2000)[0]
    maps = eplb_opt.rebalance_experts(LOAD, *SIZES, current=layout(current), **budget)
    eplb_opt.Plan(maps[0], 12).check(eplb_opt.Problem(LOAD, 36, 12))
    if "effort" in budget:
        assert_same(maps, eplb_opt.rebalance_experts(LOAD, *SIZES, current=current, **budget))


def tensor_layouts(torch):
    return {
        "transposed": lambda x: x.T.contiguous().T,
        "every other": lambda x: x.repeat_interleave(2, 1)[:, ::2],
        "offset": lambda x: torch.cat([x[:1], x])[1:],
        "with a gradient": lambda x: x.to(torch.float32).requires_grad_(),
        "parameter": lambda x: torch.nn.Parameter(x.to(torch.float64)),
        "bfloat16": lambda x: x.to(torch.bfloat16),
        "half": lambda x: x.to(torch.float16),
        "int32": lambda x: x.to(torch.int32),
        "uint8": lambda x: x.to(torch.uint8),
    }


def test_tensors_of_every_layout():
    torch = pytest.importorskip("torch")
    load = torch.from_numpy(LOAD)
    expected = eplb_opt.rebalance_experts(LOAD, *SIZES, effort=30)
    greedy = HEURISTICS["greedy"](LOAD, *SIZES)
    for name, layout in tensor_layouts(torch).items():
        maps = eplb_opt.rebalance_experts(layout(load), *SIZES, effort=30)
        assert all(isinstance(m, torch.Tensor) for m in maps), name
        assert_same(maps, expected)
        assert_same(HEURISTICS["greedy"](layout(load), *SIZES), greedy)
    wide = load[:1].expand(6, 24)
    assert_same(
        eplb_opt.rebalance_experts(wide, *SIZES, effort=30),
        eplb_opt.rebalance_experts(LOAD[:1].repeat(6, 0), *SIZES, effort=30),
    )
