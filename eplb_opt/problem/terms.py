"""The terms of a problem: its fields, checked once, and the figures that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem import gpu_rules
from eplb_opt.problem.arrays import as_int, as_numpy, copy_on_device
from eplb_opt.problem.checks import (
    MAX_SLOTS,
    SENDER_DISPATCHES,
    check_gpu_rules,
    check_spread,
    check_topology,
    scenario_weights,
)
from eplb_opt.problem.costs import CostTable, FittedCosts, fitted_costs, half_unit
from eplb_opt.problem.links import LinkCosts, link_costs
from eplb_opt.problem.topology import Topology, fitted
from eplb_opt.problem.units import check_loads, to_units

if TYPE_CHECKING:
    from eplb_opt.problem.step_cost import StepCost


@dataclass(frozen=True, eq=False)
class Terms:
    """What a problem states, and what can be computed from that alone; `Problem` has the words.

    A class of its own, for the length of both: `Problem` adds the methods that make other problems.
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
    topology: Topology | None = None
    cost: StepCost | CostTable | None = None
    batch_tokens: int | None = None
    experts_per_token: int | None = None
    unit_exponent: np.ndarray = field(init=False)
    rounded: np.ndarray = field(init=False)
    load_on_device: Any = field(init=False, default=None, repr=False)
    costs: FittedCosts | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        self.set_field("load_on_device", copy_on_device(self.load))
        for name in ("num_slots", "num_gpus", "num_nodes", "num_groups"):
            object.__setattr__(self, name, as_int(getattr(self, name), name, most=MAX_SLOTS))
        values = as_numpy(self.load, "load")
        check_loads(values)
        self.set_loads(*to_units(values))
        weights = scenario_weights(self.scenario_weights, values.shape[:-2], self.objective)
        self.set_field("scenario_weights", weights)
        check_topology(self)
        self._set_gpu_rules()
        self.set_field("topology", fitted(self))
        self.set_costs()

    def set_costs(self) -> None:
        """Work out the costs of replicas while the problem is made, or for another load."""
        self.set_field("costs", fitted_costs(self))

    def set_field(self, name: str, value: Any) -> None:
        """Set a field while the problem is made; nobody has seen it yet.

        Parameters
        ----------
        name
            Name of the field.
        value
            Its value, checked.
        """
        object.__setattr__(self, name, value)

    def set_loads(self, load: np.ndarray, exponent: np.ndarray, rounded: np.ndarray) -> None:
        """Set the loads and their units while the problem is made, read-only.

        Parameters
        ----------
        load, exponent, rounded
            What `to_units` returns: the loads as integers, the units' exponents, and where a load
            was rounded down.
        """
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
        """MoE layers, each with a placement of its own."""
        return int(self.load.shape[-2])

    @property
    def num_experts(self) -> int:
        """Logical experts of a layer."""
        return int(self.load.shape[-1])

    @property
    def has_scenarios(self) -> bool:
        """Whether one plan is to serve several loads."""
        return self.load.ndim == 3

    @property
    def num_scenarios(self) -> int:
        """Loads that one plan is to serve; 1 without scenarios."""
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
    def has_gpu_names(self) -> bool:
        """Whether a plan is worth something else once its GPUs change places."""
        return self.has_gpu_rules or self.splits_by_sender

    @property
    def is_plain(self) -> bool:
        """One load, uniform, GPUs that are all alike, no further rules: what most engines want."""
        others = self.has_scenarios or self.has_gpu_rules or self.has_topology
        return not (others or self.has_cost) and self.dispatch == "uniform"

    @property
    def has_cost(self) -> bool:
        """Whether a GPU's seconds count instead of its load; `replica_cost` has them."""
        return self.costs is not None

    @property
    def counts_seconds(self) -> bool:
        """Whether a layer's objective is in seconds: those that a `StepCost` tells."""
        return self.has_cost and self.batch_tokens is not None

    @property
    def replica_cost(self) -> np.ndarray:
        """What each of c replicas of an expert costs, int64 [num_layers, num_experts, most + 1].

        Entry c is in units of 2**-cost_exponent of the caller's unit, seconds for a `StepCost`, and
        rounded down; entry 0 is 0. `most` is the largest count that the slots allow.

        Raises
        ------
        ProblemError
            In a problem without costs.
        """
        return self._costs.replica

    @property
    def cost_exponent(self) -> np.ndarray:
        """The units of `replica_cost`, int64 [num_layers]: 2**-exponent of the caller's."""
        return self._costs.exponent

    @property
    def _costs(self) -> FittedCosts:
        if self.costs is None:
            raise ProblemError("The problem has no cost: its objective is the largest GPU load.")
        return self.costs

    @property
    def has_topology(self) -> bool:
        """Whether what is served off home has a price; then groups bind nobody."""
        return self.topology is not None

    @cached_property
    def link_costs(self) -> LinkCosts:
        """What an assignment of each expert costs on each node or GPU, of a topology."""
        return link_costs(self)

    @property
    def counts_ratios(self) -> bool:
        """Whether a layer's objective is a ratio to mean GPU loads, and no load."""
        return self.has_scenarios or self.has_topology

    @property
    def is_split_freely(self) -> bool:
        """Whether tokens may be split over replicas in any way: dispatch="optimal"."""
        return self.dispatch == "optimal"

    @property
    def splits_by_sender(self) -> bool:
        """Whether every GPU sends an expert's tokens to one replica: "nearest", "rank_modulo"."""
        return self.dispatch in SENDER_DISPATCHES

    @cached_property
    def num_senders(self) -> int:
        """GPUs that send tokens: those with a slot."""
        return int((self.open_slots > 0).sum())

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

    @property
    def leaves_equal_gpus(self) -> bool:
        """Whether GPUs are lost, and those that are left are alike, on nodes that are alike too."""
        lost = self.open_slots == 0
        whole = np.isin(self.open_slots, (0, self.slots_per_gpu)).all()
        others = (self.gpu_speed, self.pinned, self.forbidden)
        if not (lost.any() and whole) or any(rule is not None for rule in others):
            return False
        if self.has_topology:
            return True
        in_nodes = lost.reshape(self.num_nodes, -1).sum(axis=1)
        return self.spread != "node" and not (self.has_nodes and np.ptp(in_nodes))

    @property
    def binds_unlike_gpus(self) -> bool:
        """Whether groups stay on nodes whose GPUs differ in speed or slots, or of unlike nodes."""
        return self.is_hierarchical and self.has_gpu_rules and not self.leaves_equal_gpus

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
        """Slots of each GPU, those that stay empty too."""
        return self.num_slots // self.num_gpus

    @property
    def is_hierarchical(self) -> bool:
        """Whether all replicas of a group's experts have to stay on one node."""
        return self.num_nodes > 1 and self.num_groups > 1 and not self.has_topology

    @property
    def has_nodes(self) -> bool:
        """Whether it matters on which node a GPU is: for groups, or for who sends where."""
        return self.is_hierarchical or self.dispatch == "nearest"

    @property
    def gpus_per_node(self) -> int:
        """GPUs of each node, lost ones too."""
        return self.num_gpus // self.num_nodes

    @property
    def slots_per_node(self) -> int:
        """Slots of each node, those that stay empty too."""
        return self.num_slots // self.num_nodes

    @property
    def groups_per_node(self) -> int:
        """Groups of experts that each node takes."""
        return self.num_groups // self.num_nodes

    @property
    def experts_per_group(self) -> int:
        """Logical experts of each group."""
        return self.num_experts // self.num_groups

    def half_token(self, layer_idx: int) -> Fraction:
        """Half a unit of the caller's integer loads, in what a layer's objective is counted in.

        Parameters
        ----------
        layer_idx
            Place of the layer, from 0.

        Returns
        -------
        Fraction
            In the problem's integer units; with scenarios as a ratio, by the heaviest of them, and
            with a topology as one too; with costs half a nanosecond, or of a table half a unit.
        """
        if self.has_cost:
            return half_unit(self, layer_idx)
        if self.has_topology and not self.has_scenarios:
            total = max(int(self.load[layer_idx].sum()), 1)
            return self.capacity * Fraction(2 ** int(self.unit_exponent[layer_idx]), 2 * total)
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
        """What one unit of a layer's objective is worth in the caller's own unit.

        Parameters
        ----------
        layer_idx
            Place of the layer, from 0.

        Returns
        -------
        Fraction
            1 with scenarios or a topology, whose objectives are ratios.
        """
        if self.counts_ratios:
            return Fraction(1)
        exponent = self.cost_exponent if self.has_cost else self.unit_exponent
        return Fraction(1, 2 ** int(exponent[layer_idx]))
