"""A bound with a price on what crosses nodes, for two slots a GPU, from the pairs' of the load.

Where GPUs have two slots the water level can be some percent below any plan's largest load, and the
bound with the price begins there. A plan with a price is a plan without one too, so that what
`exact.senders.pairs` proves of the load holds for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import SENDER_BOUNDS
from eplb_opt.certificates import Certificate
from eplb_opt.certificates.flat_layer import PAIRS_PREFIX
from eplb_opt.exact.senders.pairs import SenderPairsSolver
from eplb_opt.placement import scoring
from eplb_opt.search.annealing.crossing import proven
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options


class CrossingPairsSolver:
    """Raises the bound of a layer; a later turn goes on where the last one stopped.

    Parameters
    ----------
    problem
        A problem of one layer with a topology, on equal nodes of GPUs with two slots.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem, self.flat = problem, problem.flat()
        self.lower = max(method(self.flat)[0] for method in SENDER_BOUNDS.values())
        self.pairs = SenderPairsSolver(self.flat, options)

    def solve(self, task: Task) -> Answer:
        """Refute levels of the load for one turn, and price what is proven."""
        if not self.problem.load.any():
            return Answer(verdict=Verdict.FINISHED)
        load = scoring.layer_objectives(self.flat, task.start[None])[0]
        asked = replace(task, problem=self.flat, objective=load, lower_bound=self.lower)
        found = self.pairs.solve(asked)
        answer = replace(found, placed=None, bound=None, certificate=None)
        if found.certificate is None or found.certificate.bound <= self.lower:
            return answer
        self.lower = found.certificate.bound
        priced = proven(self.problem, self.lower)
        if priced is None:
            return answer
        bound, proof = priced
        data = proof.data | {PAIRS_PREFIX + k: v for k, v in found.certificate.data.items()}
        data[PAIRS_PREFIX + "bound"] = [self.lower.numerator, self.lower.denominator]
        return replace(answer, bound=bound, certificate=Certificate(proof.kind, bound.value, data))
