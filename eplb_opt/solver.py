"""What passes between the portfolio and its steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from fractions import Fraction

    import numpy as np

    from eplb_opt.bounds.bounds import Bound
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Task:
    """One turn of one step on one layer.

    Parameters
    ----------
    layer_idx
        Which layer.
    problem
        Of that layer alone.
    start
        int64 [num_slots], its best plan so far.
    objective, lower_bound
        What is known, in integer units.
    deadline, call_deadline
        The end of the turn, and of the whole call.
    effort
        Counted work of the turn; None under a clock.
    seed, attempt
        Of randomness; how many turns this step has had on this layer.
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


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a turn brought: a plan ([num_slots]), a bound and its certificate, where there are.

    `finished` says that another turn of this step on this layer cannot help, `refused` that
    the step is none for this layer, for the reason in `message`, and `postponed` that there
    was no time, or no need, to begin yet. A `preferred` plan takes the place of another even
    where its objective is larger: it was made to hold for more than the known loads.
    """

    placed: np.ndarray | None = None
    bound: Bound | None = None
    certificate: Certificate | None = None
    finished: bool = False
    refused: bool = False
    postponed: bool = False
    preferred: bool = False
    message: str = ""


@dataclass(frozen=True, eq=False)
class Step:
    """A way to improve a layer.

    Parameters
    ----------
    name
        For messages and the history.
    run
        The work itself; called from worker threads.
    share
        A turn under a clock takes this part of the layer's even share of the time left,
    min_seconds, max_seconds
        but no less and no more than these; the former grows with each turn,
    growth
        so many times.
    turns
        Turns in a row before the next step of the table gets one.
    max_attempts
        Turns a layer may get.
    in_rounds
        The even share is taken among the layers that have not had this turn yet, so that the
        last of them gets as much as the first.
    package
        What it asks for an answer that another version of it may not give, under `effort` neither.
    first_turns
        Under a clock, the first turns of all layers in one go, until a deadline; what came of
        those that had theirs, by layer. They are made before any other turn; None where there
        are none.
    """

    name: str
    run: Callable[[Task], Outcome]
    share: float = 1.0
    min_seconds: float = 1.0
    max_seconds: float = math.inf
    growth: float = 2.0
    turns: int = 1
    max_attempts: int = 4
    in_rounds: bool = False
    package: str | None = None
    first_turns: Callable[[Iterable[Task], Deadline], dict[int, Outcome]] | None = None


@dataclass(frozen=True)
class Budget:
    """What a call may spend.

    Parameters
    ----------
    deadline
        Of the call, with what the output costs already taken off.
    effort
        Counted work a layer, or None.
    target_gap
        A layer at or below it is left alone.
    workers
        Layers worked on at a time.
    seed
        Of every step's randomness.
    """

    deadline: Deadline
    effort: int | None = None
    target_gap: float = 0.0
    workers: int = 1
    seed: int = 0
