"""Few moves: how much balance each moved expert buys, from the plan in force to the best plan.

Run it as `python -m eplb_opt.guide.examples.few_moves FOLDER`; the picture lies in FOLDER
afterwards. It needs the extra `plots`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

import eplb_opt
from eplb_opt.bench.generator import generate_loads
from eplb_opt.placement.moves import moved_slots
from eplb_opt.plots.axes import BOUND, INCUMBENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from eplb_opt.migration import Frontier

NUM_GPUS, NUM_SLOTS, NUM_LAYERS = 32, 288, 4
#: Counted work instead of seconds, so that the program prints the same on every machine.
EFFORT = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan, let the loads change, compare staying, moving little and planning anew; returns 0.

    Parameters
    ----------
    arguments
        The folder for the picture; by default those of the process, or the current folder.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    folder = Path(given[0] if given else ".")

    yesterday, today = changing_loads()
    in_force = eplb_opt.plan(make_problem(yesterday), effort=EFFORT).plan
    problem = make_problem(today)
    frontier = eplb_opt.frontier(problem, in_force, effort=EFFORT)
    points = {
        "stay": (in_force, "s"),
        "at most 40 moves": (frontier.plan(40), "D"),
        "at most 200 moves": (frontier.plan(200), "o"),
        "greedy of the engines": (greedy_plan(today), "X"),
    }
    bound = eplb_opt.lower_bound(problem).sum()
    for name, (plan, _) in points.items():
        print(f"{name}: {describe(problem, in_force, plan, bound)}")
    best = 100 * (frontier.objective[-1] / bound - 1)
    print(f"best found: {frontier.moves[-1]} moves, {best:.2f} % above the bound")
    batches = eplb_opt.transfers(in_force, points["at most 40 moves"][0])
    print(
        f"the 40 moves take {batches.num_transfers} transfers in {len(batches)} batches; no "
        f"schedule has fewer than {batches.lower_bound}"
    )

    figure = draw(frontier, bound)
    for name, (plan, marker) in points.items():
        moves = moved_slots(in_force, plan).sum()
        figure.axes[0].plot(moves, above(problem, plan, bound), marker, label=name)
    figure.axes[0].legend()
    figure.savefig(folder / "few_moves.png", dpi=100)
    return 0


def changing_loads() -> tuple[np.ndarray, np.ndarray]:
    """Loads when the plan was made and now, int64 [num_layers, num_experts] each.

    A tenth of the traffic is new, and it is distributed as that of other layers.
    """
    whole = generate_loads("deepseek-v3", num_layers=58, num_experts=256, seed=5)
    before, other = whole[10 : 10 + NUM_LAYERS], whole[20 : 20 + NUM_LAYERS]
    return before, (9 * before + other) // 10


def make_problem(load: np.ndarray) -> eplb_opt.Problem:
    """The loads on the machine of this example.

    Parameters
    ----------
    load
        Tokens, [num_layers, num_experts].
    """
    return eplb_opt.Problem(load, NUM_SLOTS, NUM_GPUS)


def greedy_plan(load: np.ndarray) -> eplb_opt.Plan:
    """What engines install instead: a greedy that does not look at the plan in force.

    Parameters
    ----------
    load
        Tokens, [num_layers, num_experts].
    """
    placed = eplb_opt.rebalance_experts(load, NUM_SLOTS, 1, 1, NUM_GPUS, effort=0)[0]
    return eplb_opt.Plan(placed, NUM_GPUS)


def above(problem: eplb_opt.Problem, plan: eplb_opt.Plan, bound: float) -> float:
    """How far a plan is above the bound, summed over the layers, in percent.

    Parameters
    ----------
    problem
        Today's.
    plan
        To be scored.
    bound
        Sum of the layers' bounds, in tokens.
    """
    return float(100 * (eplb_opt.evaluate(problem, plan).objective.sum() / bound - 1))


def describe(
    problem: eplb_opt.Problem, in_force: eplb_opt.Plan, plan: eplb_opt.Plan, bound: float
) -> str:
    """Moves and load of a plan, in words.

    Parameters
    ----------
    problem
        Today's.
    in_force
        The plan from which moves are counted.
    plan, bound
        The plan to be scored, and the sum of the layers' bounds, in tokens.
    """
    moves = int(moved_slots(in_force, plan).sum())
    return f"{moves} moves, {above(problem, plan, bound):.2f} % above the bound"


def draw(frontier: Frontier, bound: float) -> Figure:
    """The least load found for every number of moves, and the bound below it.

    Parameters
    ----------
    frontier
        As of `eplb_opt.frontier`.
    bound
        Sum of the layers' bounds, in tokens.
    """
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    ax = figure.subplots()
    percent = 100 * (frontier.objective / bound - 1)
    ax.step(frontier.moves, percent, where="post", color=INCUMBENT, label="eplb-opt, any number")
    ax.axhline(0, color=BOUND, linestyle=":", label="proven bound")
    ax.set(xlabel=f"experts moved, of {NUM_LAYERS} x {NUM_SLOTS}", ylabel="% above the bound")
    ax.set_title("A few moves buy most of the balance")
    return figure


if __name__ == "__main__":
    sys.exit(main())
