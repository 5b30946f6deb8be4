"""Mean, scatter and skewness of the GPU loads of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.workloads.forecast.hosts import BY_SENDER, DRAWN, EVEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.workloads.forecast.draws import Draws
    from eplb_opt.workloads.forecast.hosts import Hosts


@dataclass(frozen=True, eq=False)
class GpuLoads:
    """GPU loads of a step over their mean, as if the GPUs were independent.

    The loads of a step sum to the same total in every step, so those of two GPUs are correlated by
    about -1 / (num_gpus - 1). Adding one number with mean 0 to all of them makes them uncorrelated
    and keeps the expected largest; that number's variance is `shared`.

    Parameters
    ----------
    mean, deviation, skewness
        float64 [num_layers, num_gpus].
    shared
        float64 [num_layers], the variance that was added.
    """

    mean: np.ndarray
    deviation: np.ndarray
    skewness: np.ndarray
    shared: np.ndarray

    @classmethod
    def of(
        cls, draws: Draws, hosts: Hosts, law: str, num_tokens: int, speed: np.ndarray
    ) -> GpuLoads:
        """The moments under a dispatch.

        Parameters
        ----------
        draws
            The experts of a token.
        hosts
            The GPUs of an expert.
        law
            `EVEN`, `DRAWN` or `BY_SENDER`.
        num_tokens
            Tokens of the step, on all GPUs.
        speed
            float64 [num_gpus]; 0 for a GPU that is lost.
        """
        rate = draws.rate[hosts.layer, hosts.expert]
        spread = draws.spread[hosts.layer, hosts.expert]
        one = draws.is_independent[hosts.layer]
        variance, third = LAWS[law](hosts.share, rate, spread, one)
        mean = hosts.per_gpu(hosts.share * rate)
        # The part of the scatter that a fixed number of experts a token takes away.
        tied = hosts.per_gpu(hosts.share * spread) ** 2
        whole = draws.spread.sum(axis=1)[:, None]
        found = hosts.per_gpu(variance) - tied / np.where(whole > 0, whole, 1)
        live = speed > 0
        num_gpus = int(live.sum())
        level = draws.experts_per_token / speed.sum() * np.where(live, speed, np.inf)
        apart = num_gpus / max(num_gpus - 1, 1)
        variance = apart * np.maximum(found, 0) / (num_tokens * level**2)
        third = hosts.per_gpu(third) / (num_tokens**2 * level**3)
        deviation = np.sqrt(variance)
        skewness = third / np.maximum(deviation, 1e-30) ** 3
        shared = variance[:, live].mean(axis=1) / num_gpus
        return cls(mean[:, live] / level[live], deviation[:, live], skewness[:, live], shared)


Moments = tuple[np.ndarray, np.ndarray]


def _even(share: np.ndarray, rate: np.ndarray, spread: np.ndarray, one: np.ndarray) -> Moments:
    """A fixed part of the tokens that choose the expert."""
    return share**2 * spread, share**3 * _third(rate, spread, one)


def _drawn(share: np.ndarray, rate: np.ndarray, spread: np.ndarray, one: np.ndarray) -> Moments:
    """Each token that chooses the expert comes here with probability `share`."""
    part = share * rate
    variance = part * np.where(one, 1, 1 - part)
    return variance, _third(part, variance, one)


def _by_sender(share: np.ndarray, rate: np.ndarray, spread: np.ndarray, one: np.ndarray) -> Moments:
    """All the tokens of a part of the GPUs that choose the expert."""
    return share * spread, share * _third(rate, spread, one)


def _third(rate: np.ndarray, spread: np.ndarray, one: np.ndarray) -> np.ndarray:
    """The third cumulant of a choice."""
    return spread * np.where(one, 1, 1 - 2 * rate)


#: Law -> variance and third cumulant of what one token adds to a host, [num_pairs] each.
LAWS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Moments]] = {
    EVEN: _even,
    DRAWN: _drawn,
    BY_SENDER: _by_sender,
}
