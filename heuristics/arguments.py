"""The checks that all heuristics share: loads of any kind come in, checked float32 goes on.

The published programs compute in float32, so the heuristics do.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

# Sums of a layer must stay finite in float32, with room for rounding.
LARGEST_TOTAL = float(np.finfo(np.float32).max) / 2


def is_tensor(weight: Any) -> bool:
    """Tell a torch tensor from everything else, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(weight, torch.Tensor)


def admit_tensor(weight: torch.Tensor, num_axes: int = 2) -> torch.Tensor:
    """Check a tensor of loads and return it in float32 on its own device.

    Parameters
    ----------
    weight
        Loads, tokens, of any real dtype.
    num_axes
        2 for [num_layers, num_experts], 1 for [num_experts].

    Returns
    -------
    torch.Tensor
        A float32 copy, detached, on the same device.

    Raises
    ------
    ValueError
        If the shape, the dtype or a value is not that of loads.
    """
    torch = sys.modules["torch"]
    weight = weight.detach()
    if weight.dtype == torch.bool or weight.dtype.is_complex:
        raise ValueError(f"weight has dtype {weight.dtype}: give real loads.")
    _check_shape(tuple(weight.shape), num_axes)
    # Two numbers cross to the host, in one copy; NaN and inf show in either.
    wide = weight.to(torch.float64)
    least, total = torch.stack([wide.amin(), wide.sum(-1).amax()]).tolist()
    _check_values(least, total)
    # abs, here and below: -0.0 passes the checks, but its bits would order it last.
    return weight.to(torch.float32, copy=True).contiguous().abs_()


def admit_array(weight: Any, num_axes: int = 2) -> NDArray[np.float32]:
    """Check an array or nested list of loads and return a float32 copy of it.

    See `admit_tensor` for parameters and errors.
    """
    try:
        array = np.asarray(weight)
    except ValueError as error:
        raise ValueError(f"weight is no array of numbers: {error}") from error
    if array.dtype.kind not in "iuf":
        raise ValueError(f"weight has dtype {array.dtype}: give real loads.")
    _check_shape(array.shape, num_axes)
    least = float(array.min())
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(array.sum(axis=-1, dtype=np.float64).max())
    _check_values(least, total)
    load = np.array(array, dtype=np.float32, order="C")
    return np.abs(load, out=load)


def _check_shape(shape: tuple[int, ...], num_axes: int) -> None:
    if len(shape) != num_axes:
        wanted = "[num_layers, num_experts]" if num_axes == 2 else "[num_experts]"
        raise ValueError(f"weight has shape {list(shape)}: give {wanted}.")
    if 0 in shape:
        raise ValueError(f"weight has shape {list(shape)}: give at least one of each.")


def _check_values(least: float, total: float) -> None:
    if not np.isfinite(least) or not np.isfinite(total):
        raise ValueError(
            f"weight holds NaN or inf (least {least}, largest layer total {total}): "
            "give finite loads."
        )
    if least < 0:
        raise ValueError(f"weight holds {least}: loads are tokens, give none below 0.")
    if total > LARGEST_TOTAL:
        raise ValueError(
            f"a layer's loads add up to {total}, past float32 ({LARGEST_TOTAL:.3g}): scale them."
        )
