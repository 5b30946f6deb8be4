"""A bound for a priced topology with two slots a GPU, from the best bound of the load alone.

Where GPUs have two slots the water level can be some percent below any plan's largest load, and the
bound with homes begins there. The bisection of `exact.pairs` knows that load almost exactly: plans
for the topology are plans for the flat problem too, so what it proves holds for them. From there on
prices of what stands on a node (`price_lp`) prove what being off home costs at least; where homes
are still to be chosen, or SciPy is not there, the room of each node does (`bounds.topology`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import FLAT_BOUNDS, Bound
from eplb_opt.bounds.home_prices import PricedLayer, known_homes
from eplb_opt.bounds.links import MANY_STEPS
from eplb_opt.bounds.priced import PricedBound, priced_bound
from eplb_opt.certificates import Certificate
from eplb_opt.certificates.flat_layer import PAIRS_PREFIX
from eplb_opt.clock import core_wait
from eplb_opt.exact.homes.price_lp import Fineness
from eplb_opt.exact.homes.price_pieces import Proven, prove
from eplb_opt.exact.pairs.model import PairsLayer, PairsParams
from eplb_opt.exact.shared.model_calls import as_answer, deadline_after_imports

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np

    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Answer, Options, Task

#: Work for the prices of a layer, with about the seconds that it takes, and from which effort on.
#: Less than the first step proves hardly more than the room of each node does.
STEPS = (
    (0.4, 2000, Fineness(12, 2, 0.003)),
    (1.2, 8000, Fineness(24, 2, 0.001)),
    (4.0, 30_000, Fineness(40, 3, 0.0005)),
)
#: The part of a turn that is for the load alone, and seconds of the call that are left to others.
FLAT_SHARE, LAST_SECONDS = 0.35, 0.2


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
        self.pairs: Certificate | None = None
        self.start: np.ndarray | None = None
        is_known = bool(problem.load.any()) and known_homes(problem) is not None
        self.priced = PricedLayer(problem) if is_known and find_spec("scipy") else None
        self.step = -1
        self.proven: Proven | None = None

    def solve(self, task: Task) -> Answer:
        """Work on the bisection of the flat layer, price what it proves, and then the homes."""
        # A linear program that is begun is solved, however many others want the cores.
        worked, waited = time.thread_time(), core_wait()
        seconds = task.deadline.remaining * worked / max(worked + waited, 1e-9)
        verdict, is_raised = self._bisect(task)
        is_priced = self._price(task, seconds)
        if not is_raised and not is_priced:
            return verdict
        found, proof = self._by_room()
        value, source = found.value, found.source
        if self.priced is not None and self.proven is not None:
            begun = self.proven.begun_at(self.priced, self.priced.level_of(self.lower))
            if self.priced.as_ratio(begun.units) > value:
                value, source = self.priced.as_ratio(begun.units), "topology"
                proof = self._by_prices(self.proven)
        return replace(verdict, bound=Bound(value, source), certificate=proof)

    def _bisect(self, task: Task) -> tuple[Answer, bool]:
        """A turn on the flat layer, and whether it has proven more."""
        deadline = task.deadline.part(FLAT_SHARE if self.priced is not None else 1.0)
        if task.effort is None and self.layer.waits_for_backend:
            deadline = deadline_after_imports(task) or deadline
        start = task.start if self.start is None else self.start
        found = as_answer("k2", self.layer.run(start, self.lower, deadline, task.effort))
        if found.placed is not None:
            self.start = found.placed
        is_raised = found.bound is not None and found.bound.value > self.lower
        if found.bound is not None and is_raised:
            self.lower = found.bound.value
        if found.certificate is not None:
            self.pairs = found.certificate
        return replace(found, placed=None, bound=None, certificate=None), is_raised

    def _price(self, task: Task, seconds: float) -> bool:
        """Prices with more work than so far, where a turn has time for it; whether they are new."""
        layer = self.priced
        if layer is None:
            return False
        step = self._next_step(task, seconds)
        if step is None:
            return False
        self.step = step
        deadline = task.call_deadline.earlier(LAST_SECONDS)
        found = prove(layer, layer.level_of(self.lower), STEPS[step][2], deadline)
        if found is None or (self.proven is not None and found.units <= self.proven.units):
            return False
        self.proven = found
        return True

    def _next_step(self, task: Task, seconds: float) -> int | None:
        """The step with the most work that the turn has seconds for."""
        if task.effort is not None:
            fits = [i for i, (_, effort, _) in enumerate(STEPS) if effort <= task.effort]
        else:
            fits = [i for i, (usual, _, _) in enumerate(STEPS) if usual <= seconds]
        return fits[-1] if fits and fits[-1] > self.step else None

    def _by_room(self) -> tuple[PricedBound, Certificate | None]:
        """What the room of each node, or its links, prove."""
        found = priced_bound(self.problem, self.lower, MANY_STEPS)
        if self.pairs is None:
            return found, None
        bound = priced_bound(self.problem, self.pairs.bound, MANY_STEPS)
        data = bound.data | self._of_pairs()
        return found, Certificate(bound.source, bound.value, data)

    def _by_prices(self, proven: Proven) -> Certificate | None:
        """The certificate of pieces that begin at what is certified of the flat layer."""
        layer = self.priced
        if layer is None:
            return None
        flat = max(method(self.flat)[0] for method in FLAT_BOUNDS.values())
        if self.pairs is not None:
            flat = max(flat, self.pairs.bound)
        begun = proven.begun_at(layer, layer.level_of(flat))
        return Certificate(
            "home_prices", layer.as_ratio(begun.units), begun.data(layer) | self._of_pairs()
        )

    def _of_pairs(self) -> dict[str, int | list[int]]:
        """The certificate of the flat layer, as a part of another's data."""
        if self.pairs is None:
            return {}
        data = {PAIRS_PREFIX + name: value for name, value in self.pairs.data.items()}
        return {**data, PAIRS_PREFIX + "bound": list(_terms(self.pairs.bound))}


def _terms(value: Fraction) -> tuple[int, int]:
    return value.numerator, value.denominator
