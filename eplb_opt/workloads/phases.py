"""Prefill and decode told apart in a recording of single steps, by the size of the steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_numpy

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFILL, DECODE, BOTH = "prefill", "decode", "both"
#: What can be asked for.
PHASES = (PREFILL, DECODE, BOTH)
#: Steps of the two phases differ by more than this on average; else it is a recording of one.
LEAST_RATIO = 4.0


@dataclass(frozen=True, eq=False)
class Phases:
    """Loads of the phases.

    Parameters
    ----------
    prefill, decode
        [num_layers, num_experts], the sums over the steps of each.
    num_prefill, num_decode
        Steps of each.
    least_prefill
        Assignments of the smallest step that counts as prefill, over all layers.
    """

    prefill: np.ndarray
    decode: np.ndarray
    num_prefill: int
    num_decode: int
    least_prefill: float

    def loads(self, phase: str) -> Sequence[np.ndarray]:
        """Loads of "prefill" or "decode", or of both in this order."""
        found = {PREFILL: [self.prefill], DECODE: [self.decode]}
        return found[PREFILL] + found[DECODE] if phase == BOTH else found[phase]


def phases(steps: Any) -> Phases:
    """Tell prefill from decode: a prefill step has many times the tokens of a decode step.

    No recorder's counts name the phase. The steps are cut in two where the logarithms of their
    sizes lie closest together on both sides (least squares). A step that serves both counts as
    prefill.

    Parameters
    ----------
    steps
        [num_steps, num_layers, num_experts]; those without tokens are left out.

    Raises
    ------
    ProblemError
        When all steps are of about one size.
    """
    found = as_numpy(steps, "steps")
    if found.ndim != 3:
        raise ProblemError(
            f"steps has shape {list(found.shape)}; it must be [num_steps, num_layers, num_experts]."
        )
    sizes = found.sum(axis=(1, 2), dtype=np.float64)
    found, sizes = found[sizes > 0], sizes[sizes > 0]
    order = np.argsort(sizes, kind="stable")
    logs = np.log(sizes[order])
    num = len(logs)
    below = np.arange(1, num)
    sums = np.cumsum(logs)[:-1]
    means = sums / below, (logs.sum() - sums) / (num - below)
    if num < 2 or means[1].size == 0:
        raise ProblemError(f"there are {num} steps with tokens; two or more tell the phases apart.")
    cut = int(np.argmax(below * means[0] ** 2 + (num - below) * means[1] ** 2))
    ratio = float(np.exp(means[1][cut] - means[0][cut]))
    if ratio < LEAST_RATIO:
        raise ProblemError(
            f"the steps are all of about one size (the larger ones {ratio:.3g} times the smaller), "
            "so they are of one phase: record single passes (SGLang: per_pass) of a server that "
            "does both, or give a recording of each phase."
        )
    is_prefill = np.zeros(num, dtype=bool)
    is_prefill[order[cut + 1 :]] = True
    return Phases(
        found[is_prefill].sum(axis=0),
        found[~is_prefill].sum(axis=0),
        int(is_prefill.sum()),
        int((~is_prefill).sum()),
        float(sizes[is_prefill].min()),
    )
