"""The sizes that a sweep looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_int

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Slots a GPU beyond the fewest that hold every expert, where none are asked for.
DEFAULT_EXTRA = 4


@dataclass(frozen=True, order=True)
class Size:
    """Slots of a layer on some GPUs; the fewest slots come first.

    Parameters
    ----------
    num_slots
        Physical experts a layer, over all GPUs.
    num_gpus
        GPUs, each with an equal part of the slots.
    """

    num_slots: int
    num_gpus: int

    @property
    def slots_per_gpu(self) -> int:
        """Slots of each GPU."""
        return self.num_slots // self.num_gpus

    def redundant(self, num_experts: int) -> int:
        """Slots beyond one for each expert, what engines call redundant experts."""
        return self.num_slots - num_experts

    def redundant_per_gpu(self, num_experts: int) -> float:
        """The same for one GPU; no whole number where the GPUs do not divide the experts."""
        return self.redundant(num_experts) / self.num_gpus


def make_sizes(
    num_experts: int,
    num_gpus: Sequence[int],
    *,
    num_slots: Sequence[int] | None = None,
    slots_per_gpu: Sequence[int] | None = None,
) -> list[Size]:
    """Every size to look at, GPU count by GPU count, the fewest slots first.

    Parameters
    ----------
    num_experts
        Every one needs a slot.
    num_gpus
        GPU counts.
    num_slots
        Slots over all GPUs; a GPU count gets those that it divides and that hold every expert.
    slots_per_gpu
        Instead of them: slots of one GPU. By default from the fewest that hold every expert to
        `DEFAULT_EXTRA` more.

    Raises
    ------
    ProblemError
        When a number cannot be used, or a GPU count is left without a size.
    """
    if num_slots is not None and slots_per_gpu is not None:
        raise ProblemError("num_slots and slots_per_gpu exclude each other; give one of them.")
    counts = sorted({as_int(gpus, "num_gpus") for gpus in num_gpus})
    if not counts:
        raise ProblemError("num_gpus is empty; name at least one number of GPUs.")
    if num_slots is not None:
        return _from_slots(num_experts, counts, num_slots)
    return _from_slots_per_gpu(num_experts, counts, slots_per_gpu)


def _from_slots(num_experts: int, counts: list[int], num_slots: Sequence[int]) -> list[Size]:
    wanted = sorted({as_int(slots, "num_slots") for slots in num_slots})
    fitting = {
        slots: [gpus for gpus in counts if slots % gpus == 0 and slots >= num_experts]
        for slots in wanted
    }
    for slots, gpus in fitting.items():
        if not gpus:
            below = max(_least(num_experts, counts[0]), slots - slots % counts[0])
            raise ProblemError(
                f"{slots} slots fit none of the GPU counts {_listed(counts)}: slots are a multiple "
                f"of the GPUs and at least the {num_experts} experts. On {counts[0]} GPUs take "
                f"{below} or {below + counts[0]}."
            )
    return sorted(
        (Size(slots, count) for slots, gpus in fitting.items() for count in gpus),
        key=lambda size: (size.num_gpus, size.num_slots),
    )


def _from_slots_per_gpu(
    num_experts: int, counts: list[int], slots_per_gpu: Sequence[int] | None
) -> list[Size]:
    found: list[Size] = []
    for gpus in counts:
        least = _least(num_experts, gpus) // gpus
        wanted = range(least, least + DEFAULT_EXTRA + 1) if slots_per_gpu is None else slots_per_gpu
        each = sorted({as_int(slots, "slots_per_gpu") for slots in wanted})
        sizes = [Size(slots * gpus, gpus) for slots in each if slots >= least]
        if not sizes:
            raise ProblemError(
                f"{_listed(each)} slots on each of {gpus} GPUs cannot hold {num_experts} experts; "
                f"{least} on each are the fewest that do."
            )
        found += sizes
    return found


def _least(num_experts: int, gpus: int) -> int:
    return -(-num_experts // gpus) * gpus


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
