"""An order in which the slots of a layer can be overwritten one by one, in place."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eplb_opt.placement.transfers.layer import LayerChange

if TYPE_CHECKING:
    from eplb_opt.placement.transfers.change import Change


@dataclass(slots=True, eq=False)
class Step:
    """One transfer to come.

    Parameters
    ----------
    layer_idx, expert_idx
        The layer, and the expert of it that is copied.
    gpu, slot
        Where it goes to.
    sources
        Slots that hold the expert when its turn comes: on the same GPU where there is one, else
        one a GPU on the same node, else one a GPU anywhere; none where it comes from storage.
    after
        Steps that have to be over before this one begins, by their numbers.
    source_gpu, source_slot
        The source that was chosen; -1 for storage.
    """

    layer_idx: int
    expert_idx: int
    gpu: int
    slot: int
    sources: list[int]
    after: list[int] = field(default_factory=list)
    source_gpu: int = -1
    source_slot: int = -1


class Orderer:
    """Puts the slots of the layers in order, and notes the sources that each has in its turn.

    A slot may be overwritten when nobody needs what it holds: no slot still to be written wants
    that expert. Where every slot left holds something that is needed, one is taken whose expert
    keeps another replica, if possible one as near to those who need it. Experts whose replicas are
    all to be overwritten come last: the first who gets such an expert keeps it, so that one replica
    has to wait for that, and the others need not.

    Parameters
    ----------
    change
        The change from one plan to the other.
    """

    def __init__(self, change: Change) -> None:
        self.gpu_of, self.node_of = change.gpu_of(), change.node_of()
        self.is_flat = change.num_nodes == 1
        self.steps: list[Step] = []
        #: The cycles that need staging: the layer and the slots; see `LayerChange.pure_cycles`.
        self.cycles: list[tuple[int, list[int]]] = []
        rows = zip(change.old.tolist(), change.new.tolist(), change.is_written, strict=True)
        for layer_idx, (old, new, is_written) in enumerate(rows):
            written = is_written.nonzero()[0].tolist()
            if written:
                self._order(layer_idx, LayerChange(old, new, written))

    def _order(self, layer_idx: int, layer: LayerChange) -> None:
        self.layer_idx, self.layer = layer_idx, layer
        self.open = dict.fromkeys(self._entries() + layer.written)  # ordered, unlike a set
        for cycle in layer.pure_cycles():
            self.cycles.append((layer_idx, cycle))
            for slot in cycle:
                del self.open[slot]
        self.left = {expert: len(slots) for expert, slots in layer.wanted_in.items()}
        self.gone: dict[int, list[tuple[int, int]]] = {}
        self.free = deque(slot for slot in self.open if layer.old[slot] not in layer.held_in)
        self.spare = [slot for slot in self.open if layer.old[slot] in layer.kept]
        while self.open:
            if self.free:
                self._write(self.free.popleft())
            else:
                self._write(self._second_source(), is_needed=True)

    def _entries(self) -> list[int]:
        """Slots that are the first of their node to get an expert; others there wait for them."""
        if self.is_flat:
            return []
        node_of = [self.node_of[gpu] for gpu in self.gpu_of]
        first = {(self.layer.new[slot], node_of[slot]): slot for slot in self.layer.written[::-1]}
        for expert, holders in self.layer.held_in.items():
            for slot in holders:
                first.pop((expert, node_of[slot]), None)
        return sorted(first.values())

    def _write(self, slot: int, is_needed: bool = False) -> None:
        """Take a slot's turn; what it held is gone then, and it is a source of what it got."""
        layer = self.layer
        expert, gone = layer.new[slot], layer.old[slot]
        holders = layer.held_in[expert]
        step = Step(self.layer_idx, expert, self.gpu_of[slot], slot, self._nearest(slot, holders))
        if expert in self.gone:
            step.after += self._nearer_ones(expert, slot, step.sources[0])
        if is_needed:
            self.gone.setdefault(gone, []).append((len(self.steps), slot))
        self.steps.append(step)
        del self.open[slot]
        if gone in layer.held_in:
            layer.held_in[gone].remove(slot)
        holders.append(slot)
        self.left[expert] -= 1
        if not self.left[expert]:
            self.free += [held for held in holders if held in self.open]
        elif expert not in layer.kept:
            self.spare += [held for held in holders if held in self.open]
        layer.kept.add(expert)

    def _nearest(self, slot: int, holders: list[int]) -> list[int]:
        """The holders that are as near to a slot as any, one a GPU."""
        gpu_of = self.gpu_of
        gpu = gpu_of[slot]
        for held in holders:
            if gpu_of[held] == gpu:
                return [held]
        if len(holders) <= 1:
            return list(holders)
        near = holders
        if not self.is_flat:
            node = self.node_of[gpu]
            near = [h for h in holders if self.node_of[gpu_of[h]] == node] or holders
        # The first of a GPU is one that nobody waits for, if there is one.
        return list({gpu_of[held]: held for held in reversed(near)}.values())[::-1]

    def _distance(self, slot: int, other: int) -> int:
        gpu, far = self.gpu_of[slot], self.gpu_of[other]
        return 0 if gpu == far else 1 if self.node_of[gpu] == self.node_of[far] else 2

    def _nearer_ones(self, expert: int, slot: int, source: int) -> list[int]:
        """Steps that overwrote a source nearer than the one at hand.

        They come first in the batches, too: no transfer goes a long way while there is a shorter.
        """
        reach = self._distance(slot, source)
        return [k for k, gone in self.gone[expert] if self._distance(slot, gone) < reach]

    def _second_source(self) -> int:
        """A slot to overwrite though its expert is still needed: another replica serves for it."""
        self.spare = [slot for slot in self.spare if slot in self.open]
        if self.spare:
            return min(self.spare, key=lambda slot: (self._loss(slot), slot))
        return self._on_a_circle()

    def _loss(self, slot: int) -> int:
        """How much farther those who need a slot's expert have to go without it, summed up."""
        expert = self.layer.old[slot]
        others = [held for held in self.layer.held_in[expert] if held != slot]
        loss = 0
        for taker in self.layer.wanted_in[expert]:
            if taker in self.open:
                reach = min(self._distance(taker, held) for held in others)
                loss += max(reach - self._distance(taker, slot), 0)
        return loss

    def _on_a_circle(self) -> int:
        """A slot whose expert has two replicas, and gets back to it if one of them goes.

        No slot left is free, and of no expert is there a replica that stays. Follow the experts
        from the slot that holds one to those that want it, backwards: that never ends, so that it
        ends in a strongly connected part, into which nothing leads. There an expert has two
        replicas, since the part would otherwise be a pure cycle. One of them is taken: what it
        wants leads, round the part, to a slot that wants the expert, and the other waits for that.
        """
        layer = self.layer
        for slot in self.open:
            expert = layer.old[slot]
            if len(layer.held_in[expert]) > 1 and self._reaches(layer.new[slot], expert):
                return slot
        raise RuntimeError(f"layer {self.layer_idx} has a cycle without a second source")

    def _reaches(self, first: int, expert: int) -> bool:
        """Whether writing what was wanted leads from one expert to another, slot by slot."""
        layer, seen, stack = self.layer, {first}, [first]
        while stack:
            at = stack.pop()
            if at == expert:
                return True
            for slot in layer.held_in[at]:
                following = layer.new[slot]
                if slot in self.open and following not in seen:
                    seen.add(following)
                    stack.append(following)
        return False
