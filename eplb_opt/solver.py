"""All that passes between the portfolio and who works for it: tasks, answers, verdicts.

A solver is one way to improve one layer. It knows nothing of the other layers, of the schedule or
of where it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np

    from eplb_opt.bounds.bounds import Bound
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Task:
    """One turn of one solver on one layer.

    Parameters
    ----------
    layer_idx
        The layer's number in the whole problem.
    problem
        The problem of that layer alone.
    start
        int64 [num_slots], the best plan known for it.
    objective, lower_bound
        Objective and proven bound known of the layer, exact, in the problem's integer units.
    deadline, call_deadline
        The end of the turn, and of the whole call.
    effort
        Counted work of the turn; None under a time limit.
    seed
        Seed of the turn's randomness.
    attempt
        The number of turns that the solver has had on this layer before.
    """

    layer_idx: int
    problem: Problem
    start: np.ndarray
    objective: Fraction
    lower_bound: Fraction
    deadline: Deadline
    call_deadline: Deadline
    effort: int | None
    seed: int
    attempt: int


class Verdict(Enum):
    """What a solver says of another turn on the same layer."""

    AGAIN = "another turn may help"
    FINISHED = "another turn cannot help"
    REFUSED = "the layer is none for this solver"
    NOT_YET = "there was no time, or no need, to begin"


@dataclass(frozen=True, eq=False)
class Answer:
    """What a turn brought.

    Parameters
    ----------
    placed
        int64 [num_slots], a plan of the layer, or None.
    bound
        A proven lower bound in the problem's integer units, or None.
    certificate
        A certificate that proves the bound again without a solver, or None.
    verdict
        What another turn would bring.
    preferred
        The plan takes the place of another even where its objective is larger: it was made to
        hold for more than the known loads.
    message
        A sentence for the caller, or nothing.
    reason
        Why the solver refuses the layer, as what would follow its name: "refused: ..."; empty where
        the layer is none of its kind.
    seconds
        What the turn took; set by who ran it.
    """

    placed: np.ndarray | None = None
    bound: Bound | None = None
    certificate: Certificate | None = None
    verdict: Verdict = Verdict.AGAIN
    preferred: bool = False
    message: str = ""
    reason: str = ""
    seconds: float = 0.0


class Solver(Protocol):
    """One way to improve a layer.

    The portfolio makes a solver once for each layer, with the problem of that layer and the call's
    `Options`; a later call of `solve` goes on where the last one stopped.
    """

    def solve(self, task: Task) -> Answer:
        """Work until the task's deadline, or for its effort."""
        ...


@dataclass(frozen=True)
class Options:
    """What a call asks of all its solvers.

    Parameters
    ----------
    model
        Name of the exact model; a key of `exact.MODELS`.
    noise
        Size of the noise that a plan is to withstand under optimal dispatch; see `plan`.
    """

    model: str = "cpsat"
    noise: float = 0.0
