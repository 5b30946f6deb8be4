"""The exact optimum of dispatch: how level a placement can be when tokens may be split freely.

Expert e may send any part of its load to each GPU that hosts it. The least largest GPU load is

    T = max over sets Y of GPUs of  w({e : every host of e is in Y}) / speed(Y)

(max-flow min-cut, or Hall's condition with weights): the experts that live inside Y alone can go
nowhere else. Newton's method on T [1]_: at a T below the optimum a maximum flow leaves tokens over,
and its minimum cut is a set whose ratio is larger; T rises to that ratio until everything flows.
Then the flow proves that T can be had and the last set that nothing less can. All in Python
integers, sharing no code with the search or the models.

References
----------
.. [1] Radzik, "Fractional combinatorial optimization", 1998: few steps suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

Hosts = Sequence[Sequence[int]]


@dataclass(frozen=True, eq=False)
class LevelFlow:
    """The best split of every expert's load over its hosts, and why there is none better.

    Parameters
    ----------
    level
        The largest GPU load over speed, exact.
    flow
        By expert, what each of its hosts gets, in the order of the hosts; adds up to its load.
    tight
        GPUs that are full: the experts that live on them alone fill them to the level.
    """

    level: Fraction
    flow: tuple[tuple[Fraction, ...], ...]
    tight: frozenset[int]


def least_level(
    load: Sequence[int], hosts: Hosts, num_gpus: int, speed: Sequence[Fraction] | None = None
) -> LevelFlow:
    """Split loads over hosts so that the largest GPU load is least.

    Parameters
    ----------
    load
        [num_experts], integers of at least 0.
    hosts
        By expert, the GPUs that hold a copy; each once, at least one where there is load.
    num_gpus
        GPUs are 0..num_gpus - 1.
    speed
        [num_gpus], above 0, what a GPU's load is divided by; 1 by default.
    """
    rate = [1] * num_gpus
    if speed is not None:  # as integers; their unit is taken off the level at the end
        unit = lcm(*(s.denominator for s in speed))
        rate = [int(s * unit) for s in speed]
    network = _Network(load, hosts, rate)
    level, tight = network.first_level()
    while True:
        flow = network.flow_at(level)
        over = flow.unreached()
        if over is None:
            break
        level, tight = network.ratio(over), over
    scaled = Fraction(1) if speed is None else Fraction(unit)
    return LevelFlow(level * scaled, flow.split(), frozenset(tight))


def whole_split(
    load: Sequence[int], hosts: Hosts, capacity: Sequence[int]
) -> list[list[int]] | None:
    """Split loads into whole numbers of tokens that fit whole capacities, if they do.

    Parameters
    ----------
    load, hosts
        As `least_level` has them.
    capacity
        [num_gpus], tokens that each GPU can take.

    Returns
    -------
    By expert, what each of its hosts gets, in the order of the hosts; None where tokens are left.
    """
    network = _Network(load, hosts, list(capacity))
    if any(fixed > most for fixed, most in zip(network.fixed, capacity, strict=True)):
        return None
    flow = network.flow_at(Fraction(1))
    if any(flow.left.values()):
        return None
    return [[int(tokens) for tokens in row] for row in flow.split()]


class _Network:
    """Experts with several hosts as nodes; those with one only fill their GPU."""

    def __init__(self, load: Sequence[int], hosts: Hosts, rate: list[int]) -> None:
        self.load, self.hosts, self.rate = load, hosts, rate
        self.fixed = [0] * len(rate)
        self.free: list[int] = []
        for expert, on in enumerate(hosts):
            if len(on) > 1 and load[expert]:
                self.free.append(expert)
            elif load[expert]:
                self.fixed[on[0]] += load[expert]

    def first_level(self) -> tuple[Fraction, set[int]]:
        """The best of the sets that are seen at once: all GPUs, one GPU, one expert's hosts."""
        used = set(range(len(self.rate)))
        best = Fraction(sum(self.load), sum(self.rate)), used
        for gpu, tokens in enumerate(self.fixed):
            if tokens * best[0].denominator > best[0].numerator * self.rate[gpu]:
                best = Fraction(tokens, self.rate[gpu]), {gpu}
        for expert in self.free:
            on = self.hosts[expert]
            tokens = self.load[expert] + sum(self.fixed[g] for g in on)
            if tokens * best[0].denominator > best[0].numerator * sum(self.rate[g] for g in on):
                best = Fraction(tokens, sum(self.rate[g] for g in on)), set(on)
        return best

    def ratio(self, gpus: set[int]) -> Fraction:
        """What the experts that live on these GPUs alone make of their load."""
        tokens = sum(self.fixed[g] for g in gpus)
        tokens += sum(self.load[e] for e in self.free if gpus.issuperset(self.hosts[e]))
        return Fraction(tokens, sum(self.rate[g] for g in gpus))

    def flow_at(self, level: Fraction) -> _Flow:
        """A maximum flow where no GPU takes more than the level times its speed."""
        return _Flow(self, level).filled()


