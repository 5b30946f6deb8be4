"""Steps under optimal dispatch, which splits the tokens of each step anew.

The level that a step can reach follows from its counts by a maximum flow. No formula is known for
what it is on average, so steps are sampled and split by the compiled dispatcher, always the same
ones. What the experts that stand on one GPU alone make of the level has a formula, and is taken as
a control variate [1]_: the samples only estimate by how much the level differs from it.

References
----------
.. [1] S. Asmussen and P. W. Glynn, "Stochastic Simulation", 2007, chapter V.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt import core
from eplb_opt.engines.dispatch.routes import Pairs
from eplb_opt.workloads.forecast.largest import inverse_of_largest, standard_values

if TYPE_CHECKING:
    from eplb_opt.workloads.forecast.draws import Draws
    from eplb_opt.workloads.forecast.hosts import Hosts

#: Steps that are sampled. A layer's estimate is off by 0.0015 of balancedness at most, most by a
#: third of that, at 64 tokens a GPU; by less in larger steps.
NUM_SAMPLES = 128
#: The same where every token draws its replica, which takes longer to follow.
NUM_DRAWN, NUM_LEVELS = 64, 32
#: The same for each of many recorded steps that a forecast is averaged over.
NUM_EACH = 16
#: Speed of a GPU that is lost, for those who divide by it.
NO_SPEED = 1e-9


@dataclass(frozen=True, eq=False)
class Sampled:
    """An estimate of one over the largest load.

    Parameters
    ----------
    mean, variance
        float64 [num_layers], as `largest.Inverse` has them.
    error
        float64 [num_layers], the standard error of `mean`.
    """

    mean: np.ndarray
    variance: np.ndarray
    error: np.ndarray


class Splitter:
    """A plan, made ready for splitting steps.

    Parameters
    ----------
    hosts
        The GPUs of the experts.
    speed
        float64 [num_gpus], 0 for a lost one.
    """

    def __init__(self, hosts: Hosts, speed: np.ndarray) -> None:
        plan = hosts.plan
        placed = np.ascontiguousarray(plan.physical_to_logical, dtype=np.int64)
        self.routes = core.dispatch.Routes(placed, plan.num_experts, plan.num_gpus)
        self.hosts, self.alone = hosts, hosts.alone()
        self.pair_of_slot = Pairs.trace(plan).of_slot
        self.speed = speed

    def levels(self, load: np.ndarray) -> np.ndarray:
        """Largest GPU load over the mean, float64 [num_steps, num_layers], after the best split."""
        return self._split(load)[1]

    def shares(self, load: np.ndarray) -> np.ndarray:
        """The part of its expert's tokens that each pair gets, float64 [num_steps, num_pairs]."""
        weights, of_slot = self._split(load)[0], self.pair_of_slot
        filled, num_pairs = of_slot >= 0, len(self.hosts.gpu)
        return np.array([np.bincount(of_slot[filled], row[filled], num_pairs) for row in weights])

    def _split(self, load: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        speed = np.where(self.speed > 0, self.speed, NO_SPEED)
        weights, level = self.routes.split(np.ascontiguousarray(load), speed)
        return weights, level * self.speed.sum() / load.sum(axis=2)

    def expected(
        self,
        draws: Draws,
        num_tokens: int,
        seed: int,
        *,
        is_drawn: bool = False,
        is_one_of_many: bool = False,
    ) -> Sampled:
        """What one over the largest load of a step is expected to be.

        Parameters
        ----------
        draws
            The experts of a token.
        num_tokens
            Tokens of the step.
        seed
            Of the samples.
        is_drawn
            Whether each token draws its replica with the best shares, and is not dealt by them.
        is_one_of_many
            Whether it is one of many estimates that are averaged; each takes fewer samples then.
        """
        num = NUM_EACH if is_one_of_many else NUM_DRAWN if is_drawn else NUM_SAMPLES
        free, tied = sampled_counts(draws, num_tokens, num, seed)
        if is_drawn:
            found, within = self._drawn(tied)
        else:
            found = 1 / self.levels(tied)
            within = np.zeros(1)
        control, known = self._alone_level(draws, free, num_tokens)
        centred = control - control.mean(axis=0)
        scatter = (centred**2).sum(axis=0)
        slope = (centred * found).sum(axis=0) / np.where(scatter > 0, scatter, 1)
        slope = np.clip(slope, 0, 1)
        rest = found - slope * centred
        mean = found.mean(axis=0) + slope * (known - control.mean(axis=0))
        error = rest.std(axis=0) / np.sqrt(len(found))
        return Sampled(np.minimum(mean, 1.0), found.var(axis=0) + within.mean(axis=0), error)

    def _drawn(self, load: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of one over the largest load of each step, if tokens draw replicas."""
        hosts, speed = self.hosts, self.speed
        share, tokens = self.shares(load), load[:, hosts.layer, hosts.expert]
        spread = tokens * share * (1 - share)
        level = load.sum(axis=2)[..., None] * np.where(speed > 0, speed, np.inf) / speed.sum()
        mean = hosts.per_gpu(tokens * share) / level
        # What one GPU gets another lacks: the same common shift as in `gpu_loads`.
        num_live = int((speed > 0).sum())
        variance = hosts.per_gpu(spread) / level**2 * (num_live / max(num_live - 1, 1))
        deviation, shared = np.sqrt(variance), variance.sum(axis=2).ravel() / num_live**2
        third = hosts.per_gpu(spread * (1 - 2 * share)) / level**3
        skewness = third / np.maximum(deviation, 1e-30) ** 3
        mean, deviation, skewness = (
            each.reshape(-1, len(speed)) for each in (mean, deviation, skewness)
        )
        found = inverse_of_largest(mean, deviation, skewness, shared, num_levels=NUM_LEVELS)
        shape = load.shape[:2]
        return found.mean.reshape(shape), found.variance.reshape(shape)

    def _alone_level(
        self, draws: Draws, free: np.ndarray, num_tokens: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """One over the level that lone experts alone ask for: of each sample, and expected."""
        hosts, speed = self.alone, self.speed
        level = draws.experts_per_token * np.where(speed > 0, speed, np.inf) / speed.sum()
        loads = hosts.per_gpu(free[:, hosts.layer, hosts.expert]) / (num_tokens * level)
        rate = draws.rate[hosts.layer, hosts.expert]
        spread = draws.spread[hosts.layer, hosts.expert]
        third = spread * np.where(draws.is_independent[hosts.layer], 1, 1 - 2 * rate)
        deviation = np.sqrt(hosts.per_gpu(spread) / num_tokens) / level
        skewness = hosts.per_gpu(third) / num_tokens**2 / level**3
        skewness /= np.maximum(deviation, 1e-30) ** 3
        mean = hosts.per_gpu(rate) / level
        known = inverse_of_largest(mean, deviation, skewness, floor=1.0).mean
        return 1 / np.maximum(loads.max(axis=2), 1.0), known


def sampled_counts(
    draws: Draws, num_tokens: int, num_samples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of every expert in some steps, as real numbers.

    Parameters
    ----------
    draws
        The experts of a token.
    num_tokens
        Tokens of a step.
    num_samples
        Steps.
    seed
        Of the random numbers.

    Returns
    -------
    free, tied
        float64 [num_samples, num_layers, num_experts]: with independent experts, and the same
        brought to the total that every step has.
    """
    normal = np.random.default_rng(seed).standard_normal((num_samples, *draws.rate.shape))
    deviation = np.sqrt(num_tokens * draws.spread)
    one = draws.is_independent[:, None]
    skewness = np.where(one, 1, 1 - 2 * draws.rate) / np.maximum(deviation, 1e-12)
    free = num_tokens * draws.rate + deviation * standard_values(normal, np.minimum(skewness, 2.0))
    np.maximum(free, 0, out=free)
    whole = draws.spread.sum(axis=1, keepdims=True)
    part = draws.spread / np.where(whole > 0, whole, 1)
    over = free.sum(axis=2, keepdims=True) - num_tokens * draws.experts_per_token
    return free, np.maximum(free - part * over, 0)
