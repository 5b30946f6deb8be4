"""What a turn of the bisection may still take: seconds under a clock, else counted work."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline

#: Dual ascents for a unit of effort, about a millisecond.
ASCENTS_PER_UNIT = 4
#: Moves of replicas for a unit of effort.
MOVES_PER_UNIT = 6
#: Labels of the dynamic program for a unit of effort.
LABELS_PER_UNIT = 10_000


@dataclass(eq=False)
class WorkLimit:
    """A limit of time or of counted work, whichever the caller asked for.

    Parameters
    ----------
    deadline
        The end of the turn; not looked at where `effort` is given, so that the answer does not
        depend on the clock.
    effort
        The units of work; None for no limit but time.
    spent
        The units used so far.
    """

    deadline: Deadline
    effort: int | None = None
    spent: int = 0

    def spend_ascents(self, number: int) -> None:
        """Count dual ascents."""
        self.spent += ceil(number / ASCENTS_PER_UNIT)

    def spend_moves(self, moves: int) -> None:
        """Count moves of replicas."""
        self.spent += ceil(moves / MOVES_PER_UNIT)

    def spend_labels(self, labels: int) -> None:
        """Count labels looked at."""
        self.spent += ceil(labels / LABELS_PER_UNIT)

    def restart(self, deadline: Deadline, effort: int | None) -> None:
        """Begin another turn with its own limit."""
        self.deadline, self.effort, self.spent = deadline, effort, 0

    @property
    def is_spent(self) -> bool:
        """Whether the counted work, or the time, is used up."""
        if self.effort is not None:
            return self.spent >= self.effort
        return self.deadline.expired

    @property
    def seconds(self) -> float:
        """The seconds left; infinity where work is counted."""
        return inf if self.effort is not None else self.deadline.remaining
