"""Writing placements for the engines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io.containers import csv_table, npz, parquet_table, plain_json
from eplb_opt.io.containers.detect import CONTAINERS, container_of, package_of
from eplb_opt.io.containers.npy import npy_bytes
from eplb_opt.io.containers.npz import npz_bytes
from eplb_opt.io.containers.torch_file import import_torch, torch_bytes
from eplb_opt.io.engines import ascend, deepseek, omni, sglang, trtllm, vllm, vllm_hcu, vllm_ranks
from eplb_opt.io.engines.runtime import Runtime, check_map
from eplb_opt.io.engines.validate import VALIDATORS
from eplb_opt.io.files import PathLike, check_writable, naming, write_atomically
from eplb_opt.io.loads import checked_layer_ids, checked_num_hidden_layers
from eplb_opt.io.placement import Placement
from eplb_opt.io.recordings.write import LOAD_WRITERS
from eplb_opt.placement.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Writer:
    """How a placement becomes the bytes of a file.

    Parameters
    ----------
    document
        The content that the engine will find in the file; it is validated before it is packed.
    packings
        Extension to packing; the first one is for all other names.
    needs_gpus
        Whether the file says which GPU a slot is on.
    joined
        What becomes of a file that is there already, and the new content: one file of both, where
        several models share it. By default the new content takes its place.
    """

    document: Callable[[Placement], Any]
    packings: dict[str, Callable[[Any], bytes]] = field(default_factory=dict)
    needs_gpus: bool = False
    joined: Callable[[Any, Any], Any] | None = None

    def pack(self, path: PathLike, document: Any) -> bytes:
        """The bytes, in the packing that the file's name asks for."""
        by_name = self.packings.get(Path(path).suffix.lower())
        return (by_name or next(iter(self.packings.values())))(document)


def _itself(placement: Placement) -> Placement:
    return placement


def _rows(placement: Placement) -> np.ndarray:
    return placement.plan.physical_to_logical


def _tensor_bytes(array: np.ndarray) -> bytes:
    return torch_bytes(import_torch().from_numpy(array.copy()))


#: A new engine is one file and one line here.
WRITERS: dict[str, Writer] = {
    "npz": Writer(_itself, {".npz": npz.placement_to_npz}),
    "deepseek": Writer(
        deepseek.document_for_deepseek, {".pt": deepseek.tensors_bytes, ".npz": npz_bytes}
    ),
    "sglang": Writer(
        sglang.document_for_sglang, {".json": plain_json.json_bytes, ".pt": deepseek.tensors_bytes}
    ),
    "vllm": Writer(
        vllm.document_for_vllm,
        {".json": vllm.rows_bytes, ".pt": vllm.policy_bytes, ".npz": npz_bytes},
    ),
    "vllm-hcu": Writer(
        vllm_hcu.document_for_hcu, {".json": vllm_hcu.maps_bytes}, joined=vllm_hcu.joined
    ),
    "vllm-ranks": Writer(
        vllm_ranks.document_for_ranks, {".json": plain_json.json_bytes}, needs_gpus=True
    ),
    "trtllm": Writer(trtllm.document_for_trtllm, {".yaml": trtllm.yaml_bytes}),
    "trtllm-config": Writer(trtllm.config_for_trtllm, {".yaml": trtllm.yaml_bytes}),
    "vllm-ascend": Writer(
        ascend.document_for_ascend, {".json": plain_json.json_bytes}, needs_gpus=True
    ),
    "omni": Writer(omni.document_for_omni, {".npy": npy_bytes}, needs_gpus=True),
    "npy": Writer(_rows, {".npy": npy_bytes}),
    "json": Writer(_rows, {".json": plain_json.json_bytes}),
    "pt": Writer(_rows, {".pt": _tensor_bytes}),
    "csv": Writer(_itself, {".csv": csv_table.placement_to_csv}),
    "parquet": Writer(_itself, {".parquet": parquet_table.placement_to_parquet}),
}


