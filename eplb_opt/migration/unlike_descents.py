"""Plans of a layer with few moves where nodes matter and their GPUs differ.

The descents of the core take GPUs as alike. These start from the plan in force, too, and make the
swap or copy transfer that helps most for each slot that it changes, one after the other; every plan
on the way is one with a few more moves. What is judged is a p-norm of the GPU loads over their
speeds, with the price of what is served off home.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.problem import topology

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline
    from eplb_opt.problem.problem import Problem

#: Steps of a descent at most; a step takes some milliseconds on 32 GPUs.
STEPS = 60
#: The norm's p is 2**DOUBLINGS; it is taken by squares and square roots, the same on any machine.
DOUBLINGS = 6
#: Gains below this are noise.
LEAST_GAIN = 1e-9
#: Numbers of a step's table of GPU loads at most; of larger ones the first experts are looked at.
MOST_CELLS = 2**21


@dataclass(frozen=True)
class _Moves:
    """Changes of one kind, with what the sum of powers and the share off home are after each."""

    slots: np.ndarray  # [num, 1 or 2]
    experts: np.ndarray  # of these slots then
    powers: np.ndarray
    away: np.ndarray
    is_allowed: np.ndarray


def plans_with_unlike_gpus(
    layer: Problem,
    current: np.ndarray,
    homes: np.ndarray,
    deadline: Deadline,
    price: float | None = None,
) -> list[np.ndarray]:
    """Plans from the one in force on that move ever more for ever less load and price.

    Parameters
    ----------
    layer
        A problem of one layer with a topology, or whose groups stay on nodes.
    current
        int64 [num_slots], the plan in force, which is valid.
    homes
        int64 [num_experts], home nodes to descend for; those of the plan where groups stay.
    deadline
        No further step is made afterwards.
    price
        What an assignment off home costs, where links have costs of their own; a limit on these is
        then not looked at. None for the topology's.

    Returns
    -------
    Plans, int64 [num_slots] each, not yet checked or scored.
    """
    total = int(layer.load.sum())
    state = _State(layer, current, homes, max(total, 1))
    if price is not None:
        state.price, state.most = price, 1.0
    found: list[np.ndarray] = []
    while total and len(found) < STEPS and not deadline.expired and state.step():
        found.append(state.placed.copy())
    return found


class _State:
    """A plan of the layer on its way down."""

    def __init__(self, layer: Problem, placed: np.ndarray, homes: np.ndarray, total: int) -> None:
        rules = layer.topology
        self.price = 0.0 if rules is None else rules.price
        self.most = 1.0 if rules is None or rules.max_off_home is None else rules.max_off_home
        self.is_anchored = rules is not None and rules.anchored
        self.is_bound, self.is_apart = rules is None, layer.colocation == "forbid"
        self.homes, self.placed = homes, placed.copy()
        self.num_gpus, self.per_gpu = layer.num_gpus, layer.slots_per_gpu
        self.open = np.flatnonzero(layer.is_open)
        self.node = topology.node_of_gpus(layer)
        used = zip(layer.speed, layer.open_slots.tolist(), strict=True)
        self.rate = np.array([float(layer.fastest / speed) if n else 0.0 for speed, n in used])
        self.share = layer.load[0] / total
        self.weight = self.share * float(layer.capacity / layer.fastest)
        self.refill(layer.num_experts)

    def refill(self, num_experts: int) -> None:
        """What follows from the plan."""
        experts = self.placed[self.open]
        self.replicas = np.zeros((num_experts, self.num_gpus), dtype=np.int64)
        np.add.at(self.replicas, (experts, self.open // self.per_gpu), 1)
        self.count = self.replicas.sum(axis=1)
        is_home = self.node == self.homes[:, None]
        self.at_home = (self.replicas * is_home).sum(axis=1)
        self.size, self.part = self.weight / self.count, self.share / self.count
        load = np.zeros(self.num_gpus)
        np.add.at(load, self.open // self.per_gpu, self.size[experts])
        self.load = load
        self.away = float(np.cumsum(self.part * (self.count - self.at_home))[-1])
        self.powers = _power(load * self.rate)
        self.sum = float(np.cumsum(self.powers)[-1])

    def step(self) -> bool:
        """Make the change that helps most for each slot; whether one helps."""
        now = _root(np.array([self.sum]))[0] + self.price * self.away
        heaviest = int(np.argmax(self.load * self.rate))
        best, chosen = LEAST_GAIN, None
        for moves in (*self._swaps(heaviest), *self._transfers(heaviest)):
            gain = now - _root(moves.powers) - self.price * moves.away
            gain = np.where(moves.is_allowed, gain, -np.inf) / moves.slots.shape[1]
            i = int(np.argmax(gain)) if gain.size else -1
            if i >= 0 and gain[i] > best:
                best, chosen = gain[i], (moves.slots[i], moves.experts[i])
        if chosen is None:
            return False
        self.placed[chosen[0]] = chosen[1]
        self.refill(len(self.count))
        return True

    def _swaps(self, heaviest: int) -> list[_Moves]:
        """What leaves the heaviest GPU for another; and, at a price, what comes home."""
        on = self.open[self.open // self.per_gpu == heaviest]
        off = self.open[self.open // self.per_gpu != heaviest]
        found = [self._swap(np.repeat(on, len(off)), np.tile(off, len(on)))]
        experts, nodes = self.placed[self.open], self.node[self.open // self.per_gpu]
        strangers = self.open[self.homes[experts] != nodes] if self.price else self.open[:0]
        if len(strangers):
            least = max(MOST_CELLS // (8 * len(self.open)), 1)
            order = np.argsort(-self.part[self.placed[strangers]], kind="stable")[:least]
            p = np.repeat(strangers[order], len(self.open))
            q = np.tile(self.open, len(order))
            comes_home = self.homes[self.placed[p]] == self.node[q // self.per_gpu]
            found.append(self._swap(p[comes_home], q[comes_home]))
        return found

    def _swap(self, p: np.ndarray, q: np.ndarray) -> _Moves:
        g, h, a, b = p // self.per_gpu, q // self.per_gpu, self.placed[p], self.placed[q]
        moved = self.size[a] - self.size[b]
        powers = self.sum - self.powers[g] - self.powers[h]
        powers = powers + _power((self.load[g] - moved) * self.rate[g])
        powers = powers + _power((self.load[h] + moved) * self.rate[h])
        home_a, home_b = self.homes[a], self.homes[b]
        a_home = (home_a == self.node[h]).astype(np.int64) - (home_a == self.node[g])
        b_home = (home_b == self.node[g]).astype(np.int64) - (home_b == self.node[h])
        away = self.away - self.part[a] * a_home - self.part[b] * b_home
        fits = (a != b) & (g != h)
        fits &= (self._gains_home(a, a_home) & self._gains_home(b, b_home)) & self._in_limit(away)
        if self.is_bound:
            fits &= (home_a == self.node[h]) & (home_b == self.node[g])
        if self.is_apart:
            fits &= (self.replicas[a, h] == 0) & (self.replicas[b, g] == 0)
        slots, experts = np.stack([p, q], axis=1), np.stack([b, a], axis=1)
        return _Moves(slots, experts, powers, away, fits)

    def _transfers(self, heaviest: int) -> list[_Moves]:
        """A copy more of what the heaviest GPU has, elsewhere; and something else in its slots."""
        on = self.open[self.open // self.per_gpu == heaviest]
        off = self.open[self.open // self.per_gpu != heaviest]
        held = np.unique(self.placed[on])
        held = held[np.argsort(-self.size[held], kind="stable")]
        held = held[: max(MOST_CELLS // (max(len(off), 1) * self.num_gpus), 1)]
        every = np.argsort(self.size, kind="stable")
        every = every[: max(MOST_CELLS // (len(on) * self.num_gpus), 1)]
        return [
            self._transfer(np.tile(off, len(held)), np.repeat(held, len(off))),
            self._transfer(np.repeat(on, len(every)), np.tile(every, len(on))),
        ]

    def _transfer(self, q: np.ndarray, fresh: np.ndarray) -> _Moves:
        old, h = self.placed[q], q // self.per_gpu
        fits = (self.count[old] > 1) & (old != fresh)
        if self.is_bound:
            fits &= self.homes[fresh] == self.node[h]
        if self.is_apart:
            fits &= self.replicas[fresh, h] == 0
        q, fresh, old, h = q[fits], fresh[fits], old[fits], h[fits]
        more = self.weight[fresh] / (self.count[fresh] + 1)
        fewer = self.weight[old] / (self.count[old] - 1)
        load = self.load[:, None] + self.replicas[fresh].T * (more - self.size[fresh])
        load += self.replicas[old].T * (fewer - self.size[old])
        load[h, np.arange(len(h))] += more - fewer
        # Added up GPU by GPU, in one order on any machine.
        powers = np.zeros(len(h))
        for row in _power(load * self.rate[:, None]):
            powers += row
        fresh_home = (self.homes[fresh] == self.node[h]).astype(np.int64)
        old_home = -(self.homes[old] == self.node[h]).astype(np.int64)
        away = self.away + self._added(fresh, 1, fresh_home) + self._added(old, -1, old_home)
        allowed = self._in_limit(away) & self._gains_home(old, old_home)
        return _Moves(q[:, None], fresh[:, None], powers, away, allowed)

    def _added(self, expert: np.ndarray, copies: int, at_home: np.ndarray) -> np.ndarray:
        """What so many more replicas, and so many more at home, add to the share off home."""
        count, home = self.count[expert], self.at_home[expert]
        after = (count + copies - home - at_home) / (count + copies)
        return np.asarray(self.share[expert] * (after - (count - home) / count))

    def _gains_home(self, expert: np.ndarray, more: np.ndarray) -> np.ndarray:
        """Whether anchored experts keep a replica at home with so many more there."""
        if not self.is_anchored:
            return np.ones(len(expert), dtype=bool)
        return np.asarray(self.at_home[expert] + more > 0)

    def _in_limit(self, away: np.ndarray) -> np.ndarray:
        return np.asarray((away <= self.most) | (away <= self.away))


def _power(values: np.ndarray) -> np.ndarray:
    for _ in range(DOUBLINGS):
        values = values * values
    return values


def _root(values: np.ndarray) -> np.ndarray:
    for _ in range(DOUBLINGS):
        values = np.sqrt(values)
    return values
