"""Complete enumeration of the replica counts, for few experts or one slot a GPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.water_level import water_levels
from eplb_opt.certificates import verify
from eplb_opt.certificates.certificate import Certificate, CertificateError
from eplb_opt.exact.pairs.counts import exact_value, pair_up
from eplb_opt.exact.pairs.fixed_point import ScaledLayer
from eplb_opt.exact.shared.answer import ModelAnswer
from eplb_opt.exact.shared.model_calls import as_answer, call_model
from eplb_opt.exact.shared.start import plain_start_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Answer, Options, Task

#: Count vectors that a unit of effort pays for; they take about a millisecond.
VECTORS_PER_UNIT = 1000


@dataclass(frozen=True)
class EnumerationParams:
    """Settings of the enumeration.

    Parameters
    ----------
    max_cells
        A layer with more count vectors times slots is refused.
    chunk_cells
        The count vectors times slots between two looks at the clock.
    """

    max_cells: int = 1_000_000
    chunk_cells: int = 200_000


@dataclass(frozen=True, eq=False)
class EnumerationModel:
    """A `LayerModel`: the exact optimum where looking at all replica counts is quick.

    With one slot a GPU the water level is the optimum. With two, the best plan for given counts
    pairs the heaviest replica with the lightest, so the best of all count vectors is the optimum.
    More slots are refused.

    Parameters
    ----------
    params
        The settings of the model.
    """

    params: EnumerationParams = EnumerationParams()

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
        """Solve one layer as `LayerModel` describes.

        A unit of effort is a thousand count vectors. Nothing is random: `seed` has no effect.
        """
        upper = plain_start_value(problem, start)
        if upper <= lower_bound:
            return ModelAnswer(start.copy(), lower_bound, message="the start meets the bound")
        if problem.is_hierarchical and problem.num_gpus > 1:
            return _refused("enumeration takes flat problems")
        if problem.slots_per_gpu == 1:
            return _one_slot_a_gpu(problem)
        if problem.slots_per_gpu != 2 or problem.colocation == "forbid":
            return _refused("enumeration takes one slot a GPU, or two that may hold one expert")
        return self._two_slots(problem, start, upper, lower_bound, deadline, effort)

    def _two_slots(
        self,
        problem: Problem,
        start: np.ndarray,
        upper: Fraction,
        lower_bound: Fraction,
        deadline: Deadline,
        effort: int | None,
    ) -> ModelAnswer:
        load = problem.load[0]
        layer = ScaledLayer.of(load, problem.num_slots)
        fewest = np.array([_ceil(int(w) / upper) for w in load])
        spare = problem.num_slots - int(fewest.sum())
        num_vectors = comb(spare + len(load) - 1, spare)
        most = self.params.max_cells // problem.num_slots
        if num_vectors > most:
            return _refused(f"{num_vectors} count vectors, more than {most}")
        chunk = max(self.params.chunk_cells // problem.num_slots, 1)
        allowed = num_vectors if effort is None else effort * VECTORS_PER_UNIT
        best = _Best(layer, np.bincount(start, minlength=len(load)))
        for at, extra in enumerate(_chunks(compositions(spare, len(load)), chunk)):
            if (at * chunk >= allowed) if effort is not None else deadline.expired:
                return _answer(load, best.counts, start, upper, lower_bound, "the budget is spent")
            best.look(fewest + extra)
        value = min(exact_value(load, best.counts), upper)
        answer = _answer(load, best.counts, start, upper, value, f"{num_vectors} count vectors")
        return replace(answer, certificate=_certificate(problem, value))


@dataclass(eq=False)
class _Best:
    """The best counts so far, and the largest GPU load of their best plan in fixed point."""

    layer: ScaledLayer
    counts: np.ndarray

    def __post_init__(self) -> None:
        self.units = paired_values(self.layer, self.counts[None, :])[0]

    def look(self, counts: np.ndarray) -> None:
        """Compare some count vectors, [num_vectors, num_experts]."""
        units = paired_values(self.layer, counts)
        first = int(units.argmin())
        if units[first] < self.units:
            self.units, self.counts = units[first], counts[first]


def paired_values(layer: ScaledLayer, counts: np.ndarray) -> np.ndarray:
    """The largest GPU load of the best plan with each count vector, in fixed point, [num_vectors].

    Replicas are rounded down to units, so a sum of two is less than two units off. Different
    sums are four units apart or more (`ScaledLayer`): a value that is smaller here, or equal, truly
    is; and two values that differ by one unit are the same.

    Parameters
    ----------
    layer
        The loads in fixed point.
    counts
        int64 [num_vectors, num_experts], rows adding up to the slots.
    """
    share = (layer.scaled // counts).ravel()
    replicas = np.repeat(share, counts.ravel()).reshape(len(counts), layer.num_slots)
    replicas.sort(axis=1)
    half = layer.num_slots // 2
    return np.asarray((replicas[:, :half] + replicas[:, : half - 1 : -1]).max(axis=1))


def compositions(total: int, parts: int) -> np.ndarray:
    """All ways to write a total as a sum of non-negative parts, int64 [num_ways, parts]."""
    ways = np.zeros((1, 0), dtype=np.int64)
    left = np.array([total])
    for _ in range(parts - 1):
        times = left + 1
        first = np.repeat(np.cumsum(times) - times, times)
        part = np.arange(len(first)) - first
        ways = np.column_stack([np.repeat(ways, times, axis=0), part])
        left = np.repeat(left, times) - part
    return np.column_stack([ways, left])


def _chunks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (rows[begin : begin + size] for begin in range(0, len(rows), size))


def _one_slot_a_gpu(problem: Problem) -> ModelAnswer:
    """The water level is the optimum: here every replica is a GPU's whole load."""
    load = problem.load[0]
    level = water_levels(problem.load, problem.num_slots)[0]
    counts = np.array([_ceil(int(w) / level) if level else 1 for w in load])
    counts[int(load.argmax())] += problem.num_slots - int(counts.sum())
    placed = np.repeat(np.arange(len(load)), counts)
    return ModelAnswer(placed, level, message="the water level")


def _answer(
    load: np.ndarray,
    counts: np.ndarray,
    start: np.ndarray,
    upper: Fraction,
    lower_bound: Fraction,
    message: str,
) -> ModelAnswer:
    improved = exact_value(load, counts) < upper
    placed = pair_up(load, counts).ravel() if improved else start.copy()
    return ModelAnswer(placed, lower_bound, first_objective=upper, message=message)


def _certificate(problem: Problem, bound: Fraction) -> Certificate | None:
    """The certificate, a bound alone; None where the verifier cannot tell sums of such loads."""
    certificate = Certificate("enumeration", bound, {})
    try:
        verify(problem, certificate)
    except CertificateError:
        return None
    return certificate


class EnumerationSolver:
    """Enumeration as a solver of the schedule; it takes milliseconds or refuses.

    Parameters
    ----------
    problem
        A problem of one layer.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.solve_layer = EnumerationModel()

    def solve(self, task: Task) -> Answer:
        """Call the model once for the turn."""
        return as_answer("enumeration", call_model(self.solve_layer, task, task.deadline))


def _refused(reason: str) -> ModelAnswer:
    return ModelAnswer(None, Fraction(0), message=f"refused: {reason}", refused=True)


def _ceil(value: Fraction) -> int:
    """Rounded up, at least 1."""
    return max(-(-value.numerator // value.denominator), 1)
