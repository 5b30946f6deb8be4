"""The Triton greedy against the CPU's, transfers included: ``python -m eplb_opt.bench.gpu``.

Loads start on the GPU and the maps end there, as in a serving engine, so the
CPU path pays for both copies. Without a GPU it says so and measures nothing.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eplb_opt.bench.families import family_loads
from heuristics import HEURISTICS, greedy_triton
from heuristics.errors import require

if TYPE_CHECKING:
    from collections.abc import Callable

Numbers = tuple[int, int, int, int]

#: num_replicas, num_groups, num_nodes, num_gpus of 256 experts.
SHAPES: tuple[Numbers, ...] = (
    (288, 1, 1, 32),
    (288, 8, 4, 32),
    (288, 1, 1, 72),
    (288, 1, 1, 144),
    (512, 1, 1, 256),
)
NUM_LAYERS, NUM_EXPERTS = 58, 256
NUM_SWAPS = 64


@dataclass(frozen=True)
class Row:
    """One way to plan: its median time, and its largest GPU loads against the CPU greedy's."""

    name: str
    seconds: float
    load_ratio: float

    def __str__(self) -> str:
        """Name, milliseconds, ratio."""
        return f"  {self.name:32} {self.seconds * 1e3:9.3f} ms   load {self.load_ratio:.6f}"


def why_not() -> str | None:
    """What is missing to measure, in words; None when nothing is."""
    if not require("torch").cuda.is_available():
        return "nothing measured: there is no GPU that torch can use."
    try:
        greedy_triton.load_kernels()
    except ImportError as error:
        return f"nothing measured: {error}"
    return None


def captured(call: Callable[[], Any]) -> Callable[[], Any]:
    """Record a call in a CUDA graph; the returned call replays it and gives the same tensors."""
    cuda = require("torch").cuda
    call()  # compiles: a capture must not
    cuda.synchronize()
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        maps = call()

    def replay() -> Any:
        graph.replay()
        return maps

    return replay


def ways(weight: Any, numbers: Numbers) -> dict[str, Callable[[], Any]]:
    """All ways to plan loads that lie on the GPU; the first is what the rest is compared with."""

    def triton(num_swaps: int) -> Callable[[], Any]:
        return lambda: greedy_triton.rebalance_experts(weight, *numbers, num_swaps=num_swaps)

    replayed = captured(triton(NUM_SWAPS))
    return {
        "CPU greedy, both copies": lambda: HEURISTICS["greedy"](weight, *numbers),
        "vectorized_lpt": lambda: HEURISTICS["vectorized_lpt"](weight, *numbers),
        "Triton": triton(0),
        "Triton, graph": captured(triton(0)),
        f"Triton, {NUM_SWAPS} swaps": triton(NUM_SWAPS),
        f"Triton, {NUM_SWAPS} swaps, graph": replayed,
        "  and its maps to the host": lambda: [m.cpu() for m in replayed()],
    }


def median_seconds(call: Callable[[], Any], repeats: int) -> float:
    """Wall time of a call until the GPU is done, after three that do not count."""
    synchronize = require("torch").cuda.synchronize
    times = []
    for _ in range(repeats + 3):
        synchronize()
        start = time.perf_counter()
        call()
        synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


def largest_loads(weight: Any, maps: Any, num_gpus: int) -> float:
    """Sum over the layers of the largest GPU load, in float64."""
    phy2log, _, counts = (m.to(weight.device) for m in maps)
    share = (weight.double() / counts).gather(1, phy2log)
    return float(share.view(len(weight), num_gpus, -1).sum(2).amax(1).sum())


def measure(weight: Any, numbers: Numbers, repeats: int = 50) -> list[Row]:
    """Time all ways on one problem.

    Parameters
    ----------
    weight
        Loads, a CUDA tensor [num_layers, num_experts].
    numbers
        num_replicas, num_groups, num_nodes, num_gpus.
    repeats
        Timed calls of each way, at least 1.
    """
    rows, reference = [], None
    for name, call in ways(weight, numbers).items():
        loads = largest_loads(weight, call(), numbers[3])
        reference = loads if reference is None else reference
        rows.append(Row(name, median_seconds(call, repeats), loads / reference))
    return rows


def main() -> int:
    """Measure all shapes and print a table each; returns an exit code."""
    missing = why_not()
    if missing:
        print(missing)
        return 0
    torch = require("torch")
    loads = family_loads("zipf-0.8", NUM_LAYERS, NUM_EXPERTS, seed=0)
    weight = torch.tensor(loads, dtype=torch.float32, device="cuda")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {list(weight.shape)} loads")
    for numbers in SHAPES:
        print("slots {}, groups {}, nodes {}, GPUs {}".format(*numbers))
        print(*measure(weight, numbers), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
