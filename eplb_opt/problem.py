"""What is to be planned: loads, slots and topology, validated once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from eplb_opt.arrays import as_int, as_numpy
from eplb_opt.errors import ProblemError
from eplb_opt.units import check_loads, to_units

#: How the scenarios' figures become one: their weighted mean, or the worst of them.
OBJECTIVES = ("mean", "max")
COLOCATIONS = ("allow", "forbid")


@dataclass(frozen=True, eq=False)
class Problem:
    """Expert loads and the machine they are to be spread over.

    The layers are independent. Every slot holds one replica of a logical expert,
    every expert has at least one, and a replica of an expert with `count` of them
    carries `load / count`. The objective of a layer is its largest GPU load.

    With scenarios one plan serves several loads. Each scenario then counts with its largest GPU
    load over its own mean GPU load (1 is perfect; a scenario without load counts as 1), and the
    objective of a layer is their weighted mean or the worst of them.

    Parameters
    ----------
    load
        [num_layers, num_experts], or [num_scenarios, num_layers, num_experts]; tokens or any
        unit, not negative. Integers are exact. Floats
        become integers of a power-of-two unit, one a layer: exactly where the layer's total
        stays below 2**62 such units, else rounded down (relative error below 1e-12 of the
        total), and what is reported is widened by that error.
    num_slots
        Physical experts a layer, over all GPUs; slot p is on GPU p // slots_per_gpu.
    num_gpus
        GPUs; node n holds the consecutive ones from n * gpus_per_node.
    num_nodes, num_groups
        With more than one of both the problem is hierarchical: experts come in num_groups equal
        consecutive groups, each node takes equally many, and all replicas of a group's experts
        stay on its node. Otherwise nodes constrain nothing.
    colocation
        "allow" or "forbid" two replicas of an expert on one GPU.
    scenario_weights
        [num_scenarios], not negative, some above 0; alike by default. They are divided by their
        sum. With objective "max" a scenario counts in full or, at weight 0, not at all.
    objective
        "mean" or "max" over the scenarios.

    Attributes
    ----------
    load
        int64, shaped as it was given, in units of 2**-unit_exponent, read-only.
    unit_exponent
        int64 [num_layers] or [num_scenarios, num_layers]; 0 for integer loads.
    rounded
        bool, of the same shape; True where a float load did not fit and was rounded down.
    scenario_weights
        float64 [num_scenarios] as given, or None without scenarios.

    Raises
    ------
    ProblemError
        With the numbers and the mend, for anything that cannot be planned.
    """

    load: np.ndarray
    num_slots: int
    num_gpus: int
    num_nodes: int = 1
    num_groups: int = 1
    colocation: str = "allow"
    scenario_weights: np.ndarray | None = None
    objective: str = "mean"
    unit_exponent: np.ndarray = field(init=False)
    rounded: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        for name in ("num_slots", "num_gpus", "num_nodes", "num_groups"):
            object.__setattr__(self, name, as_int(getattr(self, name), name))
        values = as_numpy(self.load, "load")
        check_loads(values)
        for name, array in zip(("load", "unit_exponent", "rounded"), to_units(values), strict=True):
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        weights = _scenario_weights(self.scenario_weights, values.shape[:-2], self.objective)
        object.__setattr__(self, "scenario_weights", weights)
        _check_topology(self)

    @property
    def num_layers(self) -> int:
        return int(self.load.shape[-2])

    @property
    def num_experts(self) -> int:
        return int(self.load.shape[-1])

    @property
    def has_scenarios(self) -> bool:
        return self.load.ndim == 3

    @property
    def num_scenarios(self) -> int:
        return int(self.load.shape[0]) if self.has_scenarios else 1

    @cached_property
    def shares(self) -> tuple[Fraction, ...]:
        """The scenarios' exact weights; they add up to 1."""
        if self.scenario_weights is None:
            return (Fraction(1),)
        weights = [Fraction(weight) for weight in self.scenario_weights.tolist()]
        return tuple(weight / sum(weights) for weight in weights)

    @property
    def slots_per_gpu(self) -> int:
        return self.num_slots // self.num_gpus

    @property
    def is_hierarchical(self) -> bool:
        return self.num_nodes > 1 and self.num_groups > 1

    @property
    def gpus_per_node(self) -> int:
        return self.num_gpus // self.num_nodes

    @property
    def slots_per_node(self) -> int:
        return self.num_slots // self.num_nodes

    @property
    def groups_per_node(self) -> int:
        return self.num_groups // self.num_nodes

    @property
    def experts_per_group(self) -> int:
        return self.num_experts // self.num_groups

    def layer(self, layer_idx: int) -> Problem:
        """The problem of one layer alone; its loads keep the unit of this problem."""
        return self._with(np.s_[..., layer_idx : layer_idx + 1])

    def scenario(self, scenario_idx: int) -> Problem:
        """The problem of one scenario alone; its objective is the largest GPU load."""
        at = np.s_[scenario_idx] if self.has_scenarios else np.s_[...]
        return self._with(at, scenario_weights=None)

    def flat(self) -> Problem:
        """The same loads with nothing to keep on a node."""
        return self._with(np.s_[...], num_nodes=1, num_groups=1)

    def with_colocation(self, colocation: str) -> Problem:
        """The same loads under another rule for replicas of one expert."""
        return self._with(np.s_[...], colocation=colocation)

    def with_objective(self, objective: str) -> Problem:
        """The same loads with the scenarios put together in another way.

        Raises
        ------
        ProblemError
            When there is no such way.
        """
        return self._with(np.s_[...], objective=objective)

    def _with(self, at: Any, **changes: Any) -> Problem:
        """A part of the loads and other fields; integers pass unchanged, so units are carried."""
        load = self.load[(*at, np.s_[:]) if isinstance(at, tuple) else at]
        changed = replace(self, load=load, **changes)
        object.__setattr__(changed, "unit_exponent", self.unit_exponent[at])
        object.__setattr__(changed, "rounded", self.rounded[at])
        return changed

    def half_token(self, layer_idx: int) -> Fraction:
        """Half a unit of the caller's integer loads, in what a layer's objective is counted in."""
        if not self.has_scenarios:
            return Fraction(2 ** int(self.unit_exponent[layer_idx]), 2)
        rows = zip(
            self.unit_exponent[:, layer_idx].tolist(),
            self.load[:, layer_idx].sum(axis=-1).tolist(),
            strict=True,
        )
        return min(Fraction(2**exponent * self.num_gpus, 2 * max(w, 1)) for exponent, w in rows)

    def unit(self, layer_idx: int) -> Fraction:
        """What one of a layer's objective is worth in the caller's own unit.

        With scenarios objectives are ratios, and need none.
        """
        if self.has_scenarios:
            return Fraction(1)
        return Fraction(1, 2 ** int(self.unit_exponent[layer_idx]))