def packages_to_write(path: PathLike, name: str) -> tuple[str, ...]:
    """The optional packages that a file of a plan or of loads needs, before anything is written.

    Parameters
    ----------
    path
        The file; its extension chooses where a format comes in several kinds of files.
    name
        A name of `WRITERS` or of `LOAD_WRITERS`; an unknown one needs nothing.
    """
    kinds = [tuple(WRITERS[name].packings)] if name in WRITERS else []
    kinds += [tuple(LOAD_WRITERS[name])] if name in LOAD_WRITERS else []
    extension = Path(path).suffix.lower()
    chosen = {extension if extension in known else known[0] for known in kinds}
    return tuple(sorted({package_of(each) for each in chosen} - {""}))


def write_plan(
    path: PathLike,
    plan: Plan | np.ndarray,
    *,
    engine: str = "npz",
    num_gpus: int | None = None,
    num_experts: int | None = None,
    layer_ids: Sequence[int] | None = None,
    num_hidden_layers: int | None = None,
    current: np.ndarray | None = None,
    objective: np.ndarray | None = None,
    lower_bound: np.ndarray | None = None,
    status: Sequence[str] | None = None,
    model: str = "",
    dry_run: bool = False,
) -> None:
    """Write a placement whole or not at all, once the engine's validator has passed it.

    Parameters
    ----------
    path
        The file; an old one stays until the new one is complete on the disk. Where an engine takes
        several kinds of files, the extension chooses.
    plan
        A Plan, or a [num_layers, num_slots] map.
    engine
        A name of `WRITERS`.
    num_gpus, num_experts
        For a bare map: the number of GPUs (by default 1), and experts (by default up to the largest
        id).
    layer_ids
        Place of each planned layer among the hidden layers, ascending; by default 0, 1, 2, ...
    num_hidden_layers
        Layers of the model, dense ones included; by default up to the last planned layer.
    current
        The map in force, [num_layers, num_slots], for the engines that restrict what may change.
    objective, lower_bound
        A result's objective and bound, one for each layer; kept in our own npz only.
    status
        A result's status, one for each layer; kept in our own npz only.
    model
        Name of the model, for a file that several models share; those that are in it stay.
    dry_run
        Do everything but the writing: what is raised then would be raised at the end of the work.

    Raises
    ------
    FormatError
        When the engine is unknown or cannot take the plan, or the file cannot be written.
    PlanError
        When the map is none.
    MissingDependency
        When a file needs torch, PyYAML or pyarrow.
    """
    if engine not in WRITERS:
        raise FormatError(f"engine {engine!r} is unknown; known: {', '.join(WRITERS)}.")
    writer = WRITERS[engine]
    if writer.needs_gpus and num_gpus is None and not isinstance(plan, Plan):
        raise FormatError(f"a file for {engine} names the GPUs; give num_gpus with a bare map.")
    if not isinstance(plan, Plan):
        plan = Plan(plan, num_gpus or 1, num_experts or 0)
    with naming(path):
        ids = checked_layer_ids(layer_ids, plan.num_layers)
        count = checked_num_hidden_layers(num_hidden_layers, ids)
        placement = Placement(plan, ids, count, objective, lower_bound, status, model)  # type: ignore[arg-type]
        document = _validated(engine, writer, placement, current)
        if writer.joined is not None and Path(path).is_file():
            document = writer.joined(_there(path), document)
        content = writer.pack(path, document)
    if dry_run:
        check_writable(path)
    else:
        write_atomically(path, content)


def _there(path: PathLike) -> Any:
    """What a file holds already; None where that cannot be read, and so not be kept."""
    file = Path(path)
    try:
        return CONTAINERS[container_of(file)].read(file)
    except FormatError:
        return None


def _validated(
    engine: str, writer: Writer, placement: Placement, current: np.ndarray | None
) -> Any:
    """The document for an engine, which its validator has passed."""
    plan = placement.plan
    if engine not in VALIDATORS:
        return writer.document(placement)
    runtime = Runtime(
        plan.num_gpus,
        plan.num_experts,
        plan.num_slots,
        placement.layer_ids,
        placement.num_hidden_layers,
        None if current is None else np.asarray(current),
    )
    # The rows first: what follows from a map is only known of a whole one.
    keeps_padding = VALIDATORS[engine].keeps_padding
    check_map(plan.physical_to_logical, runtime, engine, keeps_padding=keeps_padding)
    document = writer.document(placement)
    VALIDATORS[engine].check(document, runtime)
    return document
