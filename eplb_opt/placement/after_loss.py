"""What a plan is worth after the loss of any one GPU, or of any one node."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.placement.caller_units import objective_in_caller_units
from eplb_opt.placement.level_flow import least_level
from eplb_opt.placement.plan import as_plan
from eplb_opt.placement.scoring import FLOAT_DOUBT
from eplb_opt.problem.checks import SPREADS

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class AfterLoss:
    """The worst that the loss of one GPU or node does to every layer.

    Each figure is over all losses for itself: the loss that makes one GPU the heaviest need not be
    the one that takes the most experts.

    Parameters
    ----------
    problem
        The problem that the plan is for.
    objective
        [num_layers], the largest GPU load of all that are left, exact, in the problem's integer
        units, over speed where GPUs have one.
    worst
        int64 [num_layers], the GPU or node whose loss makes it so.
    experts_lost
        int64 [num_layers], the most experts that one loss leaves without a replica.
    tokens_lost
        [num_layers], the largest share of a layer's load that belongs to experts lost so.
    """

    problem: Problem
    objective: tuple[Fraction, ...]
    worst: np.ndarray
    experts_lost: np.ndarray
    tokens_lost: tuple[Fraction, ...]

    @property
    def largest_load(self) -> np.ndarray:
        """The objective in the caller's unit, float64 [num_layers], rounded up."""
        return objective_in_caller_units(self.problem, list(self.objective))

    @property
    def survives(self) -> bool:
        """Whether no loss leaves any expert without a replica."""
        return not self.experts_lost.any()


def loads_after_loss(problem: Problem, plan: Any, of: str = "gpu") -> AfterLoss:
    """The worst GPU load after any single loss, while nothing is planned anew.

    The tokens of a lost replica go evenly to its expert's replicas that are left; or, under optimal
    dispatch, all tokens are split anew over what is left, so that the largest GPU load is least. An
    expert without a replica is lost itself: it is counted, and its tokens load nobody.

    Parameters
    ----------
    problem
        Without scenarios; for one of them take `problem.scenario(i)`.
    plan
        A Plan or [num_layers, num_slots] expert ids; as it is, whether its experts are spread
        or not.
    of
        "gpu" or "node": what is lost at a time. Those that have no slots cannot be.

    Raises
    ------
    ProblemError
        For scenarios, another `of`, or where a loss would leave no GPU.
    PlanError
        When the plan breaks a rule of the problem.
    """
    if problem.has_scenarios:
        raise ProblemError("A loss is scored under one load; take problem.scenario(i).")
    if problem.dispatch not in LAYERS:
        raise ProblemError(
            f'What a loss makes of dispatch="{problem.dispatch}" is not known; score it under '
            f"{' or '.join(LAYERS)}: problem.with_dispatch()."
        )
    if of not in SPREADS:
        raise ProblemError(f"of={of!r} is unknown; known: {', '.join(SPREADS)}.")
    placed = as_plan(plan, problem).physical_to_logical
    per_unit = problem.gpus_per_node if of == "node" else 1
    used = problem.open_slots.reshape(-1, per_unit).sum(axis=1) > 0
    if used.sum() < 2:
        raise ProblemError(f"There is one {of} with slots; its loss leaves no GPU.")
    kind = LAYERS[problem.dispatch]
    layers = [kind.of(problem, row, placed[row], per_unit) for row in range(problem.num_layers)]
    worst = [layer.worst(np.flatnonzero(used)) for layer in layers]
    return AfterLoss(
        problem,
        tuple(value for value, _ in worst),
        np.array([unit for _, unit in worst]),
        np.array([int(layer.is_lost.sum(axis=0).max()) for layer in layers]),
        tuple(layer.tokens_lost() for layer in layers),
    )


