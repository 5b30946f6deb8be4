"""When a search gives up: many turns in a row without a better plan, in a call without limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.solver import Verdict

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline


class IdleTurns:
    """Counts the turns of one layer that brought nothing; a clock ends a search by itself."""

    def __init__(self) -> None:
        self.num = 0

    def verdict(self, improved: bool, most: int, call_deadline: Deadline) -> Verdict:
        """What to say of another turn.

        Parameters
        ----------
        improved
            Whether this turn brought a better plan.
        most
            Turns in a row without one that end the search.
        call_deadline
            The end of the whole call.
        """
        self.num = 0 if improved else self.num + 1
        gives_up = call_deadline.is_open and self.num >= most
        return Verdict.FINISHED if gives_up else Verdict.AGAIN
