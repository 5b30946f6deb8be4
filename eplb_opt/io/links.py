"""Files of what links cost and of where tokens come from, for a topology."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.csv_table import read_csv
from eplb_opt.io.containers.detect import container_of
from eplb_opt.io.containers.npy import read_npy
from eplb_opt.io.containers.npz import Archive
from eplb_opt.io.containers.plain_json import read_json
from eplb_opt.io.files import naming, open_checked
from eplb_opt.io.shapes import keys_found, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from eplb_opt.io.files import PathLike

#: How each container is read; an object of JSON and an archive name their arrays.
READERS: dict[str, Callable[[Path], Any]] = {
    "json": read_json,
    "npy": read_npy,
    "npz": Archive,
    "csv": read_csv,
}
#: Names of the matrix, ours and that of SGLang's file.
COST_NAMES = ("rank_costs", "rank_cost_matrix")
#: Names of the tokens by sources, likewise.
SOURCE_NAMES = ("sources", "tokens_per_source_expert")


def read_rank_costs(path: PathLike) -> np.ndarray:
    """What links cost, a square matrix: row of the sender, column of the receiver.

    Parameters
    ----------
    path
        JSON, nested lists or an object with `rank_cost_matrix` (as SGLang has it) or `rank_costs`;
        .npy; .npz with one of these names or one array; CSV without a header.

    Returns
    -------
    ndarray
        float64 [size, size].

    Raises
    ------
    FormatError
        When the file holds no such matrix.
    """
    with naming(path):
        costs = numbers(_values(open_checked(path), COST_NAMES), "rank_costs")
        if costs.ndim != 2 or costs.shape[0] != costs.shape[1] or costs.size == 0:
            raise FormatError(
                f"rank_costs has shape {list(costs.shape)}; it must be square, a row and a column "
                "for each GPU or each node."
            )
        return costs.astype(np.float64)


def read_sources(path: PathLike, layer_ids: Sequence[int] = ()) -> np.ndarray:
    """Tokens by the GPU or node that they come from.

    Parameters
    ----------
    path
        JSON, nested lists or an object with `sources` or `tokens_per_source_expert`; .npy; .npz
        with one of these names or one array; CSV without a header, for all layers alike.
    layer_ids
        Hidden layers of the loads; where the file names layers too, these are taken from it.

    Returns
    -------
    ndarray
        [num_layers, num_sources, num_experts], or [num_sources, num_experts] for all layers.

    Raises
    ------
    FormatError
        When the file holds no such array, or lacks a layer.
    """
    with naming(path):
        held = _read(open_checked(path))
        sources = numbers(_named(held, SOURCE_NAMES), "sources")
        if sources.ndim not in (2, 3) or sources.size == 0:
            raise FormatError(
                f"sources has shape {list(sources.shape)}; it must be [layers, sources, experts], "
                "or [sources, experts] for all layers."
            )
        return _of_layers(sources, _layer_ids(held), tuple(layer_ids))


def _values(path: Path, names: tuple[str, ...]) -> Any:
    return _named(_read(path), names)


def _read(path: Path) -> Any:
    container = container_of(path)
    if container not in READERS:
        raise FormatError(f"this is {container}; such a table is read from {', '.join(READERS)}.")
    held = READERS[container](path)
    if container != "csv":
        return held
    try:
        return [[float(cell) for cell in row] for row in held]
    except ValueError as error:
        raise FormatError(f"the table holds more than numbers: {error}.") from error


def _named(held: Any, names: tuple[str, ...]) -> Any:
    """The array of a document that names its arrays; else the document."""
    if not isinstance(held, dict | Archive):
        return held
    found = [name for name in names if name in held]
    if not found and isinstance(held, Archive) and len(held) == 1:
        found = list(held)
    if len(found) != 1:
        raise FormatError(f"{keys_found(dict.fromkeys(held))}; one of {', '.join(names)} is due.")
    return held[found[0]]


def _layer_ids(held: Any) -> tuple[int, ...]:
    if not isinstance(held, dict | Archive) or "layer_ids" not in held:
        return ()
    return tuple(numbers(held["layer_ids"], "layer_ids").astype(np.int64).ravel().tolist())


def _of_layers(sources: np.ndarray, there: tuple[int, ...], wanted: tuple[int, ...]) -> np.ndarray:
    """The rows of the wanted layers, where both sides name theirs."""
    if sources.ndim == 2 or not there or not wanted or there == wanted:
        return sources
    if len(there) != len(sources):
        raise FormatError(f"{len(there)} layer_ids stand beside {len(sources)} layers of sources.")
    missing = sorted(set(wanted) - set(there))
    if missing:
        raise FormatError(f"sources lack layer {missing[0]}, which the loads have.")
    return np.asarray(sources[[there.index(layer) for layer in wanted]])
