"""Costs of replicas: what each of an expert's copies adds to its GPU, by the number of copies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_int, as_numpy
from eplb_opt.problem.step_cost import StepCost

if TYPE_CHECKING:
    from eplb_opt.problem.terms import Terms

#: Bits of the costs of all replicas of a layer where a table's floats become integers: sums of
#: float64 are exact with them, too.
TABLE_BITS = 52
#: Bits of a GPU's seconds under a `StepCost`: what CP-SAT computes with without rounding, far below
#: a picosecond, and exacter than any measurement.
STEP_BITS = 30
#: What the whole numbers of a caller may add up to in a layer.
MAX_TOTAL = 2**62
#: What a convex hull in floats may be above the true one, in units of at most 2**30.
HULL_DOUBT = 1e-3
#: Entries of the table of all layers; it takes 8 bytes each.
MAX_ENTRIES = 2**25


@dataclass(frozen=True, eq=False)
class CostTable:
    """What one replica of an expert costs where the expert has some number of them.

    Parameters
    ----------
    seconds
        [num_experts, most] or [num_layers, num_experts, most], not negative, in seconds or any
        unit: entry c - 1 is the cost of each of c replicas. It may rise or fall with c.

    Raises
    ------
    ProblemError
        When an entry is negative or not finite.
    """

    seconds: np.ndarray

    def __post_init__(self) -> None:
        values = as_numpy(self.seconds, "seconds")
        if values.ndim not in (2, 3) or 0 in values.shape:
            raise ProblemError(
                f"seconds has shape {list(values.shape)}; it must be [num_experts, most], or with "
                "a leading num_layers."
            )
        if not np.isfinite(values).all() or values.min() < 0:
            raise ProblemError("seconds holds costs that are negative or not finite.")
        values = values.copy()
        values.flags.writeable = False
        object.__setattr__(self, "seconds", values)


class FittedCosts(NamedTuple):
    """The costs of a problem as integers of a power-of-two unit a layer.

    Parameters
    ----------
    replica
        int64 [num_layers, num_experts, most + 1], rounded down: entry c is the cost of each of c
        replicas, and entry 0 is 0. Expert and count run over all that plans can have.
    exponent
        int64 [num_layers]; the unit of a layer is 2**-exponent of the caller's.
    rounded
        bool [num_layers], whether an entry was rounded down.
    sent
        int64 [num_layers, num_experts, num_senders + 1], where every GPU sends to one replica: what
        a replica costs to which 0, 1, ... GPUs send. `replica` then has what each of c replicas
        costs at least on average. None under the uniform split.
    """

    replica: np.ndarray
    exponent: np.ndarray
    rounded: np.ndarray
    sent: np.ndarray | None = None

    def of_layers(self, layers: Any) -> FittedCosts:
        """The costs of some of the layers, read-only."""
        sent = None if self.sent is None else self.sent[layers]
        kept = self.replica[layers], self.exponent[layers], self.rounded[layers]
        return _frozen(FittedCosts(*kept, sent))


#: What a cost does not go with: a test, and what to say.
REFUSED = (
    (lambda t: t.has_scenarios, "several loads", "take one load"),
    (lambda t: t.topology is not None, "a topology", "leave it out"),
    (
        lambda t: t.is_split_freely,
        'dispatch="optimal"',
        'take the uniform split, or "nearest" or "rank_modulo"',
    ),
    (
        lambda t: isinstance(t.cost, CostTable) and t.dispatch != "uniform",
        "a dispatch by senders, as it is a table by count",
        "take the uniform split, or a StepCost",
    ),
    (lambda t: t.gpu_speed is not None, "gpu_speed", "leave the speeds out"),
)


def fitted_costs(terms: Terms) -> FittedCosts | None:
    """The costs of a problem as integers; None where it has none.

    Raises
    ------
    ProblemError
        When they do not go with another term of the problem, or are not for all that plans can
        have.
    """
    if terms.cost is None:
        for name in ("batch_tokens", "experts_per_token"):
            if getattr(terms, name) is not None:
                raise ProblemError(
                    f"{name}={getattr(terms, name)!r} needs cost, a StepCost, which it goes with."
                )
        return None
    if not isinstance(terms.cost, StepCost | CostTable):
        raise ProblemError(
            f"cost={terms.cost!r} is neither an eplb_opt.StepCost nor an eplb_opt.CostTable."
        )
    for test, name, mend in REFUSED:
        if test(terms):
            raise ProblemError(
                f"cost does not go with {name}: it takes one load, split evenly or by senders, on "
                f"GPUs that are equally fast. So {mend}, or plan for tokens, without a cost."
            )
    most = int(terms.open_slots.sum()) - terms.num_experts + 1
    _check_entries(terms, most)
    if isinstance(terms.cost, CostTable):
        return _of_table(terms, terms.cost, most)
    return _of_step(terms, terms.cost, most)


def table_of_layers(cost: Any, layers: Any) -> Any:
    """The cost of some of the layers; only a table that tells layers apart changes."""
    if not isinstance(cost, CostTable) or cost.seconds.ndim == 2:
        return cost
    return replace(cost, seconds=cost.seconds[layers])


def mean_tokens(terms: Terms) -> np.ndarray:
    """Tokens that each expert gets in a step on average, float64 [num_layers, num_experts].

    All GPUs together bring batch_tokens * num_gpus tokens, each with experts_per_token assignments,
    which fall to the experts as the loads do. Lost GPUs bring none.

    Parameters
    ----------
    terms
        A problem with one load, `batch_tokens` and `experts_per_token`.
    """
    load = terms.load.astype(np.float64)
    total = load.sum(axis=-1, keepdims=True)
    num_gpus = int((terms.open_slots > 0).sum())
    assignments = float(terms.batch_tokens or 0) * num_gpus * (terms.experts_per_token or 0)
    return np.asarray(load / np.maximum(total, 1) * assignments)


def half_unit(terms: Terms, layer_idx: int) -> Fraction:
    """What nobody can feel, in units of a layer's costs: half a nanosecond.

    A table is in a unit of the caller's own, so there it is half a unit of the integers: nothing.
    """
    if isinstance(terms.cost, CostTable):
        return Fraction(1, 2)
    return Fraction(2 ** int(terms.cost_exponent[layer_idx]), 2 * 10**9)


def _of_step(terms: Terms, cost: StepCost, most: int) -> FittedCosts:
    if terms.batch_tokens is None:
        raise ProblemError("cost=StepCost(...) needs batch_tokens, the tokens of a GPU in a step.")
    terms.set_field("batch_tokens", as_int(terms.batch_tokens, "batch_tokens"))
    top_k = terms.experts_per_token
    if top_k is None:
        top_k = cost.experts_per_token
    if top_k is None:
        raise ProblemError(
            "cost=StepCost(...) needs experts_per_token, how many experts a token is routed to."
        )
    terms.set_field("experts_per_token", as_int(top_k, "experts_per_token"))
    bits = STEP_BITS - terms.slots_per_gpu.bit_length()
    if terms.splits_by_sender:
        _check_entries(terms, terms.num_senders)
        parts = np.arange(terms.num_senders + 1) / terms.num_senders
        sent = _as_units(_expected(terms, cost, parts), terms.num_slots, bits)
        return _of_senders(sent, most, are_level=terms.dispatch == "rank_modulo")
    return _as_units(_expected(terms, cost, 1 / np.arange(1, most + 1)), terms.num_slots, bits)


def _expected(terms: Terms, cost: StepCost, parts: np.ndarray) -> np.ndarray:
    """Expected seconds of replicas with these parts of an expert's tokens, [..., num_parts]."""
    # Layer by layer: the series of the expected times take several times the memory of the table.
    return np.stack([cost.expected(row[:, None] * parts) for row in mean_tokens(terms)])


