"""numpy's .npz: our own placements, traces, and whatever else holds one array of loads."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers.npy import MAX_HEADER_BYTES, npy_bytes, outline, read_array
from eplb_opt.io.files import naming
from eplb_opt.io.loads import MAX_LAYER_ID, Loads, checked_layer_ids
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array, keys_found

if TYPE_CHECKING:
    from pathlib import Path

    from eplb_opt.io.placement import Placement

Arrays = dict[str, np.ndarray]

#: Tried in this order, before the only array of two or three dimensions.
LOAD_KEYS = ("load", "logical_count", "weight")
PLAN_KEY = "physical_to_logical"
#: Experts of single tokens, see `eplb_opt.io.recordings.token_files`.
TOKENS_KEY = "topk_ids"
ZIP_MAGIC = b"PK\x03\x04"
MAX_MEMBERS = 1_000
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

#: zlib's and the zip reader's own complaints about damaged bytes.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
    LookupError,
    struct.error,
)


class Archive(Mapping[str, np.ndarray]):
    """The arrays of an archive by name, each read when it is asked for: what nobody needs stays.

    The members are looked at before numpy is given them, for numpy takes memory as their headers
    ask for it, and unpacks whatever is named.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FormatError
        When it is damaged, has too many members or one twice; where an array is asked for, when
        that one is damaged, a pickle, or claims too much.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with opened(path) as archive:
            self._names = [name.removesuffix(".npy") for name in _names(archive)]

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        member = f"{name}.npy"
        with opened(self._path) as archive, naming(member), archive.open(member) as stream:
            info = archive.getinfo(member)
            return read_array(stream, info.file_size, info.compress_size)

    def __contains__(self, name: object) -> bool:
        return name in self._names  # a Mapping's own would read the array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def outlines(self, *names: str) -> Arrays:
        """Arrays of the right shapes and no memory, to choose among; by default of all names.

        Members whose header tells of none, such as pickles, are left out.
        """
        wanted = [name for name in names or self._names if name in self._names]
        with opened(self._path) as archive:
            found = {name: _outline(archive, f"{name}.npy") for name in wanted}
        return {name: array for name, array in found.items() if array is not None}

    def layer_ids(self) -> Any:
        """The layer ids, () where there are none; an outline where they are too many."""
        outline = self.outlines("layer_ids").get("layer_ids")
        if outline is None:
            return ()
        return outline if outline.size > MAX_LAYER_ID else self["layer_ids"]

    def scalar(self, name: str) -> int:
        """A whole number; 0 where there is none.

        Raises
        ------
        FormatError
            When it is anything else.
        """
        outline = self.outlines(name).get(name)
        if outline is None:
            return 0
        if outline.ndim or outline.dtype.kind not in "iu":
            raise FormatError(
                f"{name} has type {outline.dtype}, shape {list(outline.shape)}; an integer is due."
            )
        return int(self[name])

    def text(self, name: str) -> str:
        """A text; "" where there is none."""
        outline = self.outlines(name).get(name)
        if outline is None or outline.ndim or outline.dtype.kind != "U":
            return ""
        return str(self[name])


def read_outlines(path: Path) -> Arrays:
    """See `Archive.outlines`."""
    return Archive(path).outlines()


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive whose list of members makes sense; a FormatError for all that is wrong with it.

    Raises
    ------
    FormatError
        When it is damaged, or has too many members, one twice, or packed as numpy never does.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(member.compress_type not in PACKINGS for member in members):
                raise FormatError(
                    "the archive is packed in another way than deflate; save it with numpy."
                )
            if len(members) > MAX_MEMBERS:
                raise FormatError(
                    f"the archive has {len(members)} members; at most {MAX_MEMBERS} are looked at."
                )
            if len({member.filename for member in members}) < len(members):
                raise FormatError("the archive has a member twice; save it again.")
            yield archive
    except FormatError:
        raise
    except ZIP_ERRORS as error:
        raise FormatError(
            f"the archive is truncated or damaged ({error}); copy or save it again."
        ) from error


def _outline(archive: zipfile.ZipFile, name: str) -> np.ndarray | None:
    with archive.open(name) as stream, suppress(FormatError):
        return outline(stream.read(MAX_HEADER_BYTES))
    return None


