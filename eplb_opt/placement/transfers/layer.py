"""One layer of a change: which slots are written, who wants what, and what turns in a circle."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class LayerChange:
    """One layer of a change.

    Parameters
    ----------
    old, new
        [num_slots], the expert in each slot before and after; -1 is an empty slot, or one whose GPU
        is lost.
    written
        The slots that get another expert, in ascending order.
    """

    def __init__(self, old: list[int], new: list[int], written: list[int]) -> None:
        self.old, self.new, self.written = old, new, written
        #: Slots that are still to get each expert.
        self.wanted_in: dict[int, list[int]] = {}
        for slot in written:
            self.wanted_in.setdefault(new[slot], []).append(slot)
        #: Slots that hold each wanted expert, those that keep it first.
        self.held_in: dict[int, list[int]] = {expert: [] for expert in self.wanted_in}
        #: Wanted experts that some slot keeps.
        self.kept: set[int] = set()
        is_written = set(written)
        for slot, expert in enumerate(old):
            if expert in self.held_in and slot not in is_written:
                self.held_in[expert].append(slot)
                self.kept.add(expert)
        for slot in written:
            if old[slot] in self.held_in:
                self.held_in[old[slot]].append(slot)

    def pure_cycles(self) -> list[list[int]]:
        """Slots that hand their experts on in a circle, and nothing else: each needs staging.

        Each slot of a cycle holds the only replica of its expert, and that expert is wanted in one
        slot alone, the one before it in the cycle: slot i gets what slot i + 1 holds, the last one
        what the first holds. Whichever slot is written first, what it held has to lie somewhere
        else by then, and the slot that wants it is not yet written: two of these transfers share a
        GPU, so they are in different batches. What is in no such cycle can be ordered without
        staging; see `order.in_order`.
        """
        before: dict[int, int] = {}
        for slot in self.written:
            expert = self.old[slot]
            if expert in self.held_in and len(self.held_in[expert]) == 1:
                takers = self.wanted_in[expert]
                if len(takers) == 1:
                    before[slot] = takers[0]
        return [path[::-1] for path in _circles(before)]


def _circles(following: dict[int, int]) -> Iterable[list[int]]:
    """The circles of a map in which no two slots are followed by the same one."""
    left = dict(following)
    while left:
        first, slot = left.popitem()
        path = [first]
        while slot in left:
            path.append(slot)
            slot = left.pop(slot)
        if slot == first:
            yield path