def _of_senders(units: FittedCosts, most: int, *, are_level: bool) -> FittedCosts:
    """Costs by the number of senders, with what each of c replicas costs at least on average.

    All senders together send to the c replicas. Under rank modulo these get equally many, or one
    more. Otherwise the mean of their costs is at least the lower convex hull of the costs at
    num_senders / c (Jensen's inequality).
    """
    # More tokens never take less; rounding must not say otherwise.
    sent = np.maximum.accumulate(units.replica[:, :, 1:], axis=2)
    if are_level:
        replica = level_costs(sent, most)
    else:
        hull = np.stack([_hulls(layer) for layer in sent])
        last = sent.shape[2] - 1
        at = last / np.arange(1, most + 1)
        low = np.floor(at).astype(np.int64)
        slope = hull[:, :, np.minimum(low + 1, last)] - hull[:, :, low]
        values = np.floor(hull[:, :, low] + slope * (at - low) - HULL_DOUBT)
        replica = np.zeros((*sent.shape[:2], most + 1), dtype=np.int64)
        replica[:, :, 1:] = np.maximum(values, 0)
    return _frozen(FittedCosts(replica, units.exponent, units.rounded, np.ascontiguousarray(sent)))


def level_costs(sent: np.ndarray, most: int) -> np.ndarray:
    """What each of c replicas costs on average where they have equally many senders, or one more.

    Parameters
    ----------
    sent
        int64 [num_layers, num_experts, num_senders + 1], the cost by the number of senders.
    most
        The most replicas of an expert.

    Returns
    -------
    ndarray
        int64 [num_layers, num_experts, most + 1], rounded down; entry 0 is 0.
    """
    copies = np.arange(1, most + 1)
    low, more = np.divmod(sent.shape[2] - 1, copies)
    high = np.minimum(low + 1, sent.shape[2] - 1)
    together = more * sent[:, :, high] + (copies - more) * sent[:, :, low]
    return np.pad(together // copies, ((0, 0), (0, 0), (1, 0)))


def _hulls(values: np.ndarray) -> np.ndarray:
    """The lower convex hull of each row at its whole places, float64 [num_rows, num_places]."""
    places = np.arange(values.shape[1])
    found = values.astype(np.float64)
    for row, costs in enumerate(values.tolist()):
        corners: list[int] = []
        for place in places.tolist():
            while len(corners) > 1 and _is_above(costs, corners[-2], corners[-1], place):
                corners.pop()
            corners.append(place)
        found[row] = np.interp(places, corners, [costs[corner] for corner in corners])
    return found


def _is_above(costs: list[int], first: int, middle: int, last: int) -> bool:
    """Whether the middle point is on or above the line between two others."""
    over = (costs[middle] - costs[first]) * (last - first)
    return over >= (costs[last] - costs[first]) * (middle - first)


def _of_table(terms: Terms, cost: CostTable, most: int) -> FittedCosts:
    for name in ("batch_tokens", "experts_per_token"):
        if getattr(terms, name) is not None:
            raise ProblemError(f"{name} goes with a StepCost; a CostTable is of one batch already.")
    seconds = cost.seconds
    wanted = (terms.num_layers, terms.num_experts)
    if seconds.ndim == 2:
        seconds = np.broadcast_to(seconds, (terms.num_layers, *seconds.shape))
    if seconds.shape[:2] != wanted or seconds.shape[2] < most:
        raise ProblemError(
            f"The costs have shape {list(cost.seconds.shape)}; {wanted[1]} experts of {wanted[0]} "
            f"layers can have 1 to {most} replicas each, so [{wanted[1]}, {most}] is needed, or "
            "with a leading number of layers."
        )
    bits = TABLE_BITS - terms.num_slots.bit_length()
    return _as_units(seconds[:, :, :most], terms.num_slots, bits)


def _as_units(seconds: np.ndarray, num_slots: int, bits: int) -> FittedCosts:
    """Costs [num_layers, num_experts, most] as integers, floats as such of so many bits."""
    largest = seconds.reshape(len(seconds), -1).max(axis=1)
    if float(largest.max()) * num_slots >= MAX_TOTAL:
        raise ProblemError(
            f"The largest cost, {largest.max():g}, times {num_slots} slots must stay below 2**62; "
            "use a larger unit."
        )
    if seconds.dtype.kind == "f":
        # frexp: largest < 2**exponent. A layer without any cost may have any unit.
        exponent = np.maximum(bits - np.frexp(largest)[1], 0).astype(np.int64)
        exponent = np.minimum(exponent, 1000)
        scaled = np.ldexp(seconds.astype(np.float64), exponent[:, None, None])
        units = np.floor(scaled)
        rounded = (units != scaled).any(axis=(1, 2))
    else:
        units, rounded = seconds, np.zeros(len(seconds), dtype=bool)
        exponent = np.zeros(len(seconds), dtype=np.int64)
    replica = np.zeros((*seconds.shape[:2], seconds.shape[2] + 1), dtype=np.int64)
    replica[:, :, 1:] = units
    return _frozen(FittedCosts(replica, exponent, rounded))


def _frozen(costs: FittedCosts) -> FittedCosts:
    for array in costs:
        if array is not None:
            array.flags.writeable = False
    return costs


def _check_entries(terms: Terms, most: int) -> None:
    entries = terms.num_layers * terms.num_experts * (most + 1)
    if entries > MAX_ENTRIES:
        raise ProblemError(
            f"{terms.num_layers} layers of {terms.num_experts} experts with up to {most} replicas "
            f"make {entries} costs, above {MAX_ENTRIES}; take fewer slots, or plan the layers in "
            "parts."
        )
