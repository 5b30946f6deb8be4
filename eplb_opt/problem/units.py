"""Loads as they come in: checked, and turned into integers of a small unit once and for all."""

from __future__ import annotations

import numpy as np

from eplb_opt.errors import ProblemError

#: Sums over a layer must stay in int64, with a bit to spare.
MAX_LAYER_TOTAL = 2**62


def to_units(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loads as integers of a power-of-two unit a row.

    Parameters
    ----------
    values
        [..., num_experts], finite and not negative.

    Returns
    -------
    int64 loads, int64 exponents x [...] (the unit is 2**-x) and the rows that were rounded down.

    Raises
    ------
    ProblemError
        When a row's total reaches 2**62.
    """
    _check_totals(values)
    if values.dtype.kind != "f":
        zeros = np.zeros(values.shape[:-1], dtype=np.int64)
        return values.astype(np.int64), zeros, zeros.astype(bool)
    values = values.astype(np.float64)
    needed = _fraction_bits(values)
    # A sum of n floats carries a relative error of at most n * 2**-53: one more bit covers it.
    total_bits = np.frexp(values.sum(axis=-1))[1] + 1
    exponent = np.maximum(np.minimum(needed, 62 - total_bits), 0).astype(np.int64)
    scaled = np.ldexp(values, exponent[..., None])
    return np.floor(scaled).astype(np.int64), exponent, np.asarray(exponent < needed)


def _fraction_bits(values: np.ndarray) -> np.ndarray:
    """Binary digits behind the point that each row needs, [...], not negative."""
    mantissa, exponent = np.frexp(values)
    digits = np.ldexp(mantissa, 53).astype(np.int64)  # exact: a float64 has 53 binary digits
    lowest = (digits & -digits).astype(np.float64)
    trailing = np.frexp(np.maximum(lowest, 1))[1] - 1
    needed = np.where(values > 0, 53 - trailing - exponent, 0)
    return np.asarray(np.maximum(needed.max(axis=-1), 0))


def check_loads(values: np.ndarray) -> None:
    """Raise ProblemError unless these are loads of layers, or of scenarios and layers."""
    if values.ndim not in (2, 3):
        raise ProblemError(
            f"load has shape {list(values.shape)}; it must be [num_layers, num_experts], or "
            "[num_scenarios, num_layers, num_experts]."
        )
    if 0 in values.shape:
        raise ProblemError(
            f"load has shape {list(values.shape)}; at least one layer and one expert are needed."
        )
    for bad, kind in ((~np.isfinite(values), "not finite"), (values < 0, "negative")):
        if bad.any():
            at = tuple(np.argwhere(bad)[0].tolist())
            raise ProblemError(
                f"load[{', '.join(map(str, at))}] = {values[at]} is {kind} "
                f"({int(bad.sum())} such of {values.size}); loads are finite and at least 0."
            )


def _check_totals(values: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        rough = values.astype(np.float64).sum(axis=-1)
    worst = np.unravel_index(int(rough.argmax()), rough.shape)
    if rough[worst] >= MAX_LAYER_TOTAL:
        scenario = f" in scenario {worst[0]}" if len(worst) > 1 else ""
        raise ProblemError(
            f"The loads of layer {worst[-1]}{scenario} add up to about {rough[worst]:.3g}; exact "
            "arithmetic needs less than 2**62 (about 4.6e18). "
            "Use a larger unit: divide the loads by a constant."
        )
