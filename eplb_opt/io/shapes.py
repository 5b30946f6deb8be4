"""What an array of loads or of expert ids must look like, wherever it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Rows named in a message before the rest is left out.
NUM_KEYS_SHOWN = 8


def load_array(values: Any, name: str = "load") -> np.ndarray:
    """Loads as [num_snapshots, num_layers, num_experts], int64 or float64.

    Raises
    ------
    FormatError
        When they are no numbers, ragged, empty or of other dimensions.
    """
    array = numbers(values, name)
    check_load_shape(array, name)
    kept = array.astype(np.float64) if array.dtype.kind == "f" else _int64(array, name)
    return kept if kept.ndim == 3 else kept[None]


def check_load_shape(array: Any, name: str) -> None:
    """Refuse what cannot be loads by its `shape` alone, of numpy or of torch.

    Raises
    ------
    FormatError
        When it is empty or of other dimensions.
    """
    _check_dimensions(array, name, (2, 3), "[layers, experts] or [snapshots, layers, experts]")


def id_array(values: Any, name: str = "physical_to_logical") -> np.ndarray:
    """Expert ids as int64 [num_layers, num_slots]; -1 marks an empty slot.

    Raises
    ------
    FormatError
        When they are no whole numbers from -1 up, ragged, empty or of other dimensions.
    """
    array = numbers(values, name)
    _check_dimensions(array, name, (2,), "[layers, slots]")
    if array.dtype.kind == "f":
        whole = (array == np.round(array)) & (np.abs(array) < 2**53)
        if not whole.all():
            raise FormatError(f"{name} holds {array[~whole].flat[0]}; expert ids are integers.")
    ids = _int64(array, name)
    if ids.min() < -1:
        raise FormatError(f"{name} holds {ids.min()}; expert ids start at 0, -1 is an empty slot.")
    return ids


def keys_found(document: Mapping[Any, Any]) -> str:
    """The first keys of an object, for a message."""
    keys = [str(key)[:40] for key in document]
    more = ", ..." if len(keys) > NUM_KEYS_SHOWN else ""
    return f"keys {', '.join(keys[:NUM_KEYS_SHOWN])}{more}" if keys else "no keys"


def numbers(values: Any, name: str) -> np.ndarray:
    """An array of integers or reals, of any dimensions.

    Raises
    ------
    FormatError
        When the values are no numbers, or ragged.
    """
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError, RecursionError) as error:
        raise FormatError(f"{name} is no rectangular array: {_ragged(values, error)}.") from error
    if array.dtype.kind not in "iuf":
        raise FormatError(
            f"{name} has type {array.dtype}; it must hold integers or reals that fit 64 bits."
        )
    return array


def _check_dimensions(array: Any, name: str, allowed: tuple[int, ...], wanted: str) -> None:
    if array.ndim not in allowed:
        raise FormatError(
            f"{name} has shape {list(array.shape)}; it must be {wanted} (a single row in a list)."
        )
    if 0 in array.shape:
        raise FormatError(f"{name} has shape {list(array.shape)}: there is nothing in it.")


def _int64(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise FormatError(f"{name} holds {array.max()}, beyond 64-bit integers; use a larger unit.")
    return array.astype(np.int64)


def _ragged(values: Any, error: Exception) -> str:
    """Which row differs from the first, where that can be said."""
    if isinstance(values, list) and all(isinstance(row, list) for row in values):
        for row_idx, row in enumerate(values):
            if len(row) != len(values[0]):
                return f"row {row_idx} has {len(row)} entries, row 0 has {len(values[0])}"
    return str(error)
