"""From a recording to a plan, a proof that nothing is better, and a picture of the GPUs' loads.

Run it as `python -m eplb_opt.guide.examples.recording_to_plan FOLDER`; what it writes lies in
FOLDER afterwards. It needs the extras `pairs` and `plots`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

import eplb_opt
from eplb_opt.bench.generator import generate_loads
from eplb_opt.certificates import verify
from eplb_opt.io import read_loads, write_certificates, write_loads, write_plan
from eplb_opt.plots.axes import BOUND, HEURISTIC, INCUMBENT

if TYPE_CHECKING:
    from collections.abc import Sequence

NUM_GPUS, NUM_SLOTS = 144, 288
#: Counted work instead of seconds, so that the program prints the same on every machine.
EFFORT = 60
#: The layer of the model that is planned: the picture of one layer is easy to read.
LAYER_IDX = 1
#: How the three plans are drawn.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": HEURISTIC, "linestyle": "--"},
    {"color": "black"},
    {"color": INCUMBENT, "linewidth": 2.5},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a recording, plan for it, prove the plan optimal, draw the loads; returns 0.

    Parameters
    ----------
    arguments
        The folder for the files; by default those of the process, or the current folder.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    folder = Path(given[0] if given else ".")

    # The program's own generator stands in for a recorder of a serving engine.
    recorded = generate_loads("deepseek-v3", num_layers=58, num_experts=256, seed=5)
    write_loads(folder / "recording.npz", recorded[[LAYER_IDX]])

    load = read_loads(folder / "recording.npz").total
    problem = eplb_opt.Problem(load, NUM_SLOTS, NUM_GPUS)
    result = eplb_opt.plan(problem, effort=EFFORT)
    print(f"eplb-opt: {result.objective[0]:,.1f} tokens on the busiest GPU, {result.status[0]}")

    greedy = eplb_opt.rebalance_experts(load, NUM_SLOTS, 1, 1, NUM_GPUS, effort=0)[0]
    before = eplb_opt.evaluate(problem, greedy).objective[0]
    print(f"greedy:   {before:,.1f}, {100 * (before / result.lower_bound[0] - 1):.2f} % above")

    # Whoever gets these two files can check the claim without trusting this program's search.
    write_plan(folder / "plan.json", result.plan, engine="sglang")
    write_certificates(folder / "proof.json", result.certificates)
    certificate = result.certificates[0]
    if certificate is not None:
        verify(problem, certificate)
        print(f"proof:    no plan is below {float(certificate.bound):,.1f} ({certificate.kind})")

    draw(load, greedy, result).savefig(folder / "recording_to_plan.png", dpi=100)
    return 0


def draw(load: np.ndarray, greedy: np.ndarray, result: eplb_opt.Result) -> Figure:
    """Sorted GPU loads without redundant experts, with the greedy's plan, and with ours.

    Parameters
    ----------
    load
        Tokens, [1, num_experts].
    greedy
        The greedy's plan, [1, num_slots].
    result
        Ours.
    """
    in_order = np.arange(NUM_SLOTS)[None] % load.shape[1]
    loads = {
        "experts in order": gpu_loads(load, in_order),
        "greedy of the engines": gpu_loads(load, greedy),
        "eplb-opt": gpu_loads(load, result.plan.physical_to_logical),
    }
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    whole, close = figure.subplots(1, 2)
    bound = result.lower_bound[0]
    for ax in (whole, close):
        for (name, values), style in zip(loads.items(), STYLES, strict=True):
            busiest_first = np.sort(values)[::-1]
            rank = np.arange(1, len(values) + 1)
            ax.step(rank, busiest_first, where="mid", label=f"{name}: {values.max():,.0f}", **style)
        ax.axhline(bound, color=BOUND, linestyle=":", label=f"proven bound: {bound:,.0f}")
        ax.set_xlabel("GPUs, busiest first")
    whole.set(ylabel="tokens on the GPU", ylim=0, title="The busiest GPU sets the time")
    whole.legend(title="largest GPU load")
    close.set(xlim=(0, 30), ylim=(0.96 * bound, 1.04 * bound), title="The same, close up")
    return figure


def gpu_loads(load: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """Tokens on each GPU of one layer, float64 [num_gpus].

    Parameters
    ----------
    load
        Tokens, [1, num_experts].
    placed
        Expert of each slot, [1, num_slots].
    """
    counts = np.bincount(placed[0], minlength=load.shape[1])
    return np.asarray((load[0] / counts)[placed[0]].reshape(NUM_GPUS, -1).sum(axis=1))


if __name__ == "__main__":
    sys.exit(main())
