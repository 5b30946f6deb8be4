"""The restricted master of the configuration LP: a primal simplex that keeps its basis.

Rows are experts, columns are patterns: min sum cost_p lam_p with sum_p a_pe lam_p >= 1, where a_pe
adds up 1 / c over the replicas of e in p. (In the LP with count variables the dual value of a
replica may be lowered to v_e / c without loss, which folds the counts away and leaves this one.)
A few hundred rows: the inverse of the basis is kept dense and updated.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from eplb_opt.search.jit import jit

#: Reduced costs above -TOLERANCE are not worth a pivot.
TOLERANCE = 1e-9
#: Entries of a direction below it are rounding noise.
PIVOT_TOLERANCE = 1e-7
#: A pivot of the inverse below it is a zero.
SINGULAR = 1e-11
#: Pivots after which the inverse is computed afresh.
REFACTOR = 400
#: Rows need 1 plus up to so much: a plan's patterns make ties in every ratio test otherwise.
PERTURBATION = 1e-7
#: Cost of a pattern that no longer fits; it leaves the basis by ordinary pivots.
EXPELLED = 4.0
#: More columns at hand make a pivot slow.
MAX_COLUMNS = 4000


@dataclass(eq=False)
class Master:
    """Columns, a basis, and the inverse of its matrix.

    Parameters
    ----------
    num_experts, slots_per_gpu
        Rows, and replicas of a column at most.
    singles
        int64 [num_experts, 2], a first column for each expert: count, and replicas in it.

    Attributes
    ----------
    expert, count
        int64 [num_columns, slots_per_gpu], padded with -1.
    share
        float64 [num_columns, slots_per_gpu], 1 / count, or 0.
    cost
        float64 [num_columns].
    basis
        int64 [num_experts]: a column, or -1 - e for the surplus of row e.
    inverse
        float64 [num_experts, num_experts], transposed: row j is the inverse's column j.
    level
        float64 [num_experts], of the basic columns.
    dual
        float64 [num_experts].
    pivots
        So far.
    """

    num_experts: int
    slots_per_gpu: int
    singles: np.ndarray
    expert: np.ndarray = field(init=False)
    count: np.ndarray = field(init=False)
    share: np.ndarray = field(init=False)
    cost: np.ndarray = field(init=False)
    basis: np.ndarray = field(init=False)
    inverse: np.ndarray = field(init=False)
    level: np.ndarray = field(init=False)
    dual: np.ndarray = field(init=False)
    pivots: int = 0

    def __post_init__(self) -> None:
        num = self.num_experts
        self.expert = np.empty((0, self.slots_per_gpu), dtype=np.int64)
        self.count = np.empty((0, self.slots_per_gpu), dtype=np.int64)
        self.share = np.empty((0, self.slots_per_gpu))
        self.cost = np.empty(0)
        filled = np.arange(self.slots_per_gpu) < self.singles[:, 1:]
        self.add(
            np.where(filled, np.arange(num)[:, None], -1), np.where(filled, self.singles[:, :1], -1)
        )
        self.basis = np.arange(num)
        self._need = 1 + PERTURBATION * ((np.arange(num) * 7919 % 1009) / 1009)
        self.refactor()

    def add(self, expert: np.ndarray, count: np.ndarray) -> None:
        """More columns, int64 [num, slots_per_gpu] each."""
        share = np.where(expert >= 0, 1 / np.maximum(count, 1), 0.0)
        self.expert = np.concatenate([self.expert, expert])
        self.count = np.concatenate([self.count, count])
        self.share = np.concatenate([self.share, share])
        self.cost = np.concatenate([self.cost, np.ones(len(expert))])

    def refactor(self) -> None:
        """The inverse, levels and duals from the basis alone."""
        # Ours, not LAPACK's: its threads fight for the cores, and change the last bits.
        regular, inverse = invert_kernel(basis_kernel(self.expert, self.share, self.basis))
        # A basis that rounding made singular goes on with the updated inverse: what comes
        # out is verified in integers anyway.
        if regular:
            self.inverse = inverse
        self.level = (self.inverse * self._need[:, None]).sum(axis=0)
        self._recompute_dual()

    def _recompute_dual(self) -> None:
        used = self.basis >= 0
        cost = np.where(used, self.cost[np.maximum(self.basis, 0)], 0.0)
        self.dual = (self.inverse * cost).sum(axis=1)

    @property
    def value(self) -> float:
        """The objective."""
        used = self.basis >= 0
        return float(self.cost[self.basis[used]] @ self.level[used])

    def fits(self) -> bool:
        """Whether no expelled column is used."""
        used = self.basis >= 0
        return not (self.level[used][self.cost[self.basis[used]] > 1] > PERTURBATION).any()

    def optimise(self, max_pivots: int) -> int:
        """Pivot until the columns at hand are used best, or at most so often; pivots made."""
        made = 0
        while made < max_pivots:
            limit = min(max_pivots - made, REFACTOR - self.pivots % REFACTOR)
            step = int(
                pivot_kernel(
                    self.expert,
                    self.share,
                    self.cost,
                    self.basis,
                    self.inverse,
                    self.level,
                    self.dual,
                    limit,
                )
            )
            made += step
            self.pivots += step
            if step < limit:
                break
            if self.pivots % REFACTOR == 0:
                self.refactor()
        return made

    def expel(self, expelled: np.ndarray) -> None:
        """Mark columns (bool [num_columns]) as unfit, and all others as fit again."""
        self.cost = np.where(expelled, EXPELLED, 1.0)
        self._recompute_dual()

    def forget(self) -> None:
        """Where there are many columns, drop the worst half; those in the basis stay."""
        if len(self.cost) <= MAX_COLUMNS:
            return
        reduced = self.cost - (self.dual[np.maximum(self.expert, 0)] * self.share).sum(axis=1)
        stays = reduced <= np.median(reduced)
        stays[self.basis[self.basis >= 0]] = True
        new_idx = np.cumsum(stays) - 1
        self.basis = np.where(self.basis >= 0, new_idx[np.maximum(self.basis, 0)], self.basis)
        self.expert, self.count = self.expert[stays], self.count[stays]
        self.share, self.cost = self.share[stays], self.cost[stays]


@jit
def basis_kernel(expert, share, basis):  # type: ignore[no-untyped-def]
    """The basic columns as rows, float64 [num_experts, num_experts]."""
    rows = np.zeros((basis.shape[0], basis.shape[0]))
    for position in range(basis.shape[0]):
        column = basis[position]
        if column < 0:
            rows[position, -1 - column] = -1.0
        else:
            for k in range(expert.shape[1]):
                if expert[column, k] >= 0:
                    rows[position, expert[column, k]] += share[column, k]
    return rows


@jit
def invert_kernel(matrix):  # type: ignore[no-untyped-def]
    """Whether there is an inverse, and it, by Gauss-Jordan; overwrites the matrix."""
    num = matrix.shape[0]
    inverse = np.eye(num)
    for k in range(num):
        row = k + np.argmax(np.abs(matrix[k:, k]))
        if row != k:
            for j in range(num):
                matrix[k, j], matrix[row, j] = matrix[row, j], matrix[k, j]
                inverse[k, j], inverse[row, j] = inverse[row, j], inverse[k, j]
        if abs(matrix[k, k]) < SINGULAR:
            return False, inverse
        scale = 1.0 / matrix[k, k]
        matrix[k] *= scale
        inverse[k] *= scale
        for i in range(num):
            factor = matrix[i, k]
            if i != k and factor != 0.0:
                matrix[i] -= factor * matrix[k]
                inverse[i] -= factor * inverse[k]
    return True, inverse


@jit
def entering(expert, share, cost, dual):  # type: ignore[no-untyped-def]
    """The column of least reduced cost and that cost; -1 - e for the surplus of row e."""
    best, column = -TOLERANCE, 0
    found = False
    for p in range(expert.shape[0]):
        if cost[p] > 1.0:
            continue
        reduced = cost[p]
        for k in range(expert.shape[1]):
            if expert[p, k] >= 0:
                reduced -= dual[expert[p, k]] * share[p, k]
        if reduced < best:
            best, column, found = reduced, p, True
    for e in range(dual.shape[0]):
        if dual[e] < best:
            best, column, found = dual[e], -1 - e, True
    return found, column, best


@jit
def leaving(level, direction):  # type: ignore[no-untyped-def]
    """The position that runs empty first, -1 for none; of ties the largest pivot."""
    row, least = -1, np.inf
    for i in range(level.shape[0]):
        if direction[i] > PIVOT_TOLERANCE:
            ratio = max(level[i], 0.0) / direction[i]
            if ratio < least - 1e-12 or (ratio < least + 1e-12 and direction[i] > direction[row]):
                row, least = i, min(ratio, least)
    return row, least


@jit
def pivot_kernel(expert, share, cost, basis, inverse, level, dual, limit):  # type: ignore[no-untyped-def]
    """Primal simplex by largest reduced cost; returns the pivots made. Writes the last five."""
    num = level.shape[0]
    direction = np.empty(num)
    for step in range(limit):
        found, column, reduced = entering(expert, share, cost, dual)
        if not found:
            return step
        direction[:] = 0.0
        if column < 0:
            direction -= inverse[-1 - column]
        else:
            for k in range(expert.shape[1]):
                if expert[column, k] >= 0:
                    direction += share[column, k] * inverse[expert[column, k]]
        row, ratio = leaving(level, direction)
        if row < 0:
            return step
        pivot = direction[row]
        for i in range(num):
            level[i] -= ratio * direction[i]
        level[row] = ratio
        basis[row] = column
        for j in range(num):
            scaled = inverse[j, row] / pivot
            if scaled != 0.0:
                dual[j] += reduced * scaled
                for i in range(num):
                    inverse[j, i] -= scaled * direction[i]
                inverse[j, row] = scaled
    return limit
