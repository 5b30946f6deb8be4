"""How a file is packed, told from its first bytes or else its name."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb_opt.errors import FormatError
from eplb_opt.io.containers import npy
from eplb_opt.io.containers.csv_table import read_csv
from eplb_opt.io.containers.folder import read_folder
from eplb_opt.io.containers.npy import read_npy
from eplb_opt.io.containers.npz import ZIP_ERRORS, ZIP_MAGIC, Archive
from eplb_opt.io.containers.parquet_table import MAGIC as PARQUET_MAGIC
from eplb_opt.io.containers.parquet_table import read_parquet
from eplb_opt.io.containers.plain_json import read_json
from eplb_opt.io.containers.safetensors_file import Tensors, is_safetensors
from eplb_opt.io.containers.torch_file import read_pt
from eplb_opt.io.engines.trtllm import CONFIG_KEY, SLOTS_KEY, read_yaml
from eplb_opt.io.engines.trtllm import PLAN_KEY as YAML_MARK
from eplb_opt.io.engines.vllm_stats import MARK as LINES_MARK

if TYPE_CHECKING:
    from collections.abc import Callable

NUM_HEAD_BYTES = 512


@dataclass(frozen=True)
class Container:
    """One way of packing.

    Parameters
    ----------
    extensions
        Names that promise it.
    read
        Path to document, whatever the formats of this container then look into.
    package
        A key of `eplb_opt.errors.PACKAGES`: what reads and writes it; "" where numpy does.
    """

    extensions: tuple[str, ...]
    read: Callable[[Path], Any]
    package: str = ""


CONTAINERS: dict[str, Container] = {
    "npy": Container((".npy",), read_npy),
    "npz": Container((".npz",), Archive),
    "csv": Container((".csv", ".tsv"), read_csv),
    "json": Container((".json",), read_json),
    "pt": Container((".pt", ".pth"), read_pt, "torch"),
    "parquet": Container((".parquet", ".pq"), read_parquet, "pyarrow"),
    "safetensors": Container((".safetensors",), Tensors, "safetensors"),
    "yaml": Container((".yaml", ".yml"), read_yaml, "yaml"),
    "jsonl": Container((".jsonl", ".ndjson"), Path),  # read line by line, not as a whole
    "folder": Container((), read_folder),
}


def container_of(path: Path) -> str:
    """The name of a file's container.

    Raises
    ------
    FormatError
        When neither content nor extension is known.
    """
    if path.is_dir():
        return "folder"
    with path.open("rb") as file:
        head = file.read(NUM_HEAD_BYTES)
    by_name = [name for name, c in CONTAINERS.items() if path.suffix.lower() in c.extensions]
    found = _by_magic(path, head) or (by_name[0] if by_name else None) or _by_text(head)
    if found is None:
        known = ", ".join(ext for c in CONTAINERS.values() for ext in c.extensions)
        raise FormatError(f"the extension {path.suffix!r} is unknown; known: {known}.")
    return found


def package_of(extension: str) -> str:
    """The package that files of an extension need; "" for none."""
    return next((c.package for c in CONTAINERS.values() if extension in c.extensions), "")


def _by_magic(path: Path, head: bytes) -> str | None:
    for magic, name in ((npy.MAGIC, "npy"), (PARQUET_MAGIC, "parquet")):
        if head.startswith(magic):
            return name
    if is_safetensors(head):
        return "safetensors"
    if head.lstrip()[:1] == b"{" and LINES_MARK in head:
        return "jsonl"
    if not head.startswith(ZIP_MAGIC):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except ZIP_ERRORS:
        return None
    if any(name.endswith("data.pkl") for name in names):
        return "pt"
    return "npz" if any(name.endswith(".npy") for name in names) else None


def _by_text(head: bytes) -> str | None:
    if head.lstrip()[:1] in (b"[", b"{"):
        return "json"
    keys = tuple(key.encode() for key in (SLOTS_KEY, YAML_MARK, CONFIG_KEY))
    return "yaml" if head.lstrip().startswith(keys) else None