def npz_bytes(arrays: Arrays, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of the arrays; stored ones are the same bytes on every machine.

    Parameters
    ----------
    arrays
        Arrays by their names; no arrays of objects.
    compression
        ``zipfile.ZIP_DEFLATED`` or ``zipfile.ZIP_STORED``.
    """
    content = BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # its date is 1980: no clock in the bytes
            member.create_system, member.compress_type = 3, compression
            archive.writestr(member, npy_bytes(array))
    return content.getvalue()


def loads_from_npz(arrays: Archive) -> Loads:
    """Loads under one of `LOAD_KEYS`, or the only array that can be loads."""
    if "load" not in arrays and PLAN_KEY in arrays:
        raise FormatError("this is a placement, not a recording of loads; give it as the plan.")
    key = load_key(arrays if has_loads(arrays) else arrays.outlines())
    return Loads(
        arrays[key],
        layer_ids=arrays.layer_ids(),
        num_hidden_layers=arrays.scalar("num_hidden_layers"),
        source=arrays.text("model"),
    )


def has_loads(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether an archive names its loads."""
    return PLAN_KEY not in arrays and any(key in arrays for key in LOAD_KEYS)


def has_tokens(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether an archive holds the experts of single tokens, and no loads beside them."""
    return TOKENS_KEY in arrays and not has_loads(arrays)


def has_plan(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether an archive names its placement."""
    return PLAN_KEY in arrays


def plan_from_npz(arrays: Archive) -> StoredPlan:
    """The placement of our own archive, or the only two-dimensional array."""
    if PLAN_KEY in arrays:
        placed = id_array(arrays[PLAN_KEY], PLAN_KEY)
        return StoredPlan(
            placed,
            checked_layer_ids(arrays.layer_ids(), len(placed)) if "layer_ids" in arrays else None,
            arrays.scalar("num_gpus") or None,
            arrays.scalar("num_experts") or None,
            arrays.scalar("num_hidden_layers") or None,
        )
    if "load" in arrays:
        raise FormatError("this is a recording of loads, not a placement; give it as the loads.")
    key = _only(arrays.outlines(), (2,), f"a key {PLAN_KEY} or phy2log")
    return StoredPlan(id_array(arrays[key], "the array"))


def placement_to_npz(placement: Placement) -> bytes:
    """Our own archive: the placement, what follows from it, and what is proven about it."""
    plan = placement.plan
    arrays: dict[str, Any] = {
        PLAN_KEY: plan.physical_to_logical,
        "logical_count": plan.logical_count,
        "logical_to_physical": plan.logical_to_physical,
        "num_gpus": np.int64(plan.num_gpus),
        "num_experts": np.int64(plan.num_experts),
        "layer_ids": np.array(placement.layer_ids, dtype=np.int64),
        "num_hidden_layers": np.int64(placement.num_hidden_layers),
        "objective": placement.objective,
        "lower_bound": placement.lower_bound,
        "status": placement.status,
    }
    return npz_bytes({key: value for key, value in arrays.items() if value is not None})


def _names(archive: zipfile.ZipFile) -> list[str]:
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    if not names:
        raise FormatError("the archive holds no .npy arrays; save it with numpy.savez.")
    return names


def load_key(arrays: Mapping[str, np.ndarray]) -> str:
    """Which of the arrays are the loads, by name or by being the only one that can be.

    Raises
    ------
    FormatError
        When none or several can be.
    """
    known = [key for key in LOAD_KEYS if key in arrays]
    return known[0] if known else _only(arrays, (2, 3), f"a key {', '.join(LOAD_KEYS)}")


def _only(arrays: Mapping[str, np.ndarray], dimensions: tuple[int, ...], wanted: str) -> str:
    candidates = [key for key, array in arrays.items() if array.ndim in dimensions]
    if len(candidates) != 1:
        raise FormatError(
            f"{keys_found(arrays)}: {len(candidates)} arrays of "
            f"{' or '.join(map(str, dimensions))} dimensions. Give the right one {wanted}."
        )
    return candidates[0]
