"""Synthetic load families with one parameter, for comparing methods over the range of skews."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

#: Tokens of a layer.
LAYER_TOKENS = 10**6


def lognormal(sigma: float, num_experts: int, rng: np.random.Generator) -> np.ndarray:
    """Expert loads whose logarithms are normal with deviation `sigma`, float64 [num_experts]."""
    return np.asarray(rng.lognormal(0.0, sigma, num_experts))


def zipf(exponent: float, num_experts: int, rng: np.random.Generator) -> np.ndarray:
    """The r-th most loaded expert has r**-exponent, blurred by a tenth, float64 [num_experts]."""
    rank = rng.permutation(num_experts) + 1.0
    return np.asarray(rank**-exponent * rng.lognormal(0.0, 0.1, num_experts))


FAMILIES: dict[str, tuple[Callable[..., np.ndarray], float]] = {
    "lognormal-0.5": (lognormal, 0.5),
    "lognormal-1.0": (lognormal, 1.0),
    "lognormal-1.5": (lognormal, 1.5),
    "zipf-0.8": (zipf, 0.8),
    "zipf-1.2": (zipf, 1.2),
}


def family_loads(name: str, num_layers: int, num_experts: int, seed: int) -> np.ndarray:
    """Loads of a family, int64 [num_layers, num_experts] of about 1e6 tokens a layer.

    Raises
    ------
    ProblemError
        When no family has that name.
    """
    if name not in FAMILIES:
        raise ProblemError(f"family {name!r} is unknown; known: {', '.join(FAMILIES)}.")
    draw, parameter = FAMILIES[name]
    rng = np.random.default_rng(seed)
    rows = np.array([draw(parameter, num_experts, rng) for _ in range(num_layers)])
    tokens = np.rint(rows / rows.sum(axis=1, keepdims=True) * LAYER_TOKENS)
    return np.asarray(tokens.astype(np.int64))
