"""Steps put into batches: the busiest GPUs first, and no GPU in two transfers of a batch."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from eplb_opt.placement.transfers.schedule import Transfer

if TYPE_CHECKING:
    from eplb_opt.placement.transfers.change import Change
    from eplb_opt.placement.transfers.order import Step


def in_batches(steps: list[Step], change: Change) -> list[list[Transfer]]:
    """Batches in which the steps can run; list scheduling.

    Parameters
    ----------
    steps
        The steps, each after those that it has to wait for.
    change
        The change from one plan to the other, with the limits.
    """
    work = _Work(steps, change)
    batches = []
    while work.num_left:
        batches.append(work.next_batch())
    return batches


class _Work:
    """What is left to do.

    Every batch pairs the GPUs up: one with the most left to do chooses first, and takes the
    partner with the most left to do, or the step on which the longest chain waits.
    """

    def __init__(self, steps: list[Step], change: Change) -> None:
        self.steps, self.change = steps, change
        self.num_left = len(steps)
        self.following: list[list[int]] = [[] for _ in steps]
        self.num_awaited = [0] * len(steps)
        for number, step in enumerate(steps):
            self.num_awaited[number] = len(step.after)
            for earlier in step.after:
                self.following[earlier].append(number)
        #: Steps of the longest chain that begins with each.
        self.chain = [1] * len(steps)
        for number in range(len(steps) - 1, -1, -1):
            self.chain[number] += max((self.chain[k] for k in self.following[number]), default=0)
        #: Transfers that each GPU has left.
        self.left = [0] * change.num_gpus
        #: Ready steps by both GPUs of each, the longest chain first; by one GPU twice if alone.
        self.ready: list[dict[int, list[tuple[int, int]]]] = [{} for _ in range(change.num_gpus)]
        for number, step in enumerate(steps):
            for gpu in self._ends(step):
                self.left[gpu] += 1
            if not self.num_awaited[number]:
                self._make_ready(number)

    @staticmethod
    def _ends(step: Step) -> set[int]:
        return {step.gpu} if step.source_gpu < 0 else {step.gpu, step.source_gpu}

    def _make_ready(self, number: int) -> None:
        step = self.steps[number]
        gpu, other = step.gpu, step.gpu if step.source_gpu < 0 else step.source_gpu
        queue = self.ready[gpu].get(other)
        if queue is None:
            queue = self.ready[gpu][other] = self.ready[other][gpu] = []
        heappush(queue, (-self.chain[number], number))

    def next_batch(self) -> list[Transfer]:
        """Take the steps of one batch."""
        left, ready = self.left, self.ready
        taken: list[int] = []
        free = [bool(partners) for partners in ready]
        urgency = [
            max(amount, max((-queue[0][0] for queue in partners.values()), default=0))
            for amount, partners in zip(left, ready, strict=True)
        ]
        order = sorted((-urgency[g], -left[g], g) for g in range(len(left)) if free[g])
        limit = self.change.max_in_flight or len(order)
        for _, _, gpu in order:
            if not free[gpu]:
                continue
            best, partner = (-1, 0), -1
            for other, queue in ready[gpu].items():
                if free[other]:
                    worth = (max(left[other], -queue[0][0]), left[other]) if other != gpu else (0, 0)
                    if worth > best:
                        best, partner = worth, other
            if partner < 0:
                continue
            free[gpu] = free[partner] = False
            queue = ready[gpu][partner]
            taken.append(heappop(queue)[1])
            if not queue:
                del ready[gpu][partner]
                if partner != gpu:
                    del ready[partner][gpu]
            if len(taken) == limit:
                break
        transfers = [self._transfer(number) for number in taken]
        for number in taken:
            self._finish(number)
        self.num_left -= len(taken)
        return transfers

    def _transfer(self, number: int) -> Transfer:
        step = self.steps[number]
        return Transfer(
            step.layer_idx, step.expert_idx, step.source_gpu, step.source_slot, step.gpu, step.slot
        )

    def _finish(self, number: int) -> None:
        """Count what is done, and make ready what waited for it alone."""
        for gpu in self._ends(self.steps[number]):
            self.left[gpu] -= 1
        for later in self.following[number]:
            self.num_awaited[later] -= 1
            if not self.num_awaited[later]:
                self._make_ready(later)
