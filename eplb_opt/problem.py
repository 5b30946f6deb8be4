"""What is to be planned: loads, slots and topology, validated once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from eplb_opt.arrays import as_int, as_numpy
from eplb_opt.errors import ProblemError

COLOCATIONS = ("allow", "forbid")

#: Sums over a layer must stay in int64, with a bit to spare.
MAX_LAYER_TOTAL = 2**62


@dataclass(frozen=True, eq=False)
class Problem:
    """Expert loads and the machine they are to be spread over.

    The layers are independent. Every slot holds one replica of a logical expert,
    every expert has at least one, and a replica of an expert with `count` of them
    carries `load / count`. The objective of a layer is its largest GPU load.

    Parameters
    ----------
    load
        [num_layers, num_experts], tokens or any unit, not negative. Integers are exact. Floats
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

    Attributes
    ----------
    load
        int64 [num_layers, num_experts], in units of 2**-unit_exponent, read-only.
    unit_exponent
        int64 [num_layers]; 0 for integer loads.
    rounded
        bool [num_layers]; True where a float load did not fit and was rounded down.

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
    unit_exponent: np.ndarray = field(init=False)
    rounded: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        for name in ("num_slots", "num_gpus", "num_nodes", "num_groups"):
            object.__setattr__(self, name, as_int(getattr(self, name), name))
        values = as_numpy(self.load, "load")
        _check_loads(values)
        for name, array in zip(("load", "unit_exponent", "rounded"), to_units(values), strict=True):
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        _check_topology(self)

    @property
    def num_layers(self) -> int:
        return int(self.load.shape[0])

    @property
    def num_experts(self) -> int:
        return int(self.load.shape[1])

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
        return self._with(slice(layer_idx, layer_idx + 1))

    def flat(self) -> Problem:
        """The same loads with nothing to keep on a node."""
        return self._with(slice(None), num_nodes=1, num_groups=1)

    def with_colocation(self, colocation: str) -> Problem:
        """The same loads under another rule for replicas of one expert."""
        return self._with(slice(None), colocation=colocation)

    def _with(self, layers: slice, **changes: Any) -> Problem:
        """Some layers and other fields; integer loads pass unchanged, so the units are carried."""
        changed = replace(self, load=self.load[layers], **changes)
        object.__setattr__(changed, "unit_exponent", self.unit_exponent[layers])
        object.__setattr__(changed, "rounded", self.rounded[layers])
        return changed

    def half_token(self, layer_idx: int) -> Fraction:
        """Half a unit of the caller's integer loads, in integer units of a layer."""
        return Fraction(2 ** int(self.unit_exponent[layer_idx]), 2)

    def unit(self, layer_idx: int) -> Fraction:
        """The worth of one integer unit of a layer, in the caller's own unit."""
        return Fraction(1, 2 ** int(self.unit_exponent[layer_idx]))


def to_units(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loads as integers of a power-of-two unit a layer.

    Parameters
    ----------
    values
        [num_layers, num_experts], finite and not negative.

    Returns
    -------
    int64 loads, int64 exponents x (the unit is 2**-x) and the layers that were rounded down.

    Raises
    ------
    ProblemError
        When a layer's total reaches 2**62.
    """
    _check_totals(values)
    num_layers = values.shape[0]
    if values.dtype.kind != "f":
        zeros = np.zeros(num_layers, dtype=np.int64)
        return values.astype(np.int64), zeros, zeros.astype(bool)
    values = values.astype(np.float64)
    needed = _fraction_bits(values)
    # A sum of n floats carries a relative error of at most n * 2**-53: one more bit covers it.
    total_bits = np.frexp(values.sum(axis=1))[1] + 1
    exponent = np.maximum(np.minimum(needed, 62 - total_bits), 0).astype(np.int64)
    scaled = np.ldexp(values, exponent[:, None])
    return np.floor(scaled).astype(np.int64), exponent, np.asarray(exponent < needed)


def _fraction_bits(values: np.ndarray) -> np.ndarray:
    """Binary digits behind the point that each row needs, [num_layers], not negative."""
    mantissa, exponent = np.frexp(values)
    digits = np.ldexp(mantissa, 53).astype(np.int64)  # exact: a float64 has 53 binary digits
    lowest = (digits & -digits).astype(np.float64)
    trailing = np.frexp(np.maximum(lowest, 1))[1] - 1
    needed = np.where(values > 0, 53 - trailing - exponent, 0)
    return np.asarray(np.maximum(needed.max(axis=1), 0))


def _check_loads(values: np.ndarray) -> None:
    if values.ndim != 2:
        raise ProblemError(
            f"load has shape {list(values.shape)}; it must be [num_layers, num_experts]. "
            "Sum a [num_snapshots, num_layers, num_experts] recording over its first axis."
        )
    if 0 in values.shape:
        raise ProblemError(
            f"load has shape {list(values.shape)}; at least one layer and one expert are needed."
        )
    for bad, kind in ((~np.isfinite(values), "not finite"), (values < 0, "negative")):
        if bad.any():
            layer_idx, expert_idx = np.argwhere(bad)[0]
            raise ProblemError(
                f"load[{layer_idx}, {expert_idx}] = {values[layer_idx, expert_idx]} is {kind} "
                f"({int(bad.sum())} such of {values.size}); loads are finite and at least 0."
            )


def _check_totals(values: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        rough = values.astype(np.float64).sum(axis=1)
    worst = int(rough.argmax())
    if rough[worst] >= MAX_LAYER_TOTAL:
        raise ProblemError(
            f"The loads of layer {worst} add up to about {rough[worst]:.3g}; exact arithmetic "
            "needs less than 2**62 (about 4.6e18). "
            "Use a larger unit: divide the loads by a constant."
        )


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
