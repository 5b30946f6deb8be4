"""Caller's arrays to numpy: torch tensors are accepted wherever an array is."""

from typing import Any

import numpy as np

from eplb_opt.errors import ProblemError


def as_numpy(array: Any, name: str) -> np.ndarray:
    """The values of an array, a torch tensor or nested lists, as numpy.

    Torch is never imported here: a tensor brings its own methods.

    Raises
    ------
    ProblemError
        When the values are no real numbers or the rows differ in length.
    """
    if hasattr(array, "detach"):
        array = array.detach().cpu()
        if str(array.dtype) == "torch.bfloat16":  # numpy has no such type; float32 holds it exactly
            array = array.float()
    try:
        values = np.asarray(array)
    except ValueError as error:
        raise ProblemError(f"{name} is not a rectangular array: {error}") from error
    if values.dtype.kind not in "iuf":
        raise ProblemError(
            f"{name} has dtype {values.dtype}; it must hold integers or real floats."
        )
    return values


def as_int(value: Any, name: str, least: int = 1) -> int:
    """A whole number of at least `least`; floats and booleans are refused.

    Raises
    ------
    ProblemError
        When it is not.
    """
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise ProblemError(f"{name}={value!r} is no integer.")
    number = int(value.__index__())
    if number < least:
        raise ProblemError(f"{name}={number} is below {least}.")
    return number
