"""torch's .pt: tensors and plain containers of them; its code is never run."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError, import_optional
from eplb_opt.io.containers.npz import ZIP_ERRORS, ZIP_MAGIC
from eplb_opt.io.files import MAX_UNPACKED_BYTES
from eplb_opt.io.loads import Loads
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array, keys_found

if TYPE_CHECKING:
    from pathlib import Path


#: Values that lists may hold in any case, and bytes that a tensor may repeat.
FREE_VALUES = 2**24
FREE_REPEATS = 16 * 2**20
#: Lists in lists of a document; recordings and plans have three.
MAX_DEPTH = 32


def import_torch() -> Any:
    """Torch, or which extra brings it.

    Raises
    ------
    MissingDependency
        When it is not installed.
    """
    return import_optional("torch", "heuristics")


def read_pt(path: Path) -> Any:
    """What `torch.load` makes of a file when it may build nothing but tensors and containers.

    Raises
    ------
    FormatError
        When it is damaged or holds anything else.
    """
    torch = import_torch()
    with path.open("rb") as file:  # as torch does: is_zipfile would look into the damage
        mapped = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
    if mapped:
        _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about its own deprecated types
            document = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch raises most kinds there are on damaged files
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else ""
        raise FormatError(
            f"torch reads no plain tensors in it ({type(error).__name__}: {reason}); "
            "it is damaged, or holds Python objects, which are never loaded: torch.save tensors."
        ) from error
    num_values = _Lists().num_values(document)
    if num_values > max(FREE_VALUES, path.stat().st_size):
        raise FormatError(
            f"its lists claim {num_values} values in {path.stat().st_size} bytes: lists that hold "
            "one another many times over; torch.save tensors."
        )
    return document


class _Lists:
    """What the lists in a document hold when each is written out, as numpy does.

    Tensors outside lists are looked at where they are used: what nobody needs may be there.
    """

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def num_values(self, document: Any, depth: int = 0, in_list: bool = False) -> int:
        """The number of values, where a list that stands in several places counts at each of them.

        Raises
        ------
        FormatError
            When lists are nested too deeply.
        """
        if is_tensor(document):
            return int(document.numel()) if in_list else 0
        if not isinstance(document, list | tuple | dict):
            return 1
        if depth > MAX_DEPTH:
            raise FormatError(f"its lists are nested more than {MAX_DEPTH} deep.")
        if id(document) not in self._known:
            self._known[id(document)] = 0  # a list may hold itself
            in_list = not isinstance(document, dict)
            values = document.values() if isinstance(document, dict) else document
            self._known[id(document)] = sum(
                1 if type(value) in (int, float) else self.num_values(value, depth + 1, in_list)
                for value in values
            )
        return self._known[id(document)]


def torch_bytes(document: Any) -> bytes:
    """What `torch.save` writes."""
    content = io.BytesIO()
    import_torch().save(document, content)
    return content.getvalue()


def tensor_values(tensor: Any, name: str) -> Any:
    """The values of a tensor as numpy, or the plain lists as they are.

    Raises
    ------
    FormatError
        When the tensor is sparse, quantized, or claims too much for its few values.
    """
    if not hasattr(tensor, "detach"):
        return tensor
    torch = import_torch()
    check_dense(tensor, name)
    if tensor.numel() * 8 > MAX_UNPACKED_BYTES:
        raise FormatError(f"{name} claims {tensor.numel()} values; sum or split the recording.")
    check_repeats(tensor, name)
    if tensor.dtype == torch.bfloat16:  # numpy has no such type
        tensor = tensor.float()
    try:
        return np.array(tensor.detach().numpy())
    except (TypeError, RuntimeError) as error:
        raise FormatError(f"{name} has type {tensor.dtype}, which is no plain number.") from error


def check_dense(tensor: Any, name: str) -> None:
    """Refuse tensors that do not hold plain values in this machine's memory.

    Raises
    ------
    FormatError
        When it is sparse, quantized or elsewhere.
    """
    torch = import_torch()
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise FormatError(f"{name} is no dense tensor; save tensor.to_dense().cpu().")


def check_repeats(tensor: Any, name: str) -> None:
    """Refuse a large tensor most of whose values are one value many times over.

    Raises
    ------
    FormatError
        With what it claims and what is stored.
    """
    claimed, stored = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
    if claimed > max(stored, FREE_REPEATS):
        raise FormatError(
            f"{name} claims {tensor.numel()} values, {claimed} bytes; {stored} are stored. Save "
            "tensor.contiguous()."
        )


class Claims:
    """What tensors claim to hold, against what is stored: a value repeated takes no room.

    Few bytes could otherwise ask for any amount of memory or disk.
    """

    def __init__(self) -> None:
        self._stored: dict[int, int] = {}
        self._num_claimed = self._num_stored = 0

    def add(self, tensor: Any, name: str) -> None:
        """Count a tensor.

        Raises
        ------
        FormatError
            When all of them claim more bytes than there are.
        """
        check_dense(tensor, name)
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._stored:
            self._stored[storage.data_ptr()] = storage.nbytes()
            self._num_stored += storage.nbytes()
        self._num_claimed += tensor.numel() * tensor.element_size()
        if self._num_claimed > self._num_stored:
            raise FormatError(
                f"{name} claims {tensor.numel()} values: {self._num_claimed} bytes so far, "
                f"{self._num_stored} are stored; save tensor.contiguous()."
            )


def is_tensor(document: Any) -> bool:
    """Whether a document is one tensor."""
    return hasattr(document, "detach")


def loads_from_pt(document: Any) -> Loads:
    """Loads of a single tensor."""
    _check_single(document, "logical_count")
    return Loads(tensor_values(document, "the tensor"))


def plan_from_pt(document: Any) -> StoredPlan:
    """Expert ids of a single tensor."""
    _check_single(document, "phy2log or physical_to_logical_map")
    return StoredPlan(id_array(tensor_values(document, "the tensor"), "the tensor"))


def _check_single(document: Any, keys: str) -> None:
    if not is_tensor(document):
        found = keys_found(document) if isinstance(document, dict) else type(document).__name__
        raise FormatError(f"{found}; a single tensor, or a dictionary with {keys}, is due.")


def _check_archive(path: Path) -> None:
    """Refuse what torch does not write: it packs nothing, so no member exceeds the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise FormatError("the archive is packed, which torch never does; torch.save it again.")
        claimed, stored = sum(member.file_size for member in members), path.stat().st_size
        if claimed > stored:
            raise FormatError(f"the members claim {claimed} bytes in a file of {stored}.")
    except FormatError:
        raise
    except ZIP_ERRORS as error:
        raise FormatError(f"the archive is damaged ({error}); copy or save it again.") from error
