"""Taking in loads from elsewhere as stored instances."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bench import library
from eplb_opt.bench.instance import Instance, from_row, to_row
from eplb_opt.bench.load_files import packed_loads
from eplb_opt.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from eplb_opt.io import Loads
    from eplb_opt.problem.machine import Machine

#: What a file of loads says of itself; all of it has to be given.
ABOUT = ("model", "units", "source", "licence")


def import_loads(
    loads: Loads,
    machines: Sequence[Machine],
    folder: Path,
    name: str,
    about: Mapping[str, str],
    terms: Mapping[str, Any] | None = None,
    scenarios: bool = False,
) -> list[Instance]:
    """Store loads with what they are, and an instance of them on each machine.

    Parameters
    ----------
    loads
        Loads in whole numbers.
    machines
        Slots, GPUs, nodes and groups of the instances.
    folder
        The folder of the stored files.
    name
        Name of the load file, without its ending; the instances' names begin with it.
    about
        Texts for `ABOUT`: the model, the unit of the loads, where they come from, and under which
        licence they may be passed on.
    terms
        Further arguments of `Problem`, as JSON has them.
    scenarios
        Whether every snapshot is a load that one plan is to serve.

    Returns
    -------
    The new instances, in the order of the machines.

    Raises
    ------
    ProblemError
        When something is there already, is missing, or does not make a problem: then nothing is
        written.
    """
    missing = [key for key in ABOUT if not about.get(key, "").strip()]
    if missing or set(about) - set(ABOUT):
        raise ProblemError(f"loads are taken in with {', '.join(ABOUT)}; say {', '.join(missing)}.")
    load = loads.load if scenarios else loads.total
    if load.dtype.kind not in "iu":
        whole = np.rint(load)
        if not np.array_equal(whole, load):
            raise ProblemError("the loads are no whole numbers; multiply them by a unit first.")
        load = whole.astype(np.int64)
    instances = [
        _checked(_instance(machine, folder, name, terms or {}, scenarios), load)
        for machine in machines
    ]
    content = packed_loads(load, int(loads.layer_ids[0]), dict(about), {})
    library.take_in(instances, name, content, hashlib.sha256(content).hexdigest())
    return instances


def _instance(
    machine: Machine, folder: Path, name: str, terms: Mapping[str, Any], scenarios: bool
) -> Instance:
    sizes = {"num_nodes": machine.num_nodes, "num_groups": machine.num_groups}
    told = {key: value for key, value in sizes.items() if value > 1} | dict(terms)
    full = f"{name}-{machine.num_slots}-{machine.num_gpus}"
    is_grouped = machine.num_nodes > 1 and machine.num_groups > 1
    return Instance(
        full + "-h" * is_grouped,
        name,
        machine.num_slots,
        machine.num_gpus,
        scenarios=scenarios,
        terms=told,
        folder=folder,
    )


def _checked(instance: Instance, load: np.ndarray) -> Instance:
    """The instance, once the table can hold it and it makes a problem."""
    same = from_row(to_row(instance), instance.folder)
    same.__dict__["load"] = load  # its file is not written yet
    same.problem()
    return instance
