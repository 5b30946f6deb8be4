"""An instance: stored loads on some machine under some terms, and how a table writes it down."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import FormatError
from eplb_opt.io import read_loads, read_stored_plan
from eplb_opt.io.files import naming
from eplb_opt.placement.moves import moved_slots
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.costs import CostTable
from eplb_opt.problem.problem import Problem
from eplb_opt.problem.step_cost import StepCost
from eplb_opt.problem.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _cost(**told: Any) -> StepCost | CostTable:
    """A table of costs where `seconds` are told, else the arguments of a step's cost."""
    return CostTable(**told) if "seconds" in told else StepCost(**told)


#: Terms that `Problem` wants as an object of ours, and what makes one of the table's entries.
OBJECTS: dict[str, Callable[..., Any]] = {"topology": Topology, "cost": _cost}
#: What an instance says itself, and no term may say again.
OWN_TERMS = {"load", "num_slots", "num_gpus"}


@dataclass(frozen=True)
class Instance:
    """Stored loads on some machine, and the terms of the problem.

    Parameters
    ----------
    name
        The instance's name; "-h" marks groups that stay on one node.
    loads
        The load file, without its ending.
    num_slots, num_gpus
        Slots of a layer over all GPUs, and GPUs.
    layers
        Places of the layers in the load file, from 0; empty for all of them.
    scenarios
        Whether every snapshot of the load file is a load that the plan is to serve; else they are
        added up.
    terms
        Further arguments of `Problem` by name, as JSON has them: numbers, texts, lists; a topology
        is an object with the arguments of `Topology`.
    in_force
        The plan in force, a file in the folder `in_force` without its ending; empty for none.
    max_moves
        The most slots of a layer whose expert may be new on its GPU; None for no limit.
    folder
        The folder of the stored files.
    """

    name: str
    loads: str
    num_slots: int
    num_gpus: int
    layers: tuple[int, ...] = ()
    scenarios: bool = False
    terms: Mapping[str, Any] = field(default_factory=dict)
    in_force: str = ""
    max_moves: int | None = None
    folder: Path = field(default=Path(), compare=False)

    @property
    def path(self) -> Path:
        """The file of the stored loads."""
        return self.folder / f"{self.loads}.npz"

    @cached_property
    def load(self) -> np.ndarray:
        """The stored loads, int64 [num_layers, num_experts], or a scenario more."""
        stored = read_loads(self.path, format="npz")
        chosen = stored.load if self.scenarios else stored.total
        if not self.layers:
            return np.asarray(chosen)
        if max(self.layers) >= chosen.shape[-2]:
            raise FormatError(
                f"{self.path}: instance {self.name} wants layer {max(self.layers)}; the file has "
                f"{chosen.shape[-2]}, from 0."
            )
        return np.asarray(chosen[..., list(self.layers), :])

    def problem(self) -> Problem:
        """What is to be planned.

        Raises
        ------
        FormatError
            For a term that this version of `Problem` does not know.
        ProblemError
            For terms that do not fit each other.
        """
        unknown = set(self.terms) - ({f.name for f in fields(Problem) if f.init} - OWN_TERMS)
        if unknown:
            raise FormatError(
                f"instance {self.name}: the terms {', '.join(sorted(unknown))} are unknown to this "
                "version; use the version that wrote the table."
            )
        terms = {
            key: OBJECTS[key](**value) if key in OBJECTS else value
            for key, value in self.terms.items()
        }
        return Problem(self.load, self.num_slots, self.num_gpus, **terms)

    @cached_property
    def current(self) -> Plan | None:
        """The plan in force; None where there is none."""
        if not self.in_force:
            return None
        stored = read_stored_plan(self.folder / "in_force" / f"{self.in_force}.npz")
        return Plan(stored.physical_to_logical, self.num_gpus, self.load.shape[-1])

    def check(self, problem: Problem, placed: np.ndarray) -> Plan:
        """A plan of the instance that obeys every rule and the limit on moves.

        Parameters
        ----------
        problem
            What `problem` returns, or some layers of it.
        placed
            int64 [num_layers, num_slots], -1 for empty slots.

        Raises
        ------
        PlanError
            With the layer and the rule.
        FormatError
            When a layer moves too much.
        """
        plan = Plan(placed, problem.num_gpus, problem.num_experts)
        plan.check(problem)
        if self.current is not None and self.max_moves is not None:
            moves = moved_slots(self.current, plan)
            if moves.max(initial=0) > self.max_moves:
                layer_idx = int(moves.argmax())
                raise FormatError(
                    f"layer {layer_idx}: {moves[layer_idx]} slots move; at most {self.max_moves} "
                    "may."
                )
        return plan


#: Fields of a row in the table of instances.
KEYS = tuple(f.name for f in fields(Instance) if f.name != "folder")


def to_row(instance: Instance) -> dict[str, Any]:
    """An instance as the table has it: what differs from the defaults.

    Parameters
    ----------
    instance
        The instance.
    """
    whole = asdict(instance)
    return {key: whole[key] for key in KEYS if whole[key] not in ((), {}, "", None, False)}


def from_row(row: Any, folder: Path) -> Instance:
    """An instance of a row.

    Parameters
    ----------
    row
        An object of JSON types.
    folder
        The folder of the stored files.

    Raises
    ------
    FormatError
        When the row is no instance.
    """
    if not isinstance(row, dict) or set(row) - set(KEYS) or not set(KEYS[:4]) <= set(row):
        raise FormatError(f"an instance has {', '.join(KEYS[:4])}, and may have {KEYS[4:]}.")
    with naming(str(row["name"])):
        for key, kind in FORMS.items():
            if key in row and not kind(row[key]):
                raise FormatError(f"{key}={str(row[key])[:60]} is none.")
    layers = tuple(row.get("layers", ()))
    return Instance(**{**row, "layers": layers, "folder": folder})


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_name(value: Any) -> bool:
    """A name is part of a path: no separators, no dots at its beginning."""
    return isinstance(value, str) and value[:1].isalnum() and not set(value) & set("/\\:\0")


#: What the fields of a row may hold.
FORMS: dict[str, Callable[[Any], bool]] = {
    "name": _is_name,
    "loads": _is_name,
    "num_slots": _is_count,
    "num_gpus": _is_count,
    "layers": lambda value: isinstance(value, list) and all(map(_is_count, value)),
    "scenarios": lambda value: isinstance(value, bool),
    "terms": lambda value: isinstance(value, dict),
    "in_force": _is_name,
    "max_moves": _is_count,
}
