"""The table of stored instances: loads of a model's shape, on some slots and GPUs.

The stored files are what counts; `generator` can make them again, and `verify` compares.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench.generator import generate_loads
from eplb_opt.errors import FormatError, ProblemError
from eplb_opt.io.containers.npz import npz_bytes
from eplb_opt.io.files import write_atomically
from eplb_opt.io.read import read_loads
from eplb_opt.problem.problem import Problem

if TYPE_CHECKING:
    from eplb_opt.io.files import PathLike


@dataclass(frozen=True)
class Generated:
    """Loads from the generator.

    Parameters
    ----------
    profile, num_layers, num_experts, seed
        The arguments of `generate_loads`.
    first_layer
        Place of the first MoE layer among the hidden layers: the dense ones come before.
    model
        The model whose shape it is.
    """

    profile: str
    num_layers: int
    num_experts: int
    seed: int
    first_layer: int
    model: str

    def load(self) -> np.ndarray:
        """Loads as the generator makes them, int64 tokens, [num_layers, num_experts]."""
        return generate_loads(self.profile, self.num_layers, self.num_experts, self.seed)


@dataclass(frozen=True)
class Given:
    """Loads that are written down in this module.

    Parameters
    ----------
    rows
        Tokens, [num_layers][num_experts].
    model
        The model whose shape the loads have.
    first_layer
        Place of the first MoE layer among the hidden layers, counted from 0.
    """

    rows: tuple[tuple[int, ...], ...]
    model: str
    first_layer: int = 0

    @property
    def num_layers(self) -> int:
        """Layers of the loads, one a row."""
        return len(self.rows)

    @property
    def num_experts(self) -> int:
        """Logical experts of a layer."""
        return len(self.rows[0])

    def load(self) -> np.ndarray:
        """Loads as they stand here, int64 tokens, [num_layers, num_experts]."""
        return np.array(self.rows, dtype=np.int64)


#: The two layers of DeepSeek's README and the example of a hot pair.
README = (
    (90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86),
    (20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27),
)
HOT_PAIR = ((600, 560, 120, 120, 20, 10, 10, 10),)

#: One file a model shape. Of the seeds 0 to 23, those whose figures came closest to the recorded.
LOAD_FILES: dict[str, Generated | Given] = {
    "deepseek-v3": Generated("deepseek-v3", 58, 256, 5, 3, "DeepSeek-V3, synthetic"),
    "qwen3-235b": Generated("deepseek-v2-lite", 94, 128, 8, 0, "Qwen3-235B-A22B, synthetic"),
    "kimi-k2": Generated("kimi-k2", 60, 384, 5, 1, "Kimi-K2, synthetic"),
    "gpt-oss-120b": Generated("gpt-oss", 36, 128, 1, 0, "gpt-oss-120b, synthetic"),
    "mixtral-8x7b": Generated("mixtral", 32, 8, 0, 0, "Mixtral-8x7B, synthetic"),
    "readme": Given(README, "the example of DeepSeek EPLB's README"),
    "hot-pair": Given(HOT_PAIR, "two hot experts of eight"),
}

#: SHA-256 of the stored files.
DIGESTS: dict[str, str] = {
    "deepseek-v3": "00f00b4985197c6a2983cf8d84d75f54e2622d71bb6a87db81e221cc8cd5718c",
    "qwen3-235b": "e55dfcf18390a9ce55d5dc225bf9e9fc8b458da18c38088cb75d62e7b60af699",
    "kimi-k2": "c7ca94d6dd814016e344cca7788aca3efd03aa4daf57e092422ddf034a6a299e",
    "gpt-oss-120b": "417905c0c032d219fe383390441d0475b4786ffe7ba9c90a486c8f0e0af03988",
    "mixtral-8x7b": "e878db67c1a9526dd2bf9c65b0b6cb0196d96d3926b611af3ae39410ae238cdd",
    "readme": "6450e3756b68d818f58e7248e18f2e9e6d7a0f830fbabfa953ca26fb415de847",
    "hot-pair": "d72cc933638e5a14d19c154530a541fde4a341c2701301b8f9c7ef28e8706db5",
}


@dataclass(frozen=True)
class Instance:
    """Stored loads on some machine.

    Parameters
    ----------
    name
        The instance's name; "-h" marks a hierarchical one.
    loads
        A name of `LOAD_FILES`.
    num_slots, num_gpus, num_nodes, num_groups
        The machine, as for `Problem`.
    folder
        The folder of the stored files; None for the project's own.
    """

    name: str
    loads: str
    num_slots: int
    num_gpus: int
    num_nodes: int = 1
    num_groups: int = 1
    folder: Path | None = None

    @property
    def path(self) -> Path:
        """The file of the stored loads."""
        return file_of(self.loads, self.folder)

    @cached_property
    def load(self) -> np.ndarray:
        """The stored loads, int64 [num_layers, num_experts]."""
        return read_loads(self.path, format="npz").total

    def problem(self) -> Problem:
        """What is to be planned."""
        return Problem(
            self.load,
            num_slots=self.num_slots,
            num_gpus=self.num_gpus,
            num_nodes=self.num_nodes,
            num_groups=self.num_groups,
        )


def _table(*instances: Instance) -> dict[str, Instance]:
    return {instance.name: instance for instance in instances}


INSTANCES: dict[str, Instance] = _table(
    Instance("readme", "readme", 16, 8),
    Instance("readme-h", "readme", 16, 8, num_nodes=2, num_groups=4),
    Instance("hot-pair", "hot-pair", 16, 8),
    Instance("deepseek-v3-272-16", "deepseek-v3", 272, 16),
    Instance("deepseek-v3-288-32", "deepseek-v3", 288, 32),
    Instance("deepseek-v3-288-32-h", "deepseek-v3", 288, 32, num_nodes=4, num_groups=8),
    Instance("deepseek-v3-288-72", "deepseek-v3", 288, 72),
    Instance("deepseek-v3-288-144", "deepseek-v3", 288, 144),
    Instance("deepseek-v3-320-64", "deepseek-v3", 320, 64),
    Instance("deepseek-v3-320-320", "deepseek-v3", 320, 320),
    Instance("qwen3-235b-144-16", "qwen3-235b", 144, 16),
    Instance("qwen3-235b-160-32", "qwen3-235b", 160, 32),
    Instance("kimi-k2-480-96", "kimi-k2", 480, 96),
    Instance("gpt-oss-120b-136-8", "gpt-oss-120b", 136, 8),
    Instance("mixtral-8x7b-16-8", "mixtral-8x7b", 16, 8),
)


def names() -> list[str]:
    """All instances; the worked examples come first."""
    return list(INSTANCES)


def get(name: str, folder: PathLike | None = None) -> Instance:
    """An instance by name, its files in the given folder or the project's own.

    Raises
    ------
    ProblemError
        When the name is unknown.
    """
    if name not in INSTANCES:
        raise ProblemError(f"instance {name!r} is unknown; known: {', '.join(INSTANCES)}.")
    known = INSTANCES[name]
    return known if folder is None else replace(known, folder=Path(folder))


def find_folder() -> Path:
    """The project's instances/ folder, next to the package in a checkout.

    Raises
    ------
    FormatError
        When the package is installed without it.
    """
    folder = Path(__file__).resolve().parents[2] / "instances"
    if not folder.is_dir():
        raise FormatError(
            f"there is no folder {folder}: the instances come with a checkout of the project, not "
            "with the installed package. Name a folder, and fill it with generate(folder)."
        )
    return folder


def generate(folder: PathLike) -> list[Path]:
    """Write all load files into a folder, which is made if need be; returns their paths."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = [file_of(name, Path(folder)) for name in LOAD_FILES]
    for name, path in zip(LOAD_FILES, paths, strict=True):
        write_atomically(path, file_content(name))
    return paths


def file_of(loads: str, folder: Path | None = None) -> Path:
    """Where a load file lies."""
    return (find_folder() if folder is None else folder) / f"{loads}.npz"


def file_content(loads: str) -> bytes:
    """The bytes of a load file, made anew; stored, not deflated: zlib's output varies."""
    source = LOAD_FILES[loads]
    load = source.load()
    kind = "<u2" if load.max() < 2**16 else "<u4"
    layer_ids = np.arange(source.first_layer, source.first_layer + len(load))
    arrays = {
        "load": load[None].astype(kind),
        "layer_ids": layer_ids.astype("<i8"),
        "model": np.array(source.model).astype("<U64"),
        "units": np.array("routed (token, expert) assignments").astype("<U64"),
    }
    return npz_bytes(arrays, zipfile.ZIP_STORED)


def digest(content: bytes) -> str:
    """SHA-256, as in `DIGESTS`."""
    return hashlib.sha256(content).hexdigest()
