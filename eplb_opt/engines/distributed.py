"""One plan for all ranks: rank 0 makes it under a time limit, the others get it.

Three exchanges. The ranks send what they were called with to rank 0, which compares and then plans;
rank 0 sends the map, or why there is none; and all confirm that they have it, before any of them
returns it. Each exchange has a timeout, so that nobody waits for ever for a rank that died.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.engines.every_rank import chosen_gain, near_rules, topology
from eplb_opt.engines.rebalance import rebalance_experts
from eplb_opt.engines.serving.call import rebalance_near
from eplb_opt.engines.survivors import fitted, keep_slots
from eplb_opt.engines.tensors import cpu_tensor, like
from eplb_opt.errors import MissingDependency, ProblemError, RebalanceError
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.arrays import as_int, as_numpy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eplb_opt.engines.serving.near_rules import NearRules

#: Seconds that rank 0 plans for, and that an exchange may take.
DEFAULT_TIME_LIMIT, DEFAULT_TIMEOUT = 10.0, 60.0
#: Bytes of a message about why there is no map.
MESSAGE_BYTES = 1024


def rebalance_experts_distributed(
    weight: Any,
    num_replicas: int,
    num_groups: int | None,
    num_nodes: int,
    num_gpus: int,
    *,
    group: Any = None,
    time_limit: float = DEFAULT_TIME_LIMIT,
    current: Any = None,
    timeout: float = DEFAULT_TIMEOUT,
    move_tolerance: float | None = None,
) -> tuple[Any, Any, Any]:
    """The common call made by all ranks together: one plan, the same map on each of them.

    Every rank of the group has to call. Only rank 0's loads and current map count; the others'
    must have the same shapes.

    Parameters
    ----------
    weight, num_replicas, num_groups, num_nodes, num_gpus
        As of `rebalance_experts`.
    group
        A torch.distributed group with the gloo backend, such as an engine's own CPU group; None for
        the default one.
    time_limit
        Seconds that rank 0 plans for; below 50 ms compiled code does, see `rebalance_experts`.
    current
        The map in force, [num_layers, num_replicas], -1 for an empty slot: a start of the plan, and
        what stays on its GPU keeps its slot. All ranks give one or none does.
    timeout
        Seconds an exchange may take. A call ends after at most time_limit + 4 * timeout.
    move_tolerance
        How far above the bound a plan near `current` may be, as of `rebalance_experts`; None for
        EPLB_OPT_MOVE_COST, EPLB_OPT_MOVE_TOLERANCE, or 0.003. Rank 0's counts; 0 plans freely in
        all of `time_limit`.

    Returns
    -------
    physical_to_logical, logical_to_physical, logical_count as of `rebalance_experts`.

    Raises
    ------
    RebalanceError
        On every rank that is left when a rank died, did not call in time or called with other
        numbers, or rank 0 could not plan; **the old map stays in force**. After a rank died or was
        late the group cannot be used any more. (A rank that dies after it has confirmed is found
        by whatever the ranks exchange next.)
    ProblemError
        For arguments that cannot be used, before anything is exchanged.
    MissingDependency
        Without torch.
    """
    load = as_numpy(weight, "weight")
    groups, nodes = topology(num_groups, num_nodes)
    numbers = (num_replicas, num_gpus, nodes, groups)
    if load.ndim != 2:
        raise ProblemError(f"weight has shape {list(load.shape)}; it must have two axes.")
    if not 0 <= time_limit < math.inf or not 0 < timeout < math.inf:
        raise ProblemError(f"time_limit={time_limit} and timeout={timeout} must be finite seconds.")
    held = None if current is None else as_numpy(current, "current")
    form = [*load.shape, *(as_int(number, "a size") for number in numbers), held is not None]
    rules = near_rules(chosen_gain(), move_tolerance)
    ranks = _Ranks(group, timeout)
    others = ranks.gather(np.array(form, dtype=np.int64))
    if others is None:
        placed = ranks.receive((load.shape[0], num_replicas), time_limit)
    else:
        placed = ranks.send(*_planned(others, load, numbers, time_limit, (held, rules)))
    ranks.confirm()
    answer = Plan(placed, num_gpus, load.shape[1])
    maps = (answer.physical_to_logical, answer.logical_to_physical, answer.logical_count)
    return tuple(like(weight, array) for array in maps)


def _planned(
    forms: np.ndarray,
    load: np.ndarray,
    numbers: tuple[int, int, int, int],
    time_limit: float,
    near: tuple[np.ndarray | None, NearRules],
) -> tuple[np.ndarray | None, str]:
    """Rank 0's map, or None and why there is none: the others wait, so nothing is raised here."""
    names = "layers, experts, slots, GPUs, nodes, groups, current given"
    for rank, form in enumerate(forms):
        if (form != forms[0]).any():
            return None, (
                f"rank {rank} was called with {form.tolist()}, rank 0 with {forms[0].tolist()} "
                f"({names})"
            )
    try:
        num_slots, num_gpus, num_nodes, num_groups = numbers
        held, rules = near
        if held is not None and rules.tolerance != 0:
            sizes = num_slots, num_groups, num_nodes, num_gpus
            placed, _ = rebalance_near(
                load,
                *sizes,
                current=fitted(held, len(load), num_slots),
                rules=rules,
                time_limit=time_limit,
            )
            return placed[0], ""
        is_start = held is not None and held.shape == (len(load), num_slots) and held.min() >= 0
        placed = rebalance_experts(
            load,
            num_slots,
            num_groups,
            num_nodes,
            num_gpus,
            time_limit=time_limit,
            current=held if is_start else None,
        )[0]
        return placed if held is None else keep_slots(placed, held, num_gpus), ""
    except Exception as error:
        return None, f"rank 0 could not plan: {type(error).__name__}: {error}"


