"""The loads of the files: read, folded by their map, added up over ranks, and brought into line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eplb_opt.cli import options as opt
from eplb_opt.io import read_stored_plan
from eplb_opt.io.files import naming
from eplb_opt.io.plausible import folded, with_experts
from eplb_opt.io.plausible.heat import is_heat, refuse_heat
from eplb_opt.io.plausible.question import listed
from eplb_opt.io.recordings.rank_files import added_ranks, rank_file, rank_files

if TYPE_CHECKING:
    from pathlib import Path

    from eplb_opt.cli.options import Files
    from eplb_opt.io import Loads
    from eplb_opt.io.placement import StoredPlan
    from eplb_opt.io.plausible import Question


def recordings(files: Files, question: Question) -> tuple[list[Loads], Files]:
    """The loads of each recording; the sums alone where the snapshots are not asked for.

    Files of several ranks are one recording and added up. Loads of slots are folded by the map, or
    by the plan in force where their shape says what they are; the files returned name it.
    """
    read = [_read(path, files, question) for path in files.loads]
    groups: dict[str, dict[str, Loads]] = {}
    for path, (loads, _) in zip(files.loads, read, strict=True):
        file = rank_file(str(path))
        # Only ranks belong together: a file that is given twice is read twice.
        key = file.recording if file else str(len(groups))
        groups.setdefault(key, {})[f"{path}"] = loads
    used = next((map_file for _, map_file in read if map_file is not None), None)
    return [_together(group) for group in groups.values()], replace(files, map_file=used)


def _together(parts: dict[str, Loads]) -> Loads:
    """One recording of its ranks' files; a lone file keeps its rank in mind."""
    files = rank_files(parts)
    if len(parts) > 1:
        return added_ranks(files, [parts[file.name] for file in files])
    (loads,) = parts.values()
    ranks = loads.origin.ranks or tuple(file.rank for file in files)
    return replace(loads, origin=replace(loads.origin, ranks=ranks))


def _read(path: Path, files: Files, question: Question) -> tuple[Loads, Path | None]:
    """The loads of a file, and the map that they were folded by."""
    if files.map_file is not None:
        return _folded(path, files, files.map_file)
    method = opt.read if files.with_scenarios else opt.total
    loads = method(path, files.load_format).watched()
    shape = _shape(loads)
    if files.current is not None and is_heat(shape, question):
        return _folded(path, files, files.current)
    with naming(path):
        refuse_heat(shape, question)
    return loads, None


def _folded(path: Path, files: Files, map_file: Path) -> tuple[Loads, Path]:
    """Loads of slots, read whole, as loads of experts."""
    loads = folded(opt.read(path, files.load_format), read_stored_plan(map_file), str(map_file))
    if not files.with_scenarios:
        loads = replace(loads, load=loads.total[None])
    return loads, map_file


def _shape(loads: Loads) -> tuple[int, ...]:
    """The array's own shape, before its snapshots were added up."""
    steps = loads.origin.steps
    return (steps.num_steps if steps else 1, loads.num_layers, loads.num_experts)


def agreed(
    recorded: list[Loads], stored: StoredPlan | None, files: Files
) -> tuple[list[Loads], Files, tuple[str, ...]]:
    """Loads with the experts and the layers' names that the options and the plan in force tell."""
    recorded, files, notes = _with_all_experts(recorded, stored, files)
    named = next((loads for loads in recorded if loads.names_layers), None)
    if named is not None:
        ids, count, source = named.layer_ids, named.num_hidden_layers, named.source
    elif stored is not None and stored.layer_ids is not None:
        ids, count = stored.layer_ids, stored.num_hidden_layers or 0
        source = f"--current {files.current}"
    else:
        return recorded, files, notes
    for at, loads in enumerate(recorded):
        if not loads.names_layers and len(ids) == loads.num_layers and ids != loads.layer_ids:
            recorded[at] = replace(loads, layer_ids=ids, num_hidden_layers=count)
            notes += (
                f"{loads.source} does not name its layers; they are {listed(ids)}, as in {source}.",
            )
    return recorded, files, notes


def _with_all_experts(
    recorded: list[Loads], stored: StoredPlan | None, files: Files
) -> tuple[list[Loads], Files, tuple[str, ...]]:
    """Loads with the experts that a table of hits leaves out, as far as anything tells of them."""
    if files.experts is not None:
        return [with_experts(loads, files.experts) for loads in recorded], files, ()
    if not any(loads.origin.may_lack_experts for loads in recorded):
        return recorded, files, ()
    told = max(loads.num_experts for loads in recorded)
    notes: tuple[str, ...] = ()
    if stored is not None:
        held = stored.num_experts or int(stored.physical_to_logical.max()) + 1
        if held > told:
            notes = (
                f"experts up to {told - 1} were hit; there are {held}, as in --current "
                f"{files.current}.",
            )
        told = max(told, held)
    elif len({loads.num_experts for loads in recorded}) == 1:
        return recorded, files, ()  # `examine` says that there may be more
    full = [
        with_experts(loads, told) if loads.origin.may_lack_experts else loads for loads in recorded
    ]
    return full, replace(files, experts=told), notes
