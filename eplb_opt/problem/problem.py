"""What is to be planned: loads, slots and topology, validated once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.problem import gpu_rules
from eplb_opt.problem.arrays import as_int, as_numpy
from eplb_opt.problem.checks import (
    COLOCATIONS,
    DISPATCHES,
    MAX_SLOTS,
    OBJECTIVES,
    check_gpu_rules,
    check_spread,
    check_topology,
    scenario_weights,
)
from eplb_opt.problem.parts import changed, part_of, without_lost_gpus
from eplb_opt.problem.units import check_loads, to_units

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COLOCATIONS", "DISPATCHES", "OBJECTIVES", "Problem"]


@dataclass(frozen=True, eq=False)
class Problem:
    """Expert loads and the machine they are to be spread over.

    The layers are independent. Every slot holds one replica of a logical expert,
    every expert has at least one, and a replica of an expert with `count` of them
    carries `load / count`; or, under optimal dispatch, the part that makes the largest GPU load
    least. The objective of a layer is its largest GPU load.

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
    active_gpus
        bool [num_gpus]; a lost GPU's slots stay empty. All by default.
    gpu_slots
        [num_gpus], how many of its slots each GPU can fill, the first ones. All by default.
    gpu_speed
        [num_gpus], relative; a GPU's load counts divided by its speed, and the mean GPU load is
        the total over the sum of the speeds. All 1 by default.
    pinned, forbidden
        Experts that must, or must not, stand on a GPU: (expert, GPU) for every layer, or
        (layer, expert, GPU); or bool masks [num_experts, num_gpus] or with a leading num_layers.

    spread
        "gpu" or "node": every expert has replicas on at least two of them, so that the loss of any
        one leaves it a replica. None for no such rule.
    dispatch
        "uniform" or "optimal": every replica gets the same part of its expert's tokens, or the
        engine splits them anew for every load (every scenario) so that the largest GPU load is
        least.

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
    gpu_slots
        int64 [num_gpus], 0 for lost GPUs; None where every slot is filled.
    pinned, forbidden
        bool [num_layers, num_experts, num_gpus] or None.

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
    active_gpus: np.ndarray | None = None
    gpu_slots: np.ndarray | None = None
    gpu_speed: np.ndarray | None = None
    pinned: np.ndarray | None = None
    forbidden: np.ndarray | None = None
    spread: str | None = None
    dispatch: str = "uniform"
    unit_exponent: np.ndarray = field(init=False)
    rounded: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        for name in ("num_slots", "num_gpus", "num_nodes", "num_groups"):
            object.__setattr__(self, name, as_int(getattr(self, name), name, most=MAX_SLOTS))
        values = as_numpy(self.load, "load")
        check_loads(values)
        self.set_loads(*to_units(values))
        weights = scenario_weights(self.scenario_weights, values.shape[:-2], self.objective)
        self.set_field("scenario_weights", weights)
        check_topology(self)
        self._set_gpu_rules()

    def set_field(self, name: str, value: Any) -> None:
        """Set a field while the problem is made; nobody has seen it yet."""
        object.__setattr__(self, name, value)

    def set_loads(self, load: np.ndarray, exponent: np.ndarray, rounded: np.ndarray) -> None:
        arrays = {"load": load, "unit_exponent": exponent, "rounded": rounded}
        for name, values in arrays.items():
            array = np.ascontiguousarray(values).reshape(values.shape)
            array.flags.writeable = False
            self.set_field(name, array)

    def _set_gpu_rules(self) -> None:
        slots = gpu_rules.open_slots(
            self.gpu_slots, self.active_gpus, self.num_gpus, self.slots_per_gpu
        )
        self.set_field("gpu_slots", slots)
        self.set_field("gpu_speed", gpu_rules.speeds(self.gpu_speed, self.num_gpus))
        shape = (self.num_layers, self.num_experts, self.num_gpus)
        for name in ("pinned", "forbidden"):
            mask = gpu_rules.expert_gpu_pairs(getattr(self, name), name, shape)
            self.set_field(name, mask)
        check_gpu_rules(self)
        check_spread(self)

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
        total = sum(weights)
        return tuple(weight / total for weight in weights)

    @property
    def has_gpu_rules(self) -> bool:
        """Whether GPUs differ in slots or speed, or experts are tied to them or spread."""
        rules = (self.gpu_slots, self.gpu_speed, self.pinned, self.forbidden, self.spread)
        return any(rule is not None for rule in rules)

    @property
    def is_plain(self) -> bool:
        """One load, uniform, GPUs that are all alike, no further rules: what most engines want."""
        return not (self.has_scenarios or self.has_gpu_rules or self.is_split_freely)

    @property
    def is_split_freely(self) -> bool:
        """Whether tokens may be split over replicas in any way: dispatch="optimal"."""
        return self.dispatch == "optimal"

    @cached_property
    def open_slots(self) -> np.ndarray:
        """Slots of each GPU that hold an expert, int64 [num_gpus]; its first ones."""
        if self.gpu_slots is not None:
            return self.gpu_slots
        return np.full(self.num_gpus, self.slots_per_gpu, dtype=np.int64)

    @cached_property
    def is_open(self) -> np.ndarray:
        """Slots that hold an expert, bool [num_slots]; the others are empty, -1 in a plan."""
        return (np.arange(self.slots_per_gpu) < self.open_slots[:, None]).ravel()

    @cached_property
    def speed(self) -> tuple[Fraction, ...]:
        """Exact speed of each GPU."""
        if self.gpu_speed is None:
            return (Fraction(1),) * self.num_gpus
        return tuple(Fraction(speed) for speed in self.gpu_speed.tolist())

    @cached_property
    def whole_speed(self) -> tuple[tuple[int, ...], int]:
        """The speeds as whole numbers [num_gpus] of a common unit, and how many of it make 1."""
        if self.gpu_speed is None:
            return (1,) * self.num_gpus, 1
        unit = lcm(*(speed.denominator for speed in self.speed))
        return tuple(s.numerator * (unit // s.denominator) for s in self.speed), unit

    @cached_property
    def capacity(self) -> Fraction:
        """The speeds of the GPUs with a slot, added up: the total load over it is the mean."""
        if self.gpu_speed is None and self.gpu_slots is None:
            return Fraction(self.num_gpus)
        rates, unit = self.whole_speed
        used = zip(rates, self.open_slots.tolist(), strict=True)
        return Fraction(sum(rate for rate, slots in used if slots), unit)

    @cached_property
    def slowest(self) -> Fraction:
        """The least speed of all GPUs."""
        rates, unit = self.whole_speed
        return Fraction(min(rates), unit)

    @cached_property
    def fastest(self) -> Fraction:
        """The largest speed of the GPUs with a slot."""
        return Fraction(max(self._open_rates), self.whole_speed[1])

    @cached_property
    def speed_range(self) -> Fraction:
        """The largest over the least speed of the GPUs with a slot."""
        return Fraction(max(self._open_rates), min(self._open_rates))

    @property
    def _open_rates(self) -> list[int]:
        rates = zip(self.whole_speed[0], self.open_slots.tolist(), strict=True)
        return [rate for rate, slots in rates if slots]

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
        known = self._layers.get(layer_idx)
        if known is None:
            known = part_of(self, np.s_[..., layer_idx : layer_idx + 1])
            self._layers[layer_idx] = known
        return known

    @cached_property
    def _layers(self) -> dict[int, Problem]:
        """Layers that were asked for before: many ask for the same ones."""
        return {}

    def selected(self, layers: Sequence[int]) -> Problem:
        """The problem of these layers, in this order; one may come several times."""
        return part_of(self, np.s_[..., list(layers)])

    def repeated(self, layer_idx: int, times: int) -> Problem:
        """A problem whose layers are all this one, to score several plans of it at once."""
        return self.selected([layer_idx] * times)

    def scenario(self, scenario_idx: int) -> Problem:
        """The problem of one scenario alone; its objective is the largest GPU load."""
        return part_of(self, np.s_[scenario_idx, :] if self.has_scenarios else np.s_[...])

    def without_scenario(self, scenario_idx: int) -> Problem:
        """The problem of all other scenarios; there must be others, some with a weight.

        Raises
        ------
        ProblemError
            When the others have no weight.
        """
        others = [i for i in range(self.num_scenarios) if i != scenario_idx]
        part = part_of(self, np.s_[others, :])
        if self.scenario_weights is not None:
            given = self.scenario_weights[others]
            weights = scenario_weights(given, given.shape, self.objective)
            part.set_field("scenario_weights", weights)
        return part

    def flat(self) -> Problem:
        """The same loads with nothing to keep on a node."""
        return changed(self, num_nodes=1, num_groups=1)

    def with_load(self, load: np.ndarray) -> Problem:
        """Another load [num_layers, num_experts], without scenarios, under the same rules."""
        values = as_numpy(load, "load")
        if values.shape != self.load.shape[-2:]:
            return replace(self, load=values, scenario_weights=None)
        check_loads(values)
        part = self.scenario(0)
        part.set_loads(*to_units(values))
        return part

    def without_lost_gpus(self) -> Problem | None:
        """The problem of the GPUs that are left, where they are alike; None where they are not."""
        return without_lost_gpus(self)

    def with_slots(self, num_slots: int) -> Problem:
        """The same loads with other slots: each GPU that has slots gains or loses equally many."""
        more = num_slots // self.num_gpus - self.slots_per_gpu
        slots = self.gpu_slots
        if slots is not None:
            slots = np.where(slots > 0, slots + more, 0)
        return changed(self, num_slots=num_slots, gpu_slots=slots)

    def with_colocation(self, colocation: str) -> Problem:
        """The same loads under another rule for replicas of one expert."""
        return changed(self, colocation=colocation)

    def with_spread(self, spread: str | None) -> Problem:
        """The same loads with every expert on two GPUs or nodes, or under no such rule.

        Raises
        ------
        ProblemError
            When the slots do not allow it.
        """
        return changed(self, spread=spread)

    def with_dispatch(self, dispatch: str) -> Problem:
        """The same loads with tokens reaching their replicas in another way."""
        return changed(self, dispatch=dispatch)

    def with_objective(self, objective: str) -> Problem:
        """The same loads with the scenarios put together in another way.

        Raises
        ------
        ProblemError
            When there is no such way.
        """
        return changed(self, objective=objective)

    def half_token(self, layer_idx: int) -> Fraction:
        """Half a unit of the caller's integer loads, in what a layer's objective is counted in."""
        if not self.has_scenarios:
            return Fraction(2 ** int(self.unit_exponent[layer_idx]), 2)
        rows = zip(
            self.unit_exponent[:, layer_idx].tolist(),
            self.load[:, layer_idx].sum(axis=-1).tolist(),
            strict=True,
        )
        halves = [Fraction(2**exponent, 2 * max(w, 1)) for exponent, w in rows]
        return self.capacity * min(halves)

    def unit(self, layer_idx: int) -> Fraction:
        """What one of a layer's objective is worth in the caller's own unit.

        With scenarios objectives are ratios, and need none.
        """
        if self.has_scenarios:
            return Fraction(1)
        return Fraction(1, 2 ** int(self.unit_exponent[layer_idx]))
