"""The contract of an exact model of one layer: how it is called and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np

    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class ModelAnswer:
    """The best plan and the best bound that a model reached; either may be missing.

    Parameters
    ----------
    physical_to_logical
        int64 [num_slots], or None when the model found no plan.
    lower_bound
        A proven lower bound of the layer in the problem's integer units; 0 when nothing
        is proven.
    first_objective
        The value of the model's first solution, in the problem's integer units and rounded by the
        model's scale; it shows whether the warm start was taken. None where the model tells none.
    message
        Why the model stopped.
    finished
        Whether another call with more time would give the same answer.
    refused
        Whether the model did not try, because the layer is too large for the time or the memory;
        `message` has the numbers.
    certificate
        A proof of the bound that is verified without any solver, or None.
    """

    physical_to_logical: np.ndarray | None
    lower_bound: Fraction
    first_objective: Fraction | None = None
    message: str = ""
    finished: bool = False
    refused: bool = False
    certificate: Certificate | None = None


class LayerModel(Protocol):
    """An exact model of one layer.

    Parameters
    ----------
    problem
        A problem of one layer.
    start
        int64 [num_slots], a valid plan: the warm start and the upper bound.
    lower_bound
        A proven lower bound in integer units; the model may stop when it meets it.
    deadline
        The end of building, solving and reading together.
    effort
        Counted work, which takes the place of the deadline and gives the same answer on every
        machine; None for no limit but time.
    seed
        The seed of the model's random numbers.
    """

    def __call__(
        self,
        problem: Problem,
        start: np.ndarray,
        lower_bound: Fraction,
        deadline: Deadline,
        *,
        effort: int | None = None,
        seed: int = 0,
    ) -> ModelAnswer:
        """Solve the layer as far as time or counted work allow."""
        ...
