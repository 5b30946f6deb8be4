"""Steps put into batches: the busiest GPUs first, and no GPU in two transfers of a batch."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from eplb_opt.placement.transfers.schedule import Transfer

if TYPE_CHECKING:
    from eplb_opt.placement.transfers.order import Step

#: How much less a step is worth that leaves its GPU without a partner: such steps fill gaps.
ALONE = 20


def in_batches(
    steps: list[Step], num_gpus: int, max_in_flight: int | None = None
) -> list[list[Transfer]]:
    """Batches in which the steps can run, no GPU twice in one; list scheduling.

    Parameters
    ----------
    steps
        The steps, each after those that it has to wait for.
    num_gpus
        The number of GPUs.
    max_in_flight
        The most transfers of a batch; None for no limit.
    """
    work = _Work(steps, num_gpus)
    batches = []
    while work.num_left:
        batches.append(work.next_batch(max_in_flight))
    return batches


class _Work:
    """What is left to do.

    A batch is a matching of the GPUs. The GPU chooses first that has the most transfers left and
    the longest chain of steps waiting for one of them; it takes the partner for which that sum is
    largest. Where a GPU finds none left, a pair that was made before is parted if both of its GPUs
    find another.
    """

    def __init__(self, steps: list[Step], num_gpus: int) -> None:
        self.steps = steps
        self.num_left = len(steps)
        self.num_awaited = [len(step.after) for step in steps]
        self.following: list[list[int]] = [[] for _ in steps]
        for number, step in enumerate(steps):
            for earlier in step.after:
                self.following[earlier].append(number)
        #: The number of steps in the longest chain that begins with each.
        self.chain = [1] * len(steps)
        for number in range(len(steps) - 1, -1, -1):
            self.chain[number] += max((self.chain[k] for k in self.following[number]), default=0)
        #: The GPUs of each step; both are the same where it needs one alone.
        self.ends = [(s.gpu, s.gpu if s.source_gpu < 0 else s.source_gpu) for s in steps]
        #: The number of transfers that each GPU has left.
        self.left = [0] * num_gpus
        #: Steps that can run, under both of their GPUs; the longest chain first.
        self.ready: list[dict[int, list[tuple[int, int]]]] = [{} for _ in range(num_gpus)]
        for number, ends in enumerate(self.ends):
            for gpu in set(ends):
                self.left[gpu] += 1
            if not self.num_awaited[number]:
                self._make_ready(number)

    def next_batch(self, limit: int | None) -> list[Transfer]:
        """Take the steps of one batch."""
        mate = self._matched()
        pairs = [(gpu, other) for gpu, other in mate.items() if gpu <= other][:limit]
        taken = [self._take(*pair) for pair in pairs]
        for number in taken:
            self._finish(number)
        self.num_left -= len(taken)
        return [self._transfer(self.steps[number]) for number in taken]

    def _matched(self) -> dict[int, int]:
        """The partner of each GPU, itself where it works alone, in the order of choice."""
        ready, left = self.ready, self.left
        urgency = {
            gpu: left[gpu] - min([queue[0][0] for queue in partners.values()])
            for gpu, partners in enumerate(ready)
            if partners
        }
        order = sorted(urgency, key=lambda gpu: (-urgency[gpu], gpu))
        mate: dict[int, int] = {}
        alone = []
        for gpu in order:
            if gpu in mate:
                continue
            partner = self._best(gpu, mate)
            if partner is None:
                alone.append(gpu)
            else:
                mate[gpu] = partner
                mate[partner] = gpu
        for gpu in alone:
            if gpu not in mate:
                self._part(gpu, mate)
        return mate

    def _best(self, gpu: int, mate: dict[int, int], but: int = -1) -> int | None:
        """The best partner of a GPU among those that have none."""
        left, best, most = self.left, None, 0
        for other, queue in self.ready[gpu].items():
            if (other == gpu or other not in mate) and other != but:
                worth = left[other] - queue[0][0] - (ALONE if other == gpu else 0)
                if best is None or worth > most:
                    best, most = other, worth
        return best

    def _part(self, gpu: int, mate: dict[int, int]) -> None:
        """Give a GPU a partner whose own finds another."""
        for wanted in self.ready[gpu]:
            before = mate[wanted]
            if before == wanted:
                continue
            instead = self._best(before, mate, but=gpu)
            if instead is not None:
                mate[gpu], mate[wanted] = wanted, gpu
                mate[before] = instead
                mate[instead] = before
                return

    def _take(self, gpu: int, other: int) -> int:
        queue = self.ready[gpu][other]
        _, number = heappop(queue)
        if not queue:
            del self.ready[gpu][other]
            self.ready[other].pop(gpu, None)
        return number

    def _make_ready(self, number: int) -> None:
        gpu, other = self.ends[number]
        queue = self.ready[gpu].get(other)
        if queue is None:
            queue = self.ready[gpu][other] = self.ready[other][gpu] = []
        heappush(queue, (-self.chain[number], number))

    def _finish(self, number: int) -> None:
        """Count what is done, and make ready what waited for it alone."""
        for gpu in set(self.ends[number]):
            self.left[gpu] -= 1
        for later in self.following[number]:
            self.num_awaited[later] -= 1
            if not self.num_awaited[later]:
                self._make_ready(later)

    @staticmethod
    def _transfer(step: Step) -> Transfer:
        return Transfer(
            step.layer_idx, step.expert_idx, step.source_gpu, step.source_slot, step.gpu, step.slot
        )
