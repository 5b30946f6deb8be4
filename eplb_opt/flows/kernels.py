"""The compiled split: sweeps of levelling, then augmenting paths until a set of GPUs proves it.

A sweep takes the experts with several hosts in turn, takes the load of each off its GPUs and pours
it back to one water level: block coordinate descent on the sum of squared GPU loads over speeds.
Its fixed point is the least-squares split, whose largest level is the least one. But a sweep moves
load over one expert only, and along chains of experts hundreds of sweeps are not enough. So after a
few of them the heaviest GPUs push their excess over the target along shortest paths of experts to
GPUs below it; where none is reached, the GPUs that were are a set that its own experts fill beyond
the target, and their mean level is the next one (Newton's method, as in `min_max_flow`).

Fixed order, no reassociation: the same bytes everywhere. Without numba the same functions run in
the interpreter, some hundred times slower. Arrays with no other word are those of `Routes`.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb_opt.errors import MissingDependency

if TYPE_CHECKING:
    from collections.abc import Callable

    jit: Callable[..., Any]
try:
    from eplb_opt.search.jit import jit

    COMPILED = True
except MissingDependency:

    def jit(function):
        """Leave the function as it is."""
        return function

    COMPILED = False

#: Levels closer to the proven one than this, relatively, are equal to it.
TOLERANCE = 1e-9
#: Below this share of a layer's load, over all its pairs and GPUs together, all is rounding.
DUST = 1e-12


@jit
def pour_on_two(level, flow, gpu, begin, tokens):
    """`pour` for two hosts of equal speed."""
    a, b = gpu[begin], gpu[begin + 1]
    left, right = level[a] - flow[begin], level[b] - flow[begin + 1]
    share = min(max(0.5 * (tokens + right - left), 0.0), tokens)
    flow[begin], flow[begin + 1] = share, tokens - share
    level[a], level[b] = left + share, right + (tokens - share)


@jit
def pour(level, speed, flow, gpu, begin, end, tokens):
    """Take an expert's flow off its GPUs and pour its tokens back to one level over speed.

    Parameters
    ----------
    level
        float64 [num_gpus], GPU loads; changed.
    speed
        float64 [num_gpus].
    flow
        float64 by pair; changed from `begin` to `end`.
    """
    water, width, num_wet = tokens, 0.0, end - begin
    for pair in range(begin, end):
        level[gpu[pair]] -= flow[pair]
        water += level[gpu[pair]]
        width += speed[gpu[pair]]
    while True:  # leave out the GPUs above the water, which only sinks by that
        wet, volume, wet_width = 0, tokens, 0.0
        for pair in range(begin, end):
            g = gpu[pair]
            if level[g] * width < water * speed[g]:
                wet += 1
                volume += level[g]
                wet_width += speed[g]
        if wet >= num_wet or wet == 0:  # rounding may wet a dry one again
            break
        num_wet, water, width = wet, volume, wet_width
    total = 0.0
    for pair in range(begin, end):
        g = gpu[pair]
        flow[pair] = max(water / width * speed[g] - level[g], 0.0)
        total += flow[pair]
    scale = tokens / total if total > 0 else 0.0
    for pair in range(begin, end):
        flow[pair] *= scale
        level[gpu[pair]] += flow[pair]


@jit
def sweep(load, speed, is_even, many, first, gpu, begin, end, level, flow):
    """Level the experts with several hosts in turn, once."""
    for i in range(begin, end):
        if is_even and first[i + 1] - first[i] == 2:
            pour_on_two(level, flow, gpu, first[i], load[many[i]])
        else:
            pour(level, speed, flow, gpu, first[i], first[i + 1], load[many[i]])


@jit
def first_target(level, speed, tokens):
    """The larger of the mean level and the highest one, before experts with several hosts."""
    width, top = 0.0, 0.0
    for g in range(len(level)):
        width += speed[g]
        top = max(top, level[g] / speed[g])
    return max(tokens / width, top)


@jit
def finish(
    target, dust, level, speed, flow, first, gpu, owner, gpu_begin, gpu_pair, base, most_rounds,
    queue, came, through, ends,
):  # fmt: skip
    """Push what is above the target along shortest paths of experts until a set proves it.

    Parameters
    ----------
    target
        No split's largest level is below it.
    dust
        Tokens that are rounding.
    level, flow
        A split; changed.
    base
        The layer's place in `gpu_begin`.
    most_rounds
        Far more than needed: an end in any case.
    queue, came, through, ends
        int32 [num_gpus]; scratch: the GPUs that were reached, the pair that a GPU was reached from
        and the pair it was reached by, and the reached ones with room.

    Returns
    -------
    The proven level: the mean level of GPUs whose experts live on them alone.
    """
    num_gpus = len(level)
    for _ in range(most_rounds):
        num_reached = 0
        for g in range(num_gpus):
            came[g] = -2
            if level[g] > target * speed[g] * (1 + TOLERANCE) + num_gpus * dust:
                came[g] = -1
                queue[num_reached] = g
                num_reached += 1
        if num_reached == 0:
            break
        num_ends, head = 0, 0
        while head < num_reached:
            g = queue[head]
            head += 1
            for i in range(gpu_begin[base + g], gpu_begin[base + g + 1]):
                pair = gpu_pair[i]
                if flow[pair] <= dust:
                    continue
                for other in range(first[owner[pair]], first[owner[pair] + 1]):
                    h = gpu[other]
                    if came[h] != -2:
                        continue
                    came[h], through[h] = pair, other
                    if level[h] < target * speed[h] - dust:
                        ends[num_ends] = h
                        num_ends += 1
                    else:
                        queue[num_reached] = h
                        num_reached += 1
        if num_ends == 0:
            tokens, width = 0.0, 0.0
            for i in range(num_reached):
                tokens += level[queue[i]]
                width += speed[queue[i]]
            target = tokens / width
        for i in range(num_ends):
            push(ends[i], target, level, speed, flow, gpu, came, through)
    return target


@jit
def push(end, target, level, speed, flow, gpu, came, through):
    """As much as one path takes to its end, which may be nothing after other paths' pushes."""
    amount = target * speed[end] - level[end]
    g = end
    while came[g] >= 0:
        amount = min(amount, flow[came[g]])
        g = gpu[came[g]]
    amount = min(amount, level[g] - target * speed[g])
    if amount <= 0:
        return
    level[g] -= amount
    level[end] += amount
    g = end
    while came[g] >= 0:
        flow[came[g]] -= amount
        flow[through[g]] += amount
        g = gpu[came[g]]


