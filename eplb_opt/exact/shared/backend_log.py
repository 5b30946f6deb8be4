"""What a backend proved, read from its own log: PuLP's status is no proof."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBER = r"([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"


@dataclass(frozen=True)
class LogFacts:
    """What a backend's log says, in units of the model.

    Parameters
    ----------
    bound
        The backend's lower bound, None when the log gives none.
    first_objective
        The objective of the warm start, None when the log does not say that it was taken.
    message
        Why the backend stopped.
    """

    bound: float | None = None
    first_objective: float | None = None
    message: str = "its log says nothing"


def read_cbc(log: str) -> LogFacts:
    """What CBC's log says.

    The block at its end names the outcome. After "Optimal solution found" the objective value is
    also the bound; otherwise the line "Lower bound" gives it, which is the least bound of the open
    nodes. Without that block (CBC was ended) nothing is taken as proven.
    """
    start = _last_number(rf"MIPStart provided solution with cost {NUMBER}", log)
    outcome = re.findall(r"^Result - (.+?)\s*$", log, re.MULTILINE)
    if not outcome:
        return LogFacts(None, start, "CBC did not finish")
    end = log[log.rindex("Result - ") :]
    is_optimal = outcome[-1] == "Optimal solution found"
    name = "Objective value" if is_optimal else "Lower bound"
    return LogFacts(_last_number(rf"^{name}:\s+{NUMBER}", end), start, f"CBC: {outcome[-1]}")


def _last_number(pattern: str, log: str) -> float | None:
    found = re.findall(pattern, log, re.MULTILINE)
    return float(found[-1]) if found else None


#: Readers by PuLP's name of the backend; the bounds of other backends are not taken as proven.
LOG_READERS: dict[str, Callable[[str], LogFacts]] = {"PULP_CBC_CMD": read_cbc, "COIN_CMD": read_cbc}


def read_log(solver: str, log: str) -> LogFacts:
    """What the log of a backend says, by PuLP's name of the backend."""
    reader = LOG_READERS.get(solver)
    return reader(log) if reader else LogFacts(message=f"{solver}: no proof is read from its log")