class _Flow:
    """A flow in units of one over the level's denominator; GPUs may not be overfull.

    Parameters
    ----------
    network, level
        What flows, and to what height. No GPU's fixed load may exceed it.
    """

    def __init__(self, network: _Network, level: Fraction) -> None:
        self.network, self.unit = network, level.denominator
        self.room = [
            level.numerator * rate - fixed * self.unit
            for rate, fixed in zip(network.rate, network.fixed, strict=True)
        ]
        self.left = {e: network.load[e] * self.unit for e in network.free}
        self.sent = {e: dict.fromkeys(network.hosts[e], 0) for e in network.free}
        self.held: list[list[int]] = [[] for _ in network.rate]
        for expert in network.free:
            for gpu in network.hosts[expert]:
                self.held[gpu].append(expert)

    def filled(self) -> _Flow:
        """Send what goes directly, then along shortest augmenting paths until none is left."""
        for expert in self.left:
            for gpu in sorted(self.sent[expert], key=lambda g: -self.room[g]):
                self._send(expert, gpu, min(self.left[expert], self.room[gpu]))
        for expert in self.left:
            while self.left[expert] and (path := self._path(expert)):
                self._augment(expert, path)
        return self

    def unreached(self) -> set[int] | None:
        """The full GPUs behind a minimum cut; None where everything flows."""
        stuck = [expert for expert, left in self.left.items() if left]
        return self._reached(stuck)[0] if stuck else None

    def split(self) -> tuple[tuple[Fraction, ...], ...]:
        """By expert, the tokens of each host."""
        network = self.network
        return tuple(
            tuple(Fraction(self.sent[e][g], self.unit) for g in on)
            if e in self.sent
            else tuple(Fraction(w if i == 0 else 0) for i in range(len(on)))
            for e, (w, on) in enumerate(zip(network.load, network.hosts, strict=True))
        )

    def _send(self, expert: int, gpu: int, tokens: int) -> None:
        self.left[expert] -= tokens
        self.sent[expert][gpu] += tokens
        self.room[gpu] -= tokens

    def _path(self, expert: int) -> list[tuple[int, int]]:
        """(expert, GPU) pairs: each sends to its GPU, and the next of them leaves that GPU."""
        _, came, end = self._reached([expert])
        if end is None:
            return []
        path = []
        while end is not None:
            sender, previous = came[end]
            path.append((sender, end))
            end = previous
        return path[::-1]

    def _reached(
        self, experts: list[int]
    ) -> tuple[set[int], dict[int, tuple[int, int | None]], int | None]:
        """GPUs that tokens of these experts can be pushed to, breadth first.

        Ends at the first one with room; then that GPU comes last.
        """
        came: dict[int, tuple[int, int | None]] = {}
        seen = set(experts)
        queue: list[tuple[int, int | None]] = [(expert, None) for expert in experts]
        for expert, source in queue:
            for gpu in self.sent[expert]:
                if gpu in came:
                    continue
                came[gpu] = (expert, source)
                if self.room[gpu]:
                    return set(came), came, gpu
                for other in self.held[gpu]:
                    if other not in seen and self.sent[other][gpu]:
                        seen.add(other)
                        queue.append((other, gpu))
        return set(came), came, None

    def _augment(self, expert: int, path: list[tuple[int, int]]) -> None:
        """Push as much as fits along a path that ends at a GPU with room."""
        leaving = [(path[i + 1][0], path[i][1]) for i in range(len(path) - 1)]
        tokens = min(self.left[expert], self.room[path[-1][1]])
        tokens = min([tokens, *(self.sent[other][gpu] for other, gpu in leaving)])
        for other, gpu in leaving:
            self.sent[other][gpu] -= tokens
        for sender, gpu in path:
            self.sent[sender][gpu] += tokens
        self.left[expert] -= tokens
        self.room[path[-1][1]] -= tokens
