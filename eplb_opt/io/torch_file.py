"""torch's .pt: tensors and plain containers of them; its code is never run."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError, MissingDependency
from eplb_opt.io.files import MAX_UNPACKED_BYTES
from eplb_opt.io.loads import Loads
from eplb_opt.io.npz import ZIP_ERRORS, ZIP_MAGIC, check_members
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.shapes import id_array, keys_found

if TYPE_CHECKING:
    from pathlib import Path


def import_torch() -> Any:
    """Torch, or which extra brings it.

    Raises
    ------
    MissingDependency
        When it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependency("torch", "heuristics") from error
    return torch


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
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch raises most kinds there are on damaged files
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else ""
        raise FormatError(
            f"torch reads no plain tensors in it ({type(error).__name__}: {reason}); "
            "it is damaged, or holds Python objects, which are never loaded: torch.save tensors."
        ) from error


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
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(archive)
    except FormatError:
        raise
    except ZIP_ERRORS as error:
        raise FormatError(f"the archive is damaged ({error}); copy or save it again.") from error
