"""Tails of the Poisson law, with numpy alone: what a step's tokens on one replica follow."""

from __future__ import annotations

from math import lgamma, log, pi

import numpy as np

#: Beyond so many standard deviations a tail is below what a float64 can tell from 0 or 1.
FAR = 9.0
#: Terms of a series below this part of the sum change no float64.
SMALL = 1e-17


def mean_excess(mean: np.ndarray, limit: float) -> np.ndarray:
    """The expected part of a Poisson number above a limit, E[max(N - limit, 0)].

    With m the limit rounded down it is mean * P(N >= m) - limit * P(N >= m + 1), because
    j * P(N = j) = mean * P(N = j - 1).

    Parameters
    ----------
    mean
        [...], the means, not negative.
    limit
        Any number.
    """
    if limit <= 0:
        return mean - limit
    whole = int(limit)
    found = mean * tail(mean, whole) - limit * tail(mean, whole + 1)
    return np.asarray(np.maximum(found, 0.0))


def tail(mean: np.ndarray, least: int) -> np.ndarray:
    """P(N >= least) of Poisson numbers N, float64 [...].

    Below the mean the complement is added up, above it the tail itself, both as series that begin
    with their largest term.

    Parameters
    ----------
    mean
        [...], the means, not negative.
    least
        A whole number.
    """
    if least <= 0:
        return np.ones_like(mean)
    if least == 1:
        return np.asarray(-np.expm1(-mean))
    found = np.where(mean > least, 1.0, 0.0)
    near = np.abs(mean - least) < FAR * np.sqrt(np.maximum(mean, least)) + FAR**2
    near &= mean > 0
    above = near & (mean < least)
    found[above] = _density(mean[above], least) * _rising(mean[above], least)
    below = near & ~above
    found[below] = 1 - _density(mean[below], least - 1) * _falling(mean[below], least - 1)
    return np.asarray(np.clip(found, 0.0, 1.0))


def _density(mean: np.ndarray, at: int) -> np.ndarray:
    """P(N = at) for at >= 1, by the saddle point: exact to some 1e-15 for numbers of any size.

    References
    ----------
    C. Loader, "Fast and accurate computation of binomial probabilities", 2000.
    """
    away = (mean - at) / at
    with np.errstate(divide="ignore", invalid="ignore"):
        # log1p loses its digits near -1, the logarithm of the ratio near 1.
        ratio = np.where(away < -0.5, np.log(mean / at), np.log1p(away))
    deviance = at * (away - ratio)
    return np.asarray(np.exp(-deviance - _stirling_error(at)) / np.sqrt(2 * pi * at))


def _stirling_error(at: int) -> float:
    """The logarithm of at! over Stirling's formula for it."""
    if at < 64:
        return lgamma(at + 1) - (at + 0.5) * log(at) + at - 0.5 * log(2 * pi)
    return (1 / 12 - (1 / 360 - 1 / (1260 * at**2)) / at**2) / at


def _rising(mean: np.ndarray, first: int) -> np.ndarray:
    """1 + mean / (first + 1) + mean**2 / ((first + 1) (first + 2)) + ..."""
    term, total, j = np.ones_like(mean), np.ones_like(mean), first
    while term.size and (term > SMALL * total).any():
        j += 1
        term = term * (mean / j)
        total += term
    return total


def _falling(mean: np.ndarray, first: int) -> np.ndarray:
    """1 + first / mean + first (first - 1) / mean**2 + ..., down to 0 tokens."""
    term, total, j = np.ones_like(mean), np.ones_like(mean), first
    while term.size and j > 0 and (term > SMALL * total).any():
        term = term * (j / mean)
        total += term
        j -= 1
    return total
