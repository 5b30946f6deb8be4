"""Is it worth it? The time that moving experts takes against the time that it saves.

A step waits in every layer for its fullest GPU, so the time that a step loses to imbalance grows
with the largest GPU load less the mean. Moving experts costs time once, and the better plan saves
time at every step until the next rebalance. All numbers of `MoveCost` can be read off a running
engine; the guide's page on serving says where.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.placement.moves import move_price
from eplb_opt.placement.plan import as_plan
from eplb_opt.placement.scoring import exact_sum
from eplb_opt.problem.arrays import MAX_BYTES, as_int

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True)
class MoveCost:
    """What moving an expert costs, and what a level plan saves until the next rebalance.

    Engines move the experts of one layer after another, and the GPUs of a layer receive theirs at
    the same time. So a layer takes as long as the GPU that receives most: its number of new experts
    times `expert_bytes` / `bandwidth`. Of a step the part `moe_share` grows with the largest GPU
    loads of the layers, added up; the rest does not depend on the plan.

    Parameters
    ----------
    expert_bytes
        Bytes of the weights of one expert in one layer, with the scales of quantised ones.
    bandwidth
        Bytes a second at which a GPU receives experts while the engine serves; infinite where
        moving is to cost nothing.
    step_seconds
        Seconds of a step of the model under the plan in force.
    moe_share
        Part of such a step that grows with the fullest GPU: the experts' computation, and the
        wait for the slowest GPU after it; above 0, at most 1.
    steps_until_next
        Steps between two rebalances.

    Raises
    ------
    ProblemError
        For a number that cannot be used.
    """

    expert_bytes: int
    bandwidth: float
    step_seconds: float
    moe_share: float
    steps_until_next: int

    def __post_init__(self) -> None:
        expert_bytes = as_int(self.expert_bytes, "expert_bytes", most=MAX_BYTES)
        object.__setattr__(self, "expert_bytes", expert_bytes)
        object.__setattr__(
            self, "steps_until_next", as_int(self.steps_until_next, "steps_until_next")
        )
        for name, most in (("bandwidth", math.inf), ("step_seconds", 1e9), ("moe_share", 1.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float | np.number):
                raise ProblemError(f"{name}={value!r} is no number.")
            if not 0 < value <= most:
                raise ProblemError(f"{name}={value} must be above 0 and at most {most:g}.")
            object.__setattr__(self, name, float(value))

    @property
    def move_seconds(self) -> float:
        """Seconds that a GPU takes to receive one expert of one layer; 0 where that is free."""
        return float(self._move())

    @property
    def moe_seconds(self) -> float:
        """Seconds until the next rebalance that grow with the fullest GPUs."""
        return float(self._moe())

    def _move(self) -> Fraction:
        if math.isinf(self.bandwidth):
            return Fraction(0)
        return self.expert_bytes / Fraction(self.bandwidth)

    def _moe(self) -> Fraction:
        return self.steps_until_next * Fraction(self.step_seconds) * Fraction(self.moe_share)

    def load_per_move(self, in_force: Fraction) -> Fraction:
        """The load that is worth one move: without it as much time is saved as the move takes.

        Parameters
        ----------
        in_force
            The largest GPU loads under the plan in force, summed over the layers.

        Returns
        -------
        Fraction
            In the unit of `in_force`.
        """
        return self._move() * in_force / self._moe()

    def assess(
        self, problem: Problem, current: Any, plan: Any, cross_node_price: int = 1
    ) -> MoveAssessment:
        """What it costs and brings to change from one plan to another.

        Parameters
        ----------
        problem
            The loads that are expected until the next rebalance, and the machine. With scenarios
            or a topology the objective is read as time: what is above 1 is lost.
        current, plan
            The plan in force and the new one, each a Plan or [num_layers, num_slots] ids.
        cross_node_price
            How many times as long a move takes to a node on which its expert did not stand.

        Returns
        -------
        MoveAssessment
            Seconds, layer by layer.

        Raises
        ------
        PlanError
            When one of them breaks a rule of the problem.
        """
        old, new = as_plan(current, problem), as_plan(plan, problem)
        units = [problem.unit(layer_idx) for layer_idx in range(problem.num_layers)]
        before, after = (
            [value * unit for value, unit in zip(p.objectives(problem), units, strict=True)]
            for p in (old, new)
        )
        if problem.counts_ratios:
            mean = [Fraction(1)] * problem.num_layers
        else:
            totals = problem.load.sum(axis=1).tolist()
            mean = [t / Fraction(problem.capacity) * u for t, u in zip(totals, units, strict=True)]
        in_force = exact_sum(before)
        rate = self._moe() / in_force if in_force else Fraction(0)
        busiest = move_price(problem, cross_node_price).by_gpu(old, new).max(axis=1)
        return MoveAssessment(
            busiest=busiest,
            moving=busiest * self.move_seconds,
            before=_seconds(before, mean, rate),
            after=_seconds(after, mean, rate),
        )


def _seconds(largest: list[Fraction], mean: list[Fraction], rate: Fraction) -> np.ndarray:
    return np.array([float((a - b) * rate) for a, b in zip(largest, mean, strict=True)])


@dataclass(frozen=True, eq=False)
class MoveAssessment:
    """Seconds that a change of plan costs and saves until the next rebalance, layer by layer.

    Parameters
    ----------
    busiest
        int64 [num_layers], the most experts that a GPU receives, as they count.
    moving
        float64 [num_layers], seconds lost to moving them.
    before, after
        float64 [num_layers], seconds lost to imbalance until the next rebalance: under the plan in
        force, and under the new one.
    """

    busiest: np.ndarray
    moving: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def net(self) -> np.ndarray:
        """Seconds saved, float64 [num_layers]; below 0 where the change loses."""
        return np.asarray(self.before - self.after - self.moving)

    @property
    def net_seconds(self) -> float:
        """Seconds saved in all layers together."""
        return math.fsum(self.net.tolist())

    @property
    def is_worth_it(self) -> bool:
        """Whether the change saves more time than it costs."""
        return self.net_seconds > 0

    def json(self) -> dict[str, Any]:
        """The seconds as a script wants them.

        Returns
        -------
        dict
            "net_seconds", "is_worth_it", and the arrays by name.
        """
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"net_seconds": self.net_seconds, "is_worth_it": self.is_worth_it, **arrays}

    def __str__(self) -> str:
        lost = [math.fsum(values.tolist()) for values in (self.moving, self.before, self.after)]
        moving, before, after = (f"{value:.3g} s" for value in lost)
        if not self.busiest.any():
            return f"no move is worth it; imbalance until the next rebalance costs {after}"
        verdict = "saves" if self.is_worth_it else "loses"
        return (
            f"moving takes {moving}; imbalance until the next rebalance costs {after} instead of "
            f"{before}: the change {verdict} {abs(self.net_seconds):.3g} s"
        )


def cheapest_point(
    busiest: Sequence[int], load: Sequence[int | Fraction], load_per_move: int | Fraction
) -> int:
    """The point of a layer's front at which moving and imbalance together cost least.

    Parameters
    ----------
    busiest
        Of every point, fewest moves first, the most experts that a GPU receives.
    load
        The largest GPU load of every point.
    load_per_move
        The load that is worth one move, in the same unit; see `MoveCost.load_per_move`.

    Returns
    -------
    int
        Index of the point; of equal ones the first.
    """
    return min(range(len(load)), key=lambda i: (busiest[i] * load_per_move + load[i], i))


def refuse_two_limits(max_moves: Any, move_tolerance: Any, move_cost: Any) -> None:
    """Refuse limits on moves that exclude each other, and a move cost that is none.

    Raises
    ------
    ProblemError
        With the limits that were given.
    """
    limits = {"max_moves": max_moves, "move_tolerance": move_tolerance, "move_cost": move_cost}
    given = [f"{name}={value}" for name, value in limits.items() if value is not None]
    if len(given) > 1:
        raise ProblemError(f"{' and '.join(given)} exclude each other; give one of them.")
    if move_cost is not None and not isinstance(move_cost, MoveCost):
        raise ProblemError(f"move_cost={move_cost!r} must be an eplb_opt.MoveCost.")


def read_move_cost(text: str, name: str) -> MoveCost:
    """A move cost from a setting such as "expert_bytes=44040192,bandwidth=5e10,...".

    Parameters
    ----------
    text
        All five numbers of `MoveCost`, in any order.
    name
        Of the setting, for messages.

    Raises
    ------
    ProblemError
        When a number is missing, unknown, given twice or cannot be used.
    """
    wanted = [field.name for field in fields(MoveCost)]
    form = ",".join(f"{key}=..." for key in wanted)
    found: dict[str, float] = {}
    for part in text.split(","):
        key, is_pair, value = (piece.strip() for piece in part.partition("="))
        if not is_pair or key not in wanted or key in found:
            raise ProblemError(f"{name}={text!r}: {part.strip()!r} is not understood; give {form}.")
        found[key] = _read_number(value, key, name)
    missing = [key for key in wanted if key not in found]
    if missing:
        raise ProblemError(f"{name}={text!r} lacks {', '.join(missing)}; give {form}.")
    try:
        return MoveCost(**found)  # type: ignore[arg-type]
    except ProblemError as error:
        raise ProblemError(f"{name}: {error}") from error


def _read_number(value: str, key: str, name: str) -> float:
    try:
        number = float(value)
    except ValueError as error:
        raise ProblemError(f"{name}: {key}={value!r} is no number.") from error
    return int(number) if number.is_integer() else number
