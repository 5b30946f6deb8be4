"""How far recorded steps vary beyond chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eplb_opt.workloads.forecast.draws import Draws

#: Steps that a forecast is averaged over; evenly spread over the recording.
MAX_STEPS = 32


@dataclass(frozen=True, eq=False)
class Bursts:
    """What the traffic of single steps asks for, their own chance taken off.

    A step's loads differ from the mean by chance, which a forecast adds by itself, and by what its
    requests have in common. The second part is found by subtraction: the sum over the experts of
    the squared differences, less what chance makes of it. The differences of all steps are then
    shrunk alike until their squares sum to that part.

    Parameters
    ----------
    load
        float64 [num_steps, num_layers, num_experts], shares of the assignments.
    dispersion
        float64 [num_layers], the squared differences over what chance alone makes of them: 1 where
        steps vary by chance alone.
    step_tokens
        Tokens of a recorded step, the median.
    """

    load: np.ndarray
    dispersion: np.ndarray
    step_tokens: float

    @classmethod
    def of(cls, steps: np.ndarray, load: np.ndarray, experts_per_token: int) -> Bursts:
        """Those of a recording.

        Parameters
        ----------
        steps
            float64 [num_steps, num_layers, num_experts], at least two steps.
        load
            float64 [num_layers, num_experts], the mean that the steps are thought to vary around.
        experts_per_token
            Experts that a token goes to.
        """
        total = steps.sum(axis=2)
        kept = total > 0
        share = steps / np.where(kept, total, 1)[..., None]
        summed = steps.sum(axis=0)
        mean = Draws.of(summed, experts_per_token)
        centre = mean.rate / experts_per_token
        seen = (kept[..., None] * (share - centre) ** 2).sum(axis=2)
        chance = _chance(mean, total, kept)
        # Every step's share is measured from a mean that the step is part of.
        chance *= 1 - total / np.maximum(total.sum(axis=0), 1)
        by_chance = chance.sum(axis=0)
        dispersion = seen.sum(axis=0) / np.where(by_chance > 0, by_chance, 1)
        dispersion = np.where(by_chance > 0, dispersion, 1.0)
        shrink = np.sqrt(np.maximum(1 - 1 / np.maximum(dispersion, 1), 0))
        chosen = np.unique(np.linspace(0, len(steps) - 1, MAX_STEPS).round().astype(np.int64))
        moved = kept[chosen, :, None] * (share[chosen] - centre)
        planned = load / np.maximum(load.sum(axis=1, keepdims=True), 1e-300)
        found = np.maximum(planned + shrink[:, None] * moved, 0)
        tokens = float(np.median(total[kept])) / experts_per_token if kept.any() else 0.0
        return cls(found, dispersion, tokens)


def _chance(mean: Draws, total: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Squared differences of shares that chance makes, summed, float64 [num_steps, num_layers]."""
    whole = mean.spread.sum(axis=1)
    of_token = whole - (mean.spread**2).sum(axis=1) / np.where(whole > 0, whole, 1)
    tokens = total / mean.experts_per_token
    scale = mean.experts_per_token**2 * np.where(kept, tokens, 1)
    return np.asarray(np.where(kept, of_token / scale, 0.0))
