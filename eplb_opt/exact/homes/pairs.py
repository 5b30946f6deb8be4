"""A bound for a priced topology with two slots a GPU, from the best bound of the load alone.

Where GPUs have two slots the water level can be some percent below any plan's largest load, and the
bound with homes begins there. The bisection of `exact.pairs` knows that load almost exactly: plans
for the topology are plans for the flat problem too, so what it proves holds for them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import FLAT_BOUNDS, Bound
from eplb_opt.bounds.links import MANY_STEPS
from eplb_opt.bounds.priced import PricedBound, priced_bound
from eplb_opt.certificates import Certificate
from eplb_opt.certificates.topology import PAIRS_PREFIX
from eplb_opt.exact.pairs.model import PairsLayer, PairsParams
from eplb_opt.exact.shared.model_calls import as_answer, deadline_after_imports

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np

    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Answer, Options, Task


class HomePairsSolver:
    """Raises the bound of a layer; a later turn goes on where the last one stopped.

    Parameters
    ----------
    problem
        A problem of one layer with a topology, on GPUs with two slots that are alike.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.flat = problem.flat().with_colocation("allow")
        self.layer = PairsLayer(self.flat, PairsParams())
        self.lower = max(method(self.flat)[0] for method in FLAT_BOUNDS.values())
        self.start: np.ndarray | None = None

    def solve(self, task: Task) -> Answer:
        """Work on the bisection of the flat layer for one turn, and price what it proves."""
        deadline = task.deadline
        if task.effort is None and self.layer.waits_for_backend:
            deadline = deadline_after_imports(task) or deadline
        start = task.start if self.start is None else self.start
        found = as_answer("k2", self.layer.run(start, self.lower, deadline, task.effort))
        if found.placed is not None:
            self.start = found.placed
        verdict = replace(found, placed=None, bound=None, certificate=None)
        if found.bound is None or found.bound.value <= self.lower:
            return verdict
        self.lower = found.bound.value
        priced = self._priced(self.lower)
        proof = None if found.certificate is None else self._proof(found.certificate)
        return replace(verdict, bound=Bound(priced.value, priced.source), certificate=proof)

    def _priced(self, lower: Fraction) -> PricedBound:
        return priced_bound(self.problem, lower, MANY_STEPS)

    def _proof(self, pairs: Certificate) -> Certificate:
        """What follows from a certificate of the flat layer."""
        bound = self._priced(pairs.bound)
        data = dict(bound.data)
        data |= {PAIRS_PREFIX + name: value for name, value in pairs.data.items()}
        data[PAIRS_PREFIX + "bound"] = list(_terms(pairs.bound))
        return Certificate(bound.source, bound.value, data)


def _terms(value: Fraction) -> tuple[int, int]:
    return value.numerator, value.denominator
