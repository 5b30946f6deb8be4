"""Refinement of all layers until a deadline, or by counted steps."""

from __future__ import annotations

from eplb_opt.hot.clock import kernel_ns
from eplb_opt.hot.kicks import kick
from eplb_opt.hot.marks import BEST, REACHED, SHIFT, SWEPT
from eplb_opt.hot.pairs import shift_copy
from eplb_opt.hot.piece import piece
from eplb_opt.hot.swaps import swap_one, swap_two
from eplb_opt.hot.sweep import sweep

#: Steps of a layer between two looks at which layer deserves the next ones.
TURN = 8
#: A layer's excess counts less by this share for every turn that it has had.
FATIGUE = 0.2
#: Sweeps end when one takes less than one part in so many off the excess.
SWEEP_GAIN = 4


@piece
def heaviest(load):  # type: ignore[no-untyped-def]
    """The GPU with the largest load, the first of equals."""
    most = load[0]
    for g in range(load.shape[0]):
        most = max(most, load[g])
    for g in range(load.shape[0]):
        if load[g] == most:
            return g
    return 0


@piece
def settle(plan, best, mark, peak):  # type: ignore[no-untyped-def]
    """At a local optimum: keep it where none was better, else go back to the best."""
    if peak <= mark[BEST]:
        mark[BEST] = peak
        for i in range(plan.shape[0]):
            best[i] = plan[i]
    else:
        for i in range(plan.shape[0]):
            plan[i] = best[i]


@piece
def step(plan, best, weight, mark, num_slots, num_gpus, pairs, target, narrowed, work):  # type: ignore[no-untyped-def]
    """One improvement of the heaviest GPU, or one kick.

    Parameters
    ----------
    plan, best
        int64: expert and size of every slot, load of every GPU, replicas of every expert, one
        after the other; `best` as at the best local optimum so far.
    weight
        int64 [num_experts], fixed-point loads.
    mark
        int64 [NUM_MARKS], see above.
    """
    slot, size = plan[:num_slots], plan[num_slots : 2 * num_slots]
    load, count = plan[2 * num_slots : 2 * num_slots + num_gpus], plan[2 * num_slots + num_gpus :]
    heavy = heaviest(load)
    shift = mark[SHIFT]
    if num_slots == 2 * num_gpus:
        shift_copy(plan, best, weight, num_gpus, heavy, mark)
    elif mark[SWEPT] == 0:
        before = load[heavy]
        sweep(slot, size, load, work[0])
        after = load[heaviest(load)]
        # When much of the excess stays, it is for the heaviest GPU to look at all others.
        mark[SWEPT] = (before - after) * SWEEP_GAIN < before - target
    elif not swap_one(slot, size, load, heavy, target, shift, narrowed, work) and (
        not swap_two(slot, size, load, heavy, target, shift, pairs, narrowed, work)
    ):
        settle(plan, best, mark, load[heavy])
        kick(slot, size, load, count, weight, heaviest(load), target, mark)
    mark[REACHED] = min(mark[BEST], load[heaviest(load)])


@piece
def worst_row(marks, first, num_rows):  # type: ignore[no-untyped-def]
    """The row with the largest load: it alone decides its layer's."""
    worst = first
    for row in range(first, first + num_rows):
        if marks[row, REACHED] > marks[worst, REACHED]:
            worst = row
    return worst


@piece
def neediest(excess, turns):  # type: ignore[no-untyped-def]
    """The layer with the most to gain that has not had its share, or -1."""
    layer, most = -1, 0.0
    for other in range(excess.shape[0]):
        need = excess[other] / (1.0 + FATIGUE * turns[other])
        if need > most:
            most, layer = need, other
    return layer


@piece
def refine(  # type: ignore[no-untyped-def]
    plans,
    bests,
    weights,
    marks,
    num_slots,
    num_gpus,
    pairs,
    targets,
    worth,
    narrowed,
    work,
    steps,
    deadline,
):
    """Improve the plans until all are at their targets or the budget is spent.

    Parameters
    ----------
    plans, bests, marks
        Of every node of every layer, see `step`; written.
    weights
        int64 [num_layers, num_experts], fixed-point loads.
    num_slots, num_gpus
        Of a node.
    targets
        int64 [num_layers]; a layer at or below its target is left alone.
    worth
        float64 [3, num_layers]: worth of a fixed-point unit, which compares layers; and for use
        here, worth of what a layer is above its target, and its turns, 0 at first.
    steps
        For each layer, where there is no deadline; then no layer's plan depends on the others.
    deadline
        Nanoseconds of `kernel_ns`, or 0: looked at before every step.
    """
    num_layers = targets.shape[0]
    num_nodes = plans.shape[0] // num_layers
    units, excess, turns = worth[0], worth[1], worth[2]
    for layer in range(num_layers):
        worst = worst_row(marks, layer * num_nodes, num_nodes)
        excess[layer] = (marks[worst, REACHED] - targets[layer]) * units[layer]
    layer = -1
    while True:
        layer = neediest(excess, turns) if deadline > 0 else layer + 1
        if layer < 0 or layer == num_layers:
            return
        turns[layer] += 1.0
        for _ in range(TURN if deadline > 0 else steps):
            if excess[layer] <= 0.0:
                break
            if deadline > 0 and kernel_ns() >= deadline:
                return
            worst = worst_row(marks, layer * num_nodes, num_nodes)
            step(
                plans[worst],
                bests[worst],
                weights[layer],
                marks[worst],
                num_slots,
                num_gpus,
                pairs,
                targets[layer],
                narrowed,
                work,
            )
            worst = worst_row(marks, layer * num_nodes, num_nodes)
            excess[layer] = (marks[worst, REACHED] - targets[layer]) * units[layer]
