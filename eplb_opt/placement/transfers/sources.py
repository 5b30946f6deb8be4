"""Who sends each expert: sources levelled over the GPUs, and what has to wait for what."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from eplb_opt.errors import ProblemError
from eplb_opt.placement.transfers.order import Orderer, Step

if TYPE_CHECKING:
    from eplb_opt.placement.transfers.change import Change


def steps_of(change: Change) -> list[Step]:
    """All steps of a change with their sources, each after those that it has to wait for.

    Parameters
    ----------
    change
        The change from one plan to the other.

    Raises
    ------
    ProblemError
        When a cycle needs a staging slot and there are none.
    """
    found = Orderer(change)
    if found.cycles and not change.staging_slots:
        layer_idx, cycle = found.cycles[0]
        raise ProblemError(
            f"Slots {', '.join(map(str, cycle))} of layer {layer_idx} hand their experts on in a "
            "circle, and no other replica of these experts can serve: give staging_slots=1 or more."
        )
    steps, gpu_of = found.steps, found.gpu_of
    work = change.is_written.sum(axis=0).reshape(change.num_gpus, -1).sum(axis=1).tolist()
    for _, cycle in found.cycles:
        for slot, before in zip(cycle, [cycle[-1], *cycle], strict=False):
            work[gpu_of[slot]] += gpu_of[slot] != gpu_of[before]
    _choose(steps, gpu_of, work)
    _turn(found.cycles, change, work, steps)
    _wait(steps)
    return steps


def _choose(steps: list[Step], gpu_of: list[int], work: list[int]) -> None:
    """Fix the source of every step so that the busiest GPU has little to do.

    A step with one source counts first. Where there is a choice, the source is taken that has the
    least to do, or is there first: new replicas are sources too, so that an expert spreads as a
    tree.
    """
    for step in steps:
        if len(step.sources) == 1 and gpu_of[step.sources[0]] != step.gpu:
            work[gpu_of[step.sources[0]]] += 1
    layer_idx, deepest, flexible = -1, 0, []
    turn: dict[int, int] = {}  # the first batch, if only this expert spread, that a slot can serve
    for step in steps:
        if step.layer_idx != layer_idx:
            layer_idx, turn = step.layer_idx, {}
        if not step.sources:
            turn[step.slot] = 1
            continue
        source = step.sources[0]
        if len(step.sources) > 1:
            turns = [(turn.get(s, 0), s) for s in step.sources]
            _, _, source = min((at, work[gpu_of[s]], s) for at, s in turns)
            work[gpu_of[source]] += 1
            flexible.append(step)
        step.source_slot, step.source_gpu = source, gpu_of[source]
        turn[source] = turn[step.slot] = turn.get(source, 0) + 1
        deepest = max(deepest, turn[source])
    _level(flexible, gpu_of, work, deepest)


def _level(flexible: list[Step], gpu_of: list[int], work: list[int], least: int) -> None:
    """Hand sends on from the busiest GPUs while that lowers the largest work.

    Along a path of sends, each of which another GPU can take over, work goes from one GPU to
    another; none is left when no path leads from a busiest GPU to one with two less to do. Where
    no GPU has more to do than the widest spread of an expert takes batches, nothing is gained.
    """
    sends: dict[int, list[Step]] = {}
    for step in flexible:
        sends.setdefault(step.source_gpu, []).append(step)
    while (most := max(work)) > least:
        for busiest in [gpu for gpu, amount in enumerate(work) if amount == most]:
            if not _relieve(busiest, sends, gpu_of, work):
                return


def _relieve(
    busiest: int, sends: dict[int, list[Step]], gpu_of: list[int], work: list[int]
) -> bool:
    """Take one send from a GPU along the shortest path; False where there is none."""
    came_by: dict[int, tuple[Step, int]] = {}
    seen, queue = {busiest}, [busiest]
    for gpu in queue:
        for step in sends.get(gpu, ()):
            for slot in step.sources:
                other = gpu_of[slot]
                if other in seen:
                    continue
                seen.add(other)
                came_by[other] = (step, slot)
                queue.append(other)
                if work[other] <= work[busiest] - 2:
                    _hand_on(other, busiest, came_by, sends)
                    work[busiest] -= 1
                    work[other] += 1
                    return True
    return False


def _hand_on(
    gpu: int, busiest: int, came_by: dict[int, tuple[Step, int]], sends: dict[int, list[Step]]
) -> None:
    while gpu != busiest:
        step, slot = came_by[gpu]
        before = step.source_gpu
        sends[before].remove(step)
        sends.setdefault(gpu, []).append(step)
        step.source_gpu, step.source_slot = gpu, slot
        gpu = before


def _turn(
    cycles: list[tuple[int, list[int]]], change: Change, work: list[int], steps: list[Step]
) -> None:
    """Add the steps of the cycles; each stages one expert on its own GPU.

    A staging slot serves one cycle after another. The longest cycles are dealt out first, each to a
    slot on one of its GPUs: where the slot's cycles and the GPU's work leave the most room.
    """
    taken = [[0] * change.staging_slots for _ in work]
    last: dict[tuple[int, int], int] = {}
    for layer_idx, cycle in sorted(cycles, key=lambda c: (-len(c[1]), c)):
        places = []
        for i, slot in enumerate(cycle):
            gpu = slot // change.slots_per_gpu
            least = min(taken[gpu])
            # A step waits for the one before it and for its GPUs, so about two batches.
            room = max(work[gpu], 2 * (least + len(cycle)))
            places.append((room, work[gpu], least, i, gpu))
        _, _, least, first, gpu = min(places)
        k = taken[gpu].index(least)
        taken[gpu][k] += len(cycle) + 1
        work[gpu] += 1
        begins = len(steps)
        steps += _turned(layer_idx, cycle[first:] + cycle[:first], change, k)
        if (gpu, k) in last:
            steps[begins].after.append(last[gpu, k])
        last[gpu, k] = len(steps) - 1


def _turned(layer_idx: int, cycle: list[int], change: Change, k: int) -> list[Step]:
    """The steps of a cycle whose first slot's expert is staged in that GPU's staging slot k."""
    slots_per_gpu, held = change.slots_per_gpu, change.old[layer_idx].tolist()
    gpu = cycle[0] // slots_per_gpu
    staging = change.num_slots + gpu * change.staging_slots + k
    path = [(gpu, staging), *((slot // slots_per_gpu, slot) for slot in cycle), (gpu, staging)]
    experts = [held[slot] for slot in (*cycle, cycle[0])]
    return [
        Step(layer_idx, expert, *to, [], [], *source)
        for expert, (to, source) in zip(experts, pairwise(path), strict=True)
    ]


def _wait(steps: list[Step]) -> None:
    """Note what each step waits for: its source to be there, and readers of what it overwrites.

    Such two steps share a GPU, so that they are never in one batch.
    """
    written: dict[tuple[int, int], int] = {}
    readers: dict[tuple[int, int], list[int]] = {}
    for number, step in enumerate(steps):
        source = (step.layer_idx, step.source_slot)
        if source in written:
            step.after.append(written[source])
        elif step.source_slot >= 0:
            readers.setdefault(source, []).append(number)
        target = (step.layer_idx, step.slot)
        step.after += readers.get(target, ())
        written[target] = number
