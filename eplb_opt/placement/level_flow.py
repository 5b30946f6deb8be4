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
.. [1] T. Radzik, "Fractional combinatorial optimization", in Handbook of Combinatorial
   Optimization, 1998: few steps suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import lcm

Hosts = Sequence[Sequence[int]]


@dataclass(frozen=True, eq=False)
class LevelFlow:
    """The best split of every expert's load over its hosts, and why there is none better.

    Parameters
    ----------
    level
        The largest GPU load over speed, exact.
    tight
        GPUs that are full: the experts that live on them alone fill them to the level.
    """

    level: Fraction
    tight: frozenset[int]
    _found: _Flow

    @cached_property
    def flow(self) -> tuple[tuple[Fraction, ...], ...]:
        """By expert, what each of its hosts gets, in the order of the hosts; adds up to its load.

        Only where it is asked for: as rationals it takes longer than finding the level.
        """
        return self._found.split()


def least_level(
    load: Sequence[int], hosts: Hosts, num_gpus: int, speed: Sequence[Fraction] | None = None
) -> LevelFlow:
    """Split loads over hosts so that the largest GPU load is least.

    Parameters
    ----------
    load
        [num_experts], integers of at least 0.
    hosts
        For each expert, the GPUs that hold a copy; each once, at least one where there is load.
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
    return LevelFlow(level * scaled, frozenset(tight), flow)


def whole_split(
    load: Sequence[int], hosts: Hosts, capacity: Sequence[int]
) -> list[list[int]] | None:
    """Split loads into whole numbers of tokens that fit whole capacities, if they do.

    Parameters
    ----------
    load, hosts
        The loads, tokens, and the GPUs that hold each expert, as for `least_level`.
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
    sent = flow.sent
    return [
        list(sent[e].values()) if e in sent else [load[e] if i == 0 else 0 for i in range(len(on))]
        for e, on in enumerate(hosts)
    ]


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
        The network, and the largest load over speed that a GPU may have. No GPU's fixed load may
        exceed it.
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
        """Send what goes directly, then all that shortest augmenting paths carry, until none is.

        In rounds of one breadth-first search each, as Dinic's method has it (Soviet Mathematics
        Doklady 11, 1970).
        """
        for expert in self.left:
            for gpu in sorted(self.sent[expert], key=lambda g: -self.room[g]):
                tokens = min(self.left[expert], self.room[gpu])
                self._send(expert, gpu, tokens)
                self.left[expert] -= tokens
        while True:
            stuck = [expert for expert, left in self.left.items() if left]
            gpus, experts, has_room = self._distances(stuck)
            if not has_room:
                return self
            # Each expert may send one step further only, and what is found full is not asked twice.
            untried = {
                expert: [g for g in self.sent[expert] if gpus.get(g) == depth]
                for expert, depth in experts.items()
            }
            for expert in stuck:
                self.left[expert] -= self._push(expert, self.left[expert], gpus, experts, untried)

    def unreached(self) -> set[int] | None:
        """The full GPUs behind a minimum cut; None where everything flows."""
        stuck = [expert for expert, left in self.left.items() if left]
        return set(self._distances(stuck)[0]) if stuck else None

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
        self.sent[expert][gpu] += tokens
        self.room[gpu] -= tokens

    def _distances(self, stuck: list[int]) -> tuple[dict[int, int], dict[int, int], bool]:
        """GPUs that tokens of these experts reach, experts between, and whether a GPU has room.

        Each with its distance. Ends with the one at which the first GPU has room.
        """
        gpus: dict[int, int] = {}
        experts = dict.fromkeys(stuck, 0)
        layer, depth, has_room = list(stuck), 0, False
        while layer and not has_room:
            reached = {g: depth for e in layer for g in self.sent[e] if g not in gpus}
            gpus.update(reached)
            has_room = any(self.room[gpu] for gpu in reached)
            depth += 1
            found = {
                e: depth
                for gpu in reached
                for e in self.held[gpu]
                if e not in experts and self.sent[e][gpu]
            }
            experts.update(found)
            layer = list(found)
        return gpus, experts, has_room

    def _push(
        self,
        expert: int,
        tokens: int,
        gpus: dict[int, int],
        experts: dict[int, int],
        untried: dict[int, list[int]],
    ) -> int:
        """Push tokens of an expert to GPUs one step further, and theirs on; how many found room."""
        pushed = 0
        while untried[expert] and pushed < tokens:
            gpu = untried[expert][-1]
            sent = min(tokens - pushed, self.room[gpu])
            self._send(expert, gpu, sent)
            pushed += sent
            for other in self.held[gpu]:
                if pushed == tokens:
                    break
                movable = min(self.sent[other][gpu], tokens - pushed)
                if movable and experts.get(other) == gpus[gpu] + 1:
                    moved = self._push(other, movable, gpus, experts, untried)
                    self.sent[other][gpu] -= moved
                    self.sent[expert][gpu] += moved
                    pushed += moved
            if pushed < tokens:
                untried[expert].pop()  # nothing more goes that way in this round
        return pushed
