"""What the work on the nodes of a layer is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from eplb_opt.exact.shared.start import worth_of_start

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np

    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.clock import Deadline
    from eplb_opt.exact.config_lp.model import NodeLp
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True)
class NodesParams:
    """Settings of the work on nodes.

    Parameters
    ----------
    max_columns
        A node whose count-and-assignment model has more is left to the configuration LP.
    heavy_regime
        Below this share of the mean the water level leaves the configuration LP nothing to prove.
    share, min_seconds, min_effort
        A turn of a node takes this share of what is left, and no less than these, which double
        with each turn of the node.
    polish_seconds, polish_steps
        Of the search on a node that the start does not have.
    import_seconds
        Loading CP-SAT takes about as long; with less left it is not begun.
    seconds_at_least
        With less left no turn is begun.
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
class Node:
    """A node with some set of groups, a flat problem.

    Parameters
    ----------
    problem
        Its experts, renumbered, its slots and GPUs.
    expert
        int64, the layer's number of each of its experts.
    slot, worth
        Its best plan, in the node's own numbers, and the largest GPU load of that.
    turns
        It had.
    lp
        The work on its configuration LP, once begun.
    lp_done, stuck
        The configuration LP, and every engine, has nothing more to say.
    proof
        The certificate of the best bound that has one.
    """

    problem: Problem
    expert: np.ndarray
    slot: np.ndarray
    worth: Fraction
    turns: int = 0
    lp: NodeLp | None = None
    lp_done: bool = False
    stuck: bool = False
    proof: Certificate | None = None

    def offer(self, slot: np.ndarray | None) -> None:
        """Keep a plan if it is better."""
        if slot is not None and (worth := worth_of_start(self.problem, slot)) < self.worth:
            self.slot, self.worth = slot, worth
            self.lp_done = self.lp_done and self.lp is None  # which then asks for more or less

    def prove(self, certificate: Certificate | None) -> None:
        """Keep a certificate if it proves more."""
        if certificate is not None and (self.proof is None or certificate.bound > self.proof.bound):
            self.proof = certificate


class Turn(NamedTuple):
    """What one turn may spend: until a deadline, or counted."""

    deadline: Deadline
    effort: int | None
