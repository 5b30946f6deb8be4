"""One set of groups on a node: its flat problem, its best plan and what is proven of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from eplb_opt.exact.shared.start import plain_start_value

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np

    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.clock import Deadline
    from eplb_opt.exact.config_lp.model import FlatConfigLp
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True)
class NodesParams:
    """Settings of the decomposition of a hierarchical layer by nodes.

    Parameters
    ----------
    max_columns
        A set whose count-and-assignment model has more columns is left to the configuration LP.
    heavy_regime
        Below this share of the mean load the water level leaves the configuration LP nothing to
        prove.
    share, min_seconds, min_effort
        A step takes this share of the time or effort left, and at least these seconds or this
        effort, which double with each step on the same set.
    polish_seconds, polish_steps
        The seconds, or the counted steps, of the local search on a set that the start does not
        have.
    import_seconds
        Seconds that importing CP-SAT takes; with less left it is not begun.
    seconds_at_least
        With fewer seconds left no step is begun.
    """

    max_columns: int = 20_000
    heavy_regime: float = 0.4
    share: float = 0.3
    min_seconds: float = 0.5
    min_effort: int = 100
    polish_seconds: float = 0.05
    polish_steps: int = 200
    import_seconds: float = 2.0
    seconds_at_least: float = 0.005


@dataclass(eq=False)
class GroupSet:
    """A node that holds one set of groups: a flat problem of its own.

    Parameters
    ----------
    problem
        The flat problem, with the set's experts renumbered.
    expert
        int64 [num_experts of the set], the layer's number of each expert.
    slot, value
        The best plan, int64 [num_slots of a node] in the set's own numbers, and its largest GPU
        load in the problem's integer units.
    steps
        The number of steps so far.
    lp
        The work on the configuration LP, once begun.
    lp_done, stuck
        Whether the configuration LP, and every other model, can prove nothing more.
    proof
        The certificate of the best bound that has one.
    """

    problem: Problem
    expert: np.ndarray
    slot: np.ndarray
    value: Fraction
    steps: int = 0
    lp: FlatConfigLp | None = None
    lp_done: bool = False
    stuck: bool = False
    proof: Certificate | None = None

    def offer(self, slot: np.ndarray | None) -> None:
        """Keep a plan if it is better."""
        if slot is not None and (value := plain_start_value(self.problem, slot)) < self.value:
            self.slot, self.value = slot, value
            self.lp_done = self.lp_done and self.lp is None  # the LP may then prove more

    def prove(self, certificate: Certificate | None) -> None:
        """Keep a certificate if it proves more."""
        if certificate is not None and (self.proof is None or certificate.bound > self.proof.bound):
            self.proof = certificate


class StepLimit(NamedTuple):
    """What one step may take: time until a deadline, or counted effort."""

    deadline: Deadline
    effort: int | None