class _Ranks:
    """What the ranks exchange, each time within the timeout."""

    def __init__(self, group: Any, timeout: float) -> None:
        try:
            import torch.distributed as distributed
        except ImportError as error:
            raise MissingDependency("torch", "heuristics") from error
        if not distributed.is_available() or not distributed.is_initialized():
            raise ProblemError("torch.distributed is not initialised: there are no ranks to ask.")
        self.distributed = distributed
        self.group = distributed.group.WORLD if group is None else group
        backend = distributed.get_backend(self.group)
        if backend != "gloo":
            raise ProblemError(
                f"The group's backend is {backend!r}; give one with gloo, such as "
                'torch.distributed.new_group(backend="gloo").'
            )
        self.timeout = timeout

    def gather(self, row: np.ndarray) -> np.ndarray | None:
        """Everyone's row on rank 0, [num_ranks, ...]; None on the others."""
        is_first = self.distributed.get_rank(self.group) == 0
        num_ranks = self.distributed.get_world_size(self.group) if is_first else 0
        rows = [cpu_tensor(np.zeros_like(row)) for _ in range(num_ranks)]
        options = self.distributed.GatherOptions()
        options.rootRank, options.timeout = 0, _seconds(self.timeout)
        with self._blaming("gathering what the ranks were called with"):
            output = [rows] if is_first else []
            self.group.gather(output, [cpu_tensor(row)], options).wait()
        return np.array([row.numpy() for row in rows]) if is_first else None

    def send(self, placed: np.ndarray | None, why_not: str) -> np.ndarray:
        """Rank 0 tells the others; both arguments are those of `_planned`."""
        header = np.zeros(1 + MESSAGE_BYTES, dtype=np.uint8)
        header[0] = placed is None
        text = np.frombuffer(why_not.encode()[:MESSAGE_BYTES], dtype=np.uint8)
        header[1 : 1 + len(text)] = text
        self._broadcast(header, self.timeout)
        if placed is None:
            raise RebalanceError(f"No new map: {why_not}.")
        return self._broadcast(placed, self.timeout)

    def receive(self, shape: tuple[int, int], time_limit: float) -> np.ndarray:
        """What rank 0 sends."""
        # Rank 0 may have waited for a late rank, and come in late itself.
        patience = time_limit + 2 * self.timeout
        header = self._broadcast(np.zeros(1 + MESSAGE_BYTES, dtype=np.uint8), patience)
        if header[0]:
            text = bytes(header[1:]).rstrip(b"\0").decode(errors="replace")
            raise RebalanceError(f"No new map: {text}.")
        return self._broadcast(np.zeros(shape, dtype=np.int64), self.timeout)

    def confirm(self) -> None:
        """Return once every rank has come this far."""
        with self._blaming("confirming the new map"):
            self.distributed.monitored_barrier(self.group, timeout=_seconds(self.timeout))

    def _broadcast(self, array: np.ndarray, timeout: float) -> np.ndarray:
        tensor = cpu_tensor(array)
        options = self.distributed.BroadcastOptions()
        options.rootRank, options.timeout = 0, _seconds(timeout)
        with self._blaming("sending the new map"):
            self.group.broadcast([tensor], options).wait()
        return np.asarray(tensor.numpy())

    @contextmanager
    def _blaming(self, what: str) -> Iterator[None]:
        """A failure of the group as the error that the caller knows."""
        try:
            yield
        except RuntimeError as error:
            raise RebalanceError(
                f"No new map: {what} failed, a rank died or is later than {self.timeout} s; the "
                f"old map stays in force ({error})."
            ) from error


def _seconds(value: float) -> timedelta:
    return timedelta(seconds=value)