@jit
def write_weights(load, many, first, copies, slot, slot_pair, begin, end, slots, flow, weights):
    """Put shares of an expert's tokens in its slots; overwrites the flow.

    Copies on one GPU get equal parts; an expert without load keeps the even split.
    """
    for i in range(begin, end):
        total = 0.0
        for pair in range(first[i], first[i + 1]):
            if load[many[i]] <= 0:
                flow[pair] = copies[pair]
            total += flow[pair]
        for pair in range(first[i], first[i + 1]):
            flow[pair] /= total * copies[pair]
    for i in range(slots[0], slots[1]):
        weights[slot[i]] = flow[slot_pair[i]]


@jit
def split_layers(
    load, speed, num_sweeps, alone, alone_gpu, alone_begin, many, first, many_begin, gpu, copies,
    owner, gpu_begin, gpu_pair, slot, slot_pair, slot_begin, level, flow, scratch, weights, proven,
):  # fmt: skip
    """Split every layer's loads in every scenario.

    Parameters
    ----------
    load
        float64 [num_scenarios, num_layers, num_experts].
    speed
        float64 [num_gpus].
    num_sweeps
        Before the paths.
    level, flow, scratch
        float64 [num_gpus] and by pair, int32 [4, num_gpus].
    weights
        float64 [num_scenarios, num_layers, num_slots]; comes with the even split.
    proven
        Written: float64 [num_scenarios, num_layers], the level that no split is below.
    """
    num_gpus = len(speed)
    is_even = speed.min() == speed.max()
    for scenario in range(load.shape[0]):
        for layer in range(load.shape[1]):
            row = load[scenario, layer]
            begin, end = many_begin[layer], many_begin[layer + 1]
            tokens = row.sum()
            level[:] = 0.0
            for i in range(alone_begin[layer], alone_begin[layer + 1]):
                level[alone_gpu[i]] += row[alone[i]]
            target = first_target(level, speed, tokens)
            flow[first[begin] : first[end]] = 0.0
            for _ in range(num_sweeps):
                sweep(row, speed, is_even, many, first, gpu, begin, end, level, flow)
            num_parts = num_gpus + first[end] - first[begin]
            proven[scenario, layer] = finish(
                target, tokens * DUST / num_parts, level, speed, flow, first, gpu, owner,
                gpu_begin, gpu_pair, layer * num_gpus, 16 * num_parts,
                scratch[0], scratch[1], scratch[2], scratch[3],
            )  # fmt: skip
            write_weights(
                row, many, first, copies, slot, slot_pair, begin, end,
                slot_begin[layer : layer + 2], flow, weights[scenario, layer],
            )  # fmt: skip
