"""A bound for several loads and two slots a GPU, from pairs of replicas that fit in all scenarios.

The joint level (`joint_levels`) looks at single replicas. Here a part of the space of levels is
refuted by the pairs of replicas that stay below its highest levels in every scenario together. With
z_ec = 1 when expert e has c replicas, and x_p GPUs that hold the pair p, the linear program

    min sum_p x_p    with  sum_p a_(p,ec) x_p >= c z_ec,  sum_c z_ec >= 1

then needs more GPUs than there are. Its dual is solved: values v_e with v_e <= c u_ec and
u_ec + u_fd <= 1 for all pairs that fit, by adding violated pairs (column generation). The values
are rounded to integers and the whole tree is verified (`certificates.scenario_water`).

References
----------
P. C. Gilmore and R. E. Gomory, "A linear programming approach to the cutting-stock problem",
Operations Research 9, 1961.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import MissingDependency
from eplb_opt.exact.joint_levels import (
    CLAIM_LOWERED,
    LOWERED,
    RefutationTree,
    checked,
    joint_levels,
)
from eplb_opt.exact.shared.backend_imports import load_module

if TYPE_CHECKING:
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.clock import Deadline
    from eplb_opt.exact.joint_levels import JointLevels
    from eplb_opt.problem.problem import Problem

#: Values of experts are multiples of 1 over this.
VALUES_PER_UNIT = 2**24
#: The counts above the fewest that the linear program looks at; the verifier looks at all.
EXTRA_COUNTS = 6
#: The most rounds of adding violated pairs, and the pairs added for each replica in a round.
MAX_ROUNDS, PAIRS_ADDED = 30, 3
#: The most replicas to choose from; a table of their pairs takes the square in memory.
MAX_CHOICES = 6_000
#: By how much a pair may exceed a level and still fit, and a sum exceed 1 and not be violated.
DOUBT = 1e-11
SLACK = 1e-7
#: The first and the last step of a claim above what is proven, as shares of the way to the known
#: plan. Values found for one claim serve the next.
FIRST_STEP, LEAST_STEP = 1 / 8, 1 / 256
#: The share of the time left that a claim gets.
PART_OF_TIME = 0.7
#: The most entries of a tree.
MAX_PARTS = 20_000


@dataclass(eq=False)
class PairRefutationTree(RefutationTree):
    """A refutation tree whose parts may also be refuted by values of experts.

    Parameters
    ----------
    num_gpus
        The number of GPUs with slots.
    lists
        The values found so far, int64 [num_experts] each; an entry -2 - i names the i-th.
    feasible
        Levels that no values refute, float64 [num_scenarios] each.
    """

    num_gpus: int = 0
    lists: list[np.ndarray] = field(default_factory=list)
    feasible: list[np.ndarray] = field(default_factory=list)

    def other_refutation(self, top: np.ndarray) -> int | None:
        """The entry of the values that refute a part, or None."""
        if not np.isfinite(top).all() or any((known <= top).all() for known in self.feasible):
            return None
        fitting = _Fitting.of(self.joint, top)
        if fitting is None:
            return None
        for number, value in enumerate(self.lists):
            if fitting.refuted_by(value, self.num_gpus):
                return -2 - number
        found = fitting.values(self.num_gpus, self.deadline)
        if found is None or not fitting.refuted_by(found, self.num_gpus):
            self.feasible.append(top.copy())
            return None
        self.lists.append(found)
        return -1 - len(self.lists)


@dataclass(frozen=True, eq=False)
class _Fitting:
    """The replicas below some levels, and which two of them fit on a GPU.

    Parameters
    ----------
    expert, count
        int64 [num_choices], the expert of each replica and how many replicas it has.
    fits
        bool [num_choices, num_choices], whether two replicas fit on one GPU in every scenario.
    size
        float64 [num_choices], the sum over the scenarios of size over level.
    """

    expert: np.ndarray
    count: np.ndarray
    fits: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, joint: JointLevels, top: np.ndarray) -> _Fitting | None:
        """The replicas below `top`; None where they are too many, or the slots too few."""
        ratio = joint.ratio / top[:, None]
        fewest = np.ceil(ratio * (1 - DOUBT)).max(axis=0).astype(np.int64)
        fewest = np.maximum(fewest, joint.fewest)
        spare = joint.num_slots - int(fewest.sum())
        num_experts = len(fewest)
        if spare < 0 or num_experts * (min(spare, EXTRA_COUNTS) + 1) > MAX_CHOICES:
            return None
        extra = np.arange(min(spare, EXTRA_COUNTS) + 1)
        expert = np.repeat(np.arange(num_experts), len(extra))
        count = (fewest[:, None] + extra).ravel()
        size = ratio[:, expert] / count
        fits = np.ones((len(expert), len(expert)), dtype=bool)
        for row in size:
            fits &= row[:, None] + row <= 1 + DOUBT
        return cls(expert, count, fits, size.sum(axis=0))

    def refuted_by(self, value: np.ndarray, num_gpus: int) -> bool:
        """Whether the values show that the GPUs are too few."""
        weight = -(-value[self.expert] // self.count)
        needed = -(-int(value.sum()) // num_gpus)
        if weight.max() >= needed:
            return False
        order = np.flatnonzero(weight + weight.max() >= needed)
        heavy = weight[order][:, None] + weight[order] >= needed
        return not bool((heavy & self.fits[np.ix_(order, order)]).any())

    def values(self, num_gpus: int, deadline: Deadline) -> np.ndarray | None:
        """The dual's values, int64 [num_experts]; None where the GPUs suffice or time is over."""
        pairs = self._first_pairs()
        for _ in range(MAX_ROUNDS):
            if deadline.expired:
                return None
            num_needed, value, share = self._solve(pairs)
            if num_needed <= num_gpus + SLACK:
                return None
            sums = np.where(self.fits, share[:, None] + share, 0)
            worst = float(sums.max())
            if num_needed / max(worst, 1.0) > num_gpus * (1 + SLACK) + SLACK:
                whole: np.ndarray = np.floor(value / max(worst, 1.0) * VALUES_PER_UNIT)
                return whole.astype(np.int64)
            pairs = np.unique(np.concatenate([pairs, _most_violated(sums)]), axis=0)
        return None

    def _first_pairs(self) -> np.ndarray:
        """The pairs of every replica with its largest partners, int64 [num_pairs, 2]."""
        size = np.where(self.fits, self.size, -1)
        partner = np.argsort(-size, axis=1)[:, : 2 * PAIRS_ADDED]
        first = np.repeat(np.arange(len(size)), partner.shape[1])
        pairs = np.stack([first, partner.ravel()], axis=1)
        pairs = pairs[self.fits[pairs[:, 0], pairs[:, 1]]]
        return np.unique(np.sort(pairs, axis=1), axis=0)

    def _solve(self, pairs: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """The GPUs needed, the values v and the shares u of the dual with these pairs alone."""
        linprog, sparse = _import_scipy()
        num_experts, num_choices = int(self.expert[-1]) + 1, len(self.expert)
        row = np.arange(num_choices)
        column = np.concatenate([self.expert, num_experts + row])
        entry = np.concatenate([np.ones(num_choices), -self.count])
        shape = (num_choices, num_experts + num_choices)
        values = sparse.csr_matrix((entry, (np.tile(row, 2), column)), shape=shape)
        row = np.arange(len(pairs))
        column = num_experts + pairs.T.ravel()
        shape = (len(pairs), num_experts + num_choices)
        both = sparse.csr_matrix((np.ones(2 * len(pairs)), (np.tile(row, 2), column)), shape=shape)
        found = linprog(
            np.concatenate([-np.ones(num_experts), np.zeros(num_choices)]),
            A_ub=sparse.vstack([values, both]),
            b_ub=np.concatenate([np.zeros(num_choices), np.ones(len(pairs))]),
            bounds=[(0, None)] * num_experts + [(0, 1)] * num_choices,
            method="highs",
        )
        if found.x is None:
            return 0.0, np.zeros(num_experts), np.zeros(num_choices)
        return -float(found.fun), found.x[:num_experts], found.x[num_experts:]


def _most_violated(sums: np.ndarray) -> np.ndarray:
    """The pairs of every replica that exceed 1 by most, int64 [num_pairs, 2]."""
    partner = np.argpartition(-sums, PAIRS_ADDED, axis=1)[:, :PAIRS_ADDED]
    pairs = np.stack([np.repeat(np.arange(len(sums)), PAIRS_ADDED), partner.ravel()], axis=1)
    violated = sums[pairs[:, 0], pairs[:, 1]] > 1 + SLACK
    return np.sort(pairs[violated], axis=1)


def scenario_pairs(
    problem: Problem, lower_bound: Fraction, upper: Fraction, deadline: Deadline
) -> Certificate | None:
    """The certificate of the best bound that the time allows, or None where none is raised.

    Parameters
    ----------
    problem
        A problem of one layer, with scenarios and at most two slots a GPU.
    lower_bound, upper
        A proven lower bound of the layer, and the value of a plan.
    deadline
        The end of the search.
    """
    joint, constant = joint_levels(problem)
    if joint is None or problem.open_slots.max() > 2 or len(joint.ratio[0]) <= PAIRS_ADDED:
        return None
    worst = problem.objective == "max"
    offset = Fraction(0) if worst else constant
    low, high = float(lower_bound - offset), float(upper - offset)
    best, step, least_step = None, (high - low) * FIRST_STEP, (high - low) * LEAST_STEP
    num_gpus = int((problem.open_slots > 0).sum())
    known = PairRefutationTree(joint, 0.0, MAX_PARTS, deadline, num_gpus=num_gpus)
    while step > least_step and not deadline.expired:
        claim = low + step
        if claim >= high:
            step /= 2
            continue
        # A claim that takes longer is too high for the time.
        part = deadline.part(PART_OF_TIME)
        tree = replace(known, claim=claim * (1 + LOWERED), deadline=part, scenario=[], level=[])
        certificate = None
        if worst:
            leaf = tree.other_refutation(np.full(len(joint.share), claim))
            if leaf is not None:
                tree.scenario, tree.level = [leaf], [0]
                certificate = _certified(problem, claim, offset, tree)
        elif tree.refute(joint.least, np.full(len(joint.share), np.inf)):
            certificate = _certified(problem, claim, offset, tree)
        if certificate is None:
            step /= 2
        else:
            best, low = certificate, claim
    return best


def _certified(
    problem: Problem, claim: float, constant: Fraction, tree: PairRefutationTree
) -> Certificate | None:
    used = sorted({-2 - r for r in tree.scenario if r < -1})
    number = {old: -2 - new for new, old in enumerate(used)}
    scenario = [number[-2 - r] if r < -1 else r for r in tree.scenario]
    value = [int(v) for old in used for v in tree.lists[old].tolist()]
    return checked(problem, claim * (1 - CLAIM_LOWERED), constant, scenario, tree.level, value)


def _import_scipy() -> tuple[Any, Any]:
    """SciPy's `linprog` and its sparse matrices, or a message that names the extra."""
    try:
        return load_module("scipy.optimize").linprog, load_module("scipy.sparse")
    except ImportError as error:
        raise MissingDependency("scipy", "pairs") from error
