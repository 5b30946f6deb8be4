"""How the tokens of a step fall on the experts of a layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Shares of recorded floats may be above the most that there is by their rounding.
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Draws:
    """The experts of one token: so many different ones, each as often as it was recorded.

    A token goes to every expert at most once, so an expert is chosen or not, and the number of
    tokens that choose it scatters less than under independent draws. Among all laws with these
    rates and a fixed number of experts a token, the one of largest entropy is taken, conditional
    Poisson sampling [1]_: with v = rate (1 - rate), its covariances are close to
    diag(v) - v v' / sum(v).

    Parameters
    ----------
    rate
        float64 [num_layers, num_experts], the probability that a token goes to the expert; rows
        sum to `experts_per_token`, or to 0 where nothing was recorded.
    spread
        float64 of the same shape, v above.
    experts_per_token
        Experts that a token goes to.
    is_independent
        bool [num_layers]. There some expert has more than 1 / experts_per_token of the
        assignments, which no token can give it; its assignments are taken for drawn one by one,
        and v = rate.

    References
    ----------
    .. [1] J. Hájek, "Asymptotic theory of rejective sampling with varying probabilities from a
       finite population", Annals of Mathematical Statistics 35, 1964.
    """

    rate: np.ndarray
    spread: np.ndarray
    experts_per_token: int
    is_independent: np.ndarray

    @classmethod
    def of(cls, load: np.ndarray, experts_per_token: int) -> Draws:
        """Those of recorded loads.

        Parameters
        ----------
        load
            float64 [num_layers, num_experts], finite and at least 0.
        experts_per_token
            Experts that a token goes to, at least 1.
        """
        total = load.sum(axis=1, keepdims=True)
        rate = experts_per_token * load / np.where(total > 0, total, 1)
        is_independent = rate.max(axis=1) > 1 + ROUNDING
        once = np.clip(1 - rate, 0, 1)
        spread = rate * np.where(is_independent[:, None], 1.0, once)
        return cls(rate, spread, experts_per_token, is_independent)

    @property
    def has_load(self) -> np.ndarray:
        """Layers that anything was recorded for, bool [num_layers]."""
        return np.asarray(self.rate.any(axis=1))
