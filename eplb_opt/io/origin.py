"""What reading loads has shown besides the loads: for whoever asks whether they are plausible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: A float row is taken for shares where its sum is so near to 1.
SHARE_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class Steps:
    """What the steps of a recording show that their sum does not.

    Parameters
    ----------
    first
        The first step, [num_layers, num_experts].
    num_steps
        Steps that were added up.
    never_falls
        Whether no load is below that of the step before, and every step's total is above it.
    is_binary
        Whether there is nothing but 0 and 1.
    is_shares
        Whether loads are fractions that add up to 1 in every layer of every step.
    layer_spread, step_spread
        Within a step, how far the totals of the layers lie apart, and within a layer, those of the
        steps: the largest difference, as a share of the mean total.
    whole_spread
        How far the totals of whole steps lie apart, as a share of their mean.
    """

    first: np.ndarray
    num_steps: int
    never_falls: bool
    is_binary: bool
    is_shares: bool
    layer_spread: float
    step_spread: float
    whole_spread: float


class StepWatch:
    """Looks at steps as they pass by, in the memory of one."""

    def __init__(self) -> None:
        self._first: np.ndarray | None = None
        self._last: np.ndarray | None = None
        self._num = 0
        self._never_falls = self._is_binary = self._is_shares = True
        self._most_apart = self._sum = 0.0
        self._lowest: np.ndarray | None = None
        self._highest: np.ndarray | None = None
        self._whole = (np.inf, -np.inf)

    def add(self, chunk: np.ndarray) -> None:
        """Look at some steps, [num, num_layers, num_experts]."""
        if self._first is None:
            self._first = chunk[0].copy()
        totals = chunk.sum(axis=2, dtype=np.float64)
        self._is_binary = self._is_binary and bool(((chunk == 0) | (chunk == 1)).all())
        self._is_shares = (
            self._is_shares
            and chunk.dtype.kind == "f"
            and bool((np.abs(totals - 1) < SHARE_ROUNDING).all())
        )
        self._never_falls = self._never_falls and self._rises(chunk, totals)
        self._most_apart = max(self._most_apart, float(np.ptp(totals, axis=1).max()))
        self._sum += float(totals.sum())
        low, high = totals.min(axis=0), totals.max(axis=0)
        self._lowest = low if self._lowest is None else np.minimum(self._lowest, low)
        self._highest = high if self._highest is None else np.maximum(self._highest, high)
        whole = totals.sum(axis=1)
        self._whole = min(self._whole[0], whole.min()), max(self._whole[1], whole.max())
        self._last = chunk[-1].copy()
        self._num += len(chunk)

    def _rises(self, chunk: np.ndarray, totals: np.ndarray) -> bool:
        inside = bool((chunk[1:] >= chunk[:-1]).all() and (np.diff(totals.sum(axis=1)) > 0).all())
        if self._last is None:
            return inside
        step_up = chunk[0].sum(dtype=np.float64) > self._last.sum(dtype=np.float64)
        return inside and bool((chunk[0] >= self._last).all() and step_up)

    def steps(self) -> Steps | None:
        """What was seen; None where nothing was."""
        if self._first is None or self._lowest is None or self._highest is None:
            return None
        mean = self._sum / (self._num * len(self._lowest)) or 1.0
        return Steps(
            self._first,
            self._num,
            self._never_falls and self._num > 1,
            self._is_binary,
            self._is_shares,
            self._most_apart / mean,
            float((self._highest - self._lowest).max()) / mean,
            float(self._whole[1] - self._whole[0]) / (mean * len(self._lowest)),
        )


@dataclass(frozen=True, eq=False)
class Origin:
    """How loads came about, as far as their reader knows.

    Parameters
    ----------
    steps
        What the steps showed; None where they did not come one by one.
    ranks
        Ranks whose files were added up; none where the recording does not speak of ranks.
    may_lack_experts
        Whether experts without load are left out, so that there may be more than the last one seen.
    notes
        What the reader has taken one way and could have taken another, in sentences.
    """

    steps: Steps | None = None
    ranks: tuple[int, ...] = ()
    may_lack_experts: bool = False
    notes: tuple[str, ...] = ()