def _scenario_weights(weights: Any, scenarios: tuple[int, ...], objective: str) -> Any:
    if objective not in OBJECTIVES:
        raise ProblemError(f"objective={objective!r} is unknown; known: {', '.join(OBJECTIVES)}.")
    if not scenarios:
        if weights is None:
            return None
        raise ProblemError(
            "scenario_weights need loads of shape [num_scenarios, num_layers, num_experts]."
        )
    given = np.ones(scenarios) if weights is None else as_numpy(weights, "scenario_weights")
    given = given.astype(np.float64)
    if given.shape != scenarios:
        raise ProblemError(
            f"scenario_weights has shape {list(given.shape)}; there are {scenarios[0]} scenarios."
        )
    if not np.isfinite(given).all() or given.min() < 0 or given.max() == 0:
        raise ProblemError(
            f"scenario_weights range from {given.min()} to {given.max()}; they must be finite and "
            "at least 0, and not all 0."
        )
    given.flags.writeable = False
    return given


def _check_topology(problem: Problem) -> None:
    num_slots, num_gpus, num_experts = problem.num_slots, problem.num_gpus, problem.num_experts
    if problem.colocation not in COLOCATIONS:
        raise ProblemError(
            f"colocation={problem.colocation!r} is unknown; known: {', '.join(COLOCATIONS)}."
        )
    _check_divides("num_slots", num_slots, "num_gpus", num_gpus)
    if num_slots < num_experts:
        raise ProblemError(
            f"num_slots={num_slots} is below the {num_experts} experts; every expert needs a slot: "
            f"take at least {-(-num_experts // num_gpus) * num_gpus} slots on {num_gpus} GPUs."
        )
    _check_divides("num_gpus", num_gpus, "num_nodes", problem.num_nodes)
    _check_divides("The number of experts", num_experts, "num_groups", problem.num_groups)
    if problem.is_hierarchical:
        _check_divides("num_groups", problem.num_groups, "num_nodes", problem.num_nodes)
    distinct = num_experts // problem.num_nodes if problem.is_hierarchical else num_experts
    if problem.colocation == "forbid" and problem.slots_per_gpu > distinct:
        raise ProblemError(
            f'colocation="forbid" cannot hold: a GPU has {problem.slots_per_gpu} slots, but only '
            f"{distinct} different experts may stand on it. Take fewer slots or allow co-location."
        )


def _check_divides(name: str, value: int, divisor_name: str, divisor: int) -> None:
    if value % divisor == 0:
        return
    below, above = value - value % divisor, value - value % divisor + divisor
    nearest = f"{below} or {above}" if below else f"{above}"
    divisors = [d for d in range(1, value + 1) if value % d == 0]
    near = sorted(divisors, key=lambda d: abs(d - divisor))[:3]
    raise ProblemError(
        f"{name} = {value} is no multiple of {divisor_name} = {divisor}. "
        f"Make the former {nearest}, or the latter one of {', '.join(map(str, sorted(near)))}."
    )
