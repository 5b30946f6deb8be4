"""Caller's arrays to numpy: torch tensors are accepted wherever an array is."""

import sys
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


def copy_on_device(array: Any) -> Any:
    """A copy of a tensor where it lies; None for an array, and for a tensor in the host's memory.

    Parameters
    ----------
    array
        What a caller gave as an array.
    """
    device = getattr(array, "device", None)
    if not hasattr(array, "detach") or getattr(device, "type", "cpu") == "cpu":
        return None
    return array.detach().clone()


#: Whole numbers beyond it are slips of the keyboard: no shape, seed or count of work is so large.
MAX_INT = 10**9
#: A pebibyte: no expert's weights take as much.
MAX_BYTES = 2**50


def as_int(value: Any, name: str, least: int = 1, most: int = MAX_INT) -> int:
    """A whole number from `least` to `most`; floats and booleans are refused.

    Raises
    ------
    ProblemError
        When it is not.
    """
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise ProblemError(f"{name}={value!r} is no integer.")
    number = int(value.__index__())
    if number < least:
        raise ProblemError(f"{name}={shown(number)} is below {least}.")
    if number > most:
        raise ProblemError(f"{name}={shown(number)} is above {most}; take {most} or less.")
    return number


def is_number(value: Any) -> bool:
    """Whether it is a real number, and no flag."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def as_number(value: float, name: str) -> float:
    """A real number of at least 0, as a float.

    Raises
    ------
    ProblemError
        When it is not, or not finite as a float.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ProblemError(f"{name}={value!r} is no number.")
    if not 0 <= value <= sys.float_info.max:
        raise ProblemError(f"{name}={shown(value)} must be at least 0, and finite as a float.")
    return float(value)


def shown(number: float) -> str:
    """A number for a message; of one with many digits the beginning and their number."""
    if not isinstance(number, int) or abs(number) < 10**24:
        return str(number)
    if abs(number) >= 10**1000:  # Python itself refuses to write out much longer ones
        return f"a number of about {int(number.bit_length() * 0.30103)} digits"
    text = str(number)
    return f"{text[:12]}... ({len(text)} digits)"