@dataclass(frozen=True, eq=False)
class _Layer:
    """One layer's replicas by expert and place.

    Parameters
    ----------
    load
        [num_experts].
    replicas
        int64 [num_experts, num_gpus].
    left
        int64 [num_experts, num_units], replicas when a unit (a GPU or a node) is lost.
    speed
        [num_gpus].
    """

    load: list[int]
    replicas: np.ndarray
    left: np.ndarray
    speed: tuple[Fraction, ...]

    @classmethod
    def of(cls, problem: Problem, layer_idx: int, placed: np.ndarray, per_unit: int) -> Self:
        replicas = np.zeros((problem.num_experts, problem.num_gpus), dtype=np.int64)
        slot = np.flatnonzero(placed >= 0)
        np.add.at(replicas, (placed[slot], slot // problem.slots_per_gpu), 1)
        on_unit = replicas.reshape(problem.num_experts, -1, per_unit).sum(axis=2)
        left = replicas.sum(axis=1, keepdims=True) - on_unit
        return cls(problem.load[layer_idx].tolist(), replicas, left, problem.speed)

    @property
    def is_lost(self) -> np.ndarray:
        """Experts that a unit's loss leaves without a replica, bool [num_experts, num_units]."""
        return np.asarray(self.left == 0)

    def tokens_lost(self) -> Fraction:
        """The largest share of the load whose experts one loss takes."""
        load = np.array(self.load)
        most = max((int(load[lost].sum()) for lost in self.is_lost.T), default=0)
        return Fraction(most, sum(self.load)) if most else Fraction(0)

    def worst(self, unit_idx: np.ndarray) -> tuple[Fraction, int]:
        """The largest GPU load after the loss of one of these units, and the first such unit."""
        rough = self._rough()[unit_idx]
        # Floats only choose which can be the largest; each of those is then added up exactly.
        doubtful = np.argwhere(rough >= rough.max() * (1 - FLOAT_DOUBT))
        known: dict[tuple[tuple[int, ...], Fraction], Fraction] = {}
        values = [
            (self._exact(int(unit_idx[row]), int(gpu), known), -int(unit_idx[row]))
            for row, gpu in doubtful.tolist()
        ]
        value, unit = max(values)
        return value, -unit

    def _rough(self) -> np.ndarray:
        """Loads after each loss, tokens going evenly, float64 [num_units, num_gpus]; -1 lost."""
        speed = np.array([float(s) for s in self.speed])
        share = np.array(self.load)[:, None] / np.maximum(self.left, 1)
        rough = (share.T @ self.replicas) / speed
        rough[self._is_gone] = -1
        return np.asarray(rough)

    @property
    def _is_gone(self) -> np.ndarray:
        """GPUs of each unit, bool [num_units, num_gpus]."""
        num_units, num_gpus = self.left.shape[1], len(self.speed)
        unit = np.arange(num_gpus) // (num_gpus // num_units)
        return np.asarray(np.arange(num_units)[:, None] == unit)

    def _exact(
        self, unit: int, gpu: int, known: dict[tuple[tuple[int, ...], Fraction], Fraction]
    ) -> Fraction:
        held = np.flatnonzero(self.replicas[:, gpu])
        left, times = self.left[held, unit].tolist(), self.replicas[held, gpu].tolist()
        parts = sorted(zip((self.load[e] for e in held), left, times, strict=True))
        key = (tuple(number for part in parts for number in part), self.speed[gpu])
        if key not in known:
            loads = (Fraction(w * copies, c) for w, c, copies in parts)
            known[key] = sum(loads, Fraction(0)) / self.speed[gpu]
        return known[key]


class _FreeLayer(_Layer):
    """The same where tokens are split anew after a loss: each is a flow of its own."""

    def worst(self, unit_idx: np.ndarray) -> tuple[Fraction, int]:
        """The largest load, and the unit whose loss makes it.

        A flow is computed only where the even split leaves at least the most found so far.
        """
        at_most = self._rough().max(axis=1) * (1 + FLOAT_DOUBT)
        value, worst = Fraction(-1), -1
        for unit in sorted(unit_idx.tolist(), key=lambda unit: -at_most[unit]):
            if at_most[unit] < value:
                break
            level = self._level(unit)
            if level > value or (level == value and unit < worst):
                value, worst = level, unit
        return value, worst

    def _level(self, unit: int) -> Fraction:
        left = np.flatnonzero(~self._is_gone[unit])
        hosts = [np.flatnonzero(row).tolist() for row in self.replicas[:, left]]
        load = [w if on else 0 for w, on in zip(self.load, hosts, strict=True)]
        speed = [self.speed[gpu] for gpu in left.tolist()]
        return least_level(load, hosts, len(left), None if set(speed) == {1} else speed).level


#: By a problem's dispatch.
LAYERS: dict[str, type[_Layer]] = {"uniform": _Layer, "optimal": _FreeLayer}
