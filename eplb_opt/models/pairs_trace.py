"""Two slots a GPU: what a search leaves behind for its certificate."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np


@dataclass(eq=False)
class Trace:
    """The proof that a level is out of reach: a tree in preorder, as lists of integers.

    Each node has rounds: multipliers at thresholds, which either close the node or strike
    options off. A node that stays open branches on an expert: counts up to a number first, those
    above it second.

    Parameters
    ----------
    rounds, expert, count
        One a node: number of rounds; what it branches on, both -1 where it is closed.
    entries
        One a round: number of multipliers.
    threshold, multiplier
        One a multiplier.
    """

    rounds: list[int] = field(default_factory=list)
    expert: list[int] = field(default_factory=list)
    count: list[int] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)
    threshold: list[int] = field(default_factory=list)
    multiplier: list[int] = field(default_factory=list)

    def as_data(self, level: int, scale: int, digits: int) -> dict[str, int | list[int]]:
        """The integers of a certificate of kind "k2"."""
        lists: dict[str, int | list[int]] = {
            item.name: getattr(self, item.name) for item in fields(self)
        }
        return {"level": level, "scale": scale, "digits": digits} | lists

    def open_node(self) -> int:
        """Begin a node, closed until it branches; its place in the lists."""
        self.rounds.append(0)
        self.expert.append(-1)
        self.count.append(-1)
        return len(self.rounds) - 1

    def mark(self) -> tuple[int, int, int]:
        """Where the lists end, for `rewind`."""
        return len(self.rounds), len(self.entries), len(self.threshold)

    def rewind(self, mark: tuple[int, int, int]) -> None:
        """Forget what was added since."""
        num_nodes, num_rounds, num_multipliers = mark
        for of_nodes in (self.rounds, self.expert, self.count):
            del of_nodes[num_nodes:]
        del self.entries[num_rounds:]
        for of_multipliers in (self.threshold, self.multiplier):
            del of_multipliers[num_multipliers:]

    def add_round(self, node: int, threshold: np.ndarray, multiplier: np.ndarray) -> None:
        self.rounds[node] += 1
        used = np.flatnonzero(multiplier)
        self.entries.append(len(used))
        self.threshold.extend(int(value) for value in threshold[used])
        self.multiplier.extend(multiplier[used].tolist())
