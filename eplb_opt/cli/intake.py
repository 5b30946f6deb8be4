"""From files to a problem: loads are read and looked at, beside the plan in force."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates import CertificateError
from eplb_opt.cli import output
from eplb_opt.cli.phases import of_phase, scenario_weights
from eplb_opt.cli.recordings import agreed, recordings
from eplb_opt.errors import FormatError, PlanError
from eplb_opt.io import read_stored_plan
from eplb_opt.io.files import naming
from eplb_opt.io.plausible import Question, examine, examine_current, in_force
from eplb_opt.io.plausible.heat import refuse_heat
from eplb_opt.io.plausible.question import listed
from eplb_opt.io.recordings.together import planned_for
from eplb_opt.placement.padding import empty_last, used_slots

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from eplb_opt.cli.options import Asked, Files
    from eplb_opt.io import Loads, Trace
    from eplb_opt.io.placement import StoredPlan
    from eplb_opt.problem.problem import Problem


#: How messages speak of a layer.
LAYER = re.compile(r"\b([Ll]ayer )(\d{1,7})\b")


@dataclass(frozen=True, eq=False)
class Intake:
    """What a command works on.

    Parameters
    ----------
    asked
        What was asked, with what followed from the files: the map, the number of experts, the slots
        that stay empty. The same is asked by these options alone.
    recorded
        The loads of each recording.
    problem
        The problem of serving them on the machine.
    current
        The plan in force, int64 [num_layers, num_slots] with -1 for empty slots, each GPU's in the
        order of the file; None where there is none.
    notes
        What was odd, in sentences; they have been said.
    """

    asked: Asked
    recorded: list[Loads]
    problem: Problem
    current: np.ndarray | None
    notes: tuple[str, ...]

    @property
    def layer_ids(self) -> tuple[int, ...]:
        """Names of the layers, as the files have them."""
        return self.recorded[0].layer_ids

    @property
    def in_force(self) -> np.ndarray | None:
        """The plan in force in the order of our plans, see `empty_last`."""
        return None if self.current is None else empty_last(self.current, self.problem.num_gpus)


def read_problem(asked: Asked, plan_file: StoredPlan | None = None) -> Intake:
    """The recorded loads of the files, looked at, and the problem of serving them on the machine.

    Parameters
    ----------
    asked
        The files and the machine, as the command line gives them.
    plan_file
        A plan that is to be scored: slots that it leaves empty stay so, where nothing else tells.

    Raises
    ------
    FormatError
        When a file cannot be read, is surely not what it is taken for, or contradicts another.
    ProblemError
        When the loads do not fit the machine.
    """
    machine, files = asked.machine, asked.files
    question = Question(machine.num_gpus, machine.num_slots, asked.rules.tells_slots, asked.engine)
    recorded, files, notes_of_phases = of_phase(files, question)
    stored = None if files.current is None else read_stored_plan(files.current)
    recorded, files, notes = agreed(recorded, stored, files)
    notes = notes_of_phases + notes + examine(recorded, question)
    asked, current = replace(asked, files=files), None
    layer_ids = recorded[0].layer_ids
    if stored is not None:
        name = f"--current {files.current}"
        notes += examine_current(stored, name, recorded[0], question)
        current = stored.rows(layer_ids)
        asked, padding = _with_padding(asked, current, name)
        notes += padding
    elif plan_file is not None and (plan_file.physical_to_logical < 0).any():
        asked, padding = _with_padding(asked, plan_file.rows(layer_ids), "the plan")
        notes += padding
    output.warn(notes)
    load = planned_for(recorded, files.with_scenarios)
    weights = scenario_weights(files, load)
    problem = asked.machine_for(layer_ids).problem(load, weights)
    return Intake(asked, recorded, problem, current, notes)


def with_names(text: str, layer_ids: Sequence[int]) -> str:
    """A message of the library, which counts layers, with their names in the files.

    >>> with_names("layer 0, GPU 3: expert 5 stands there twice.", [3, 4])
    'layer 3, GPU 3: expert 5 stands there twice.'
    """

    def name(found: re.Match[str]) -> str:
        at = int(found[2])
        return f"{found[1]}{layer_ids[at] if at < len(layer_ids) else at}"

    return LAYER.sub(name, text)


@contextmanager
def naming_layers(layer_ids: Sequence[int]) -> Iterator[None]:
    """Give layers their names in the messages of broken rules."""
    try:
        yield
    except (PlanError, CertificateError) as error:
        raise type(error)(with_names(str(error), layer_ids)) from error


def looked_at(files: Files) -> tuple[list[Loads], tuple[str, ...]]:
    """Recordings for machines of several sizes, and what was odd about them, which is said.

    Parameters
    ----------
    files
        The files of loads.

    Raises
    ------
    FormatError
        When a file cannot be read, or is surely not what it is taken for.
    """
    recorded, files = recordings(files, Question())
    recorded, _, notes = agreed(recorded, None, files)
    notes += examine(recorded, Question())
    output.warn(notes)
    return recorded, notes


def looked_at_trace(trace: Trace, path: Path, num_gpus: int, num_slots: int) -> tuple[str, ...]:
    """What is odd about a recording that is walked through, which is said; it is read once more.

    Raises
    ------
    FormatError
        When it is surely not what it is taken for.
    """
    question = Question(num_gpus, num_slots)
    with naming(path):
        refuse_heat(trace.shape, question)
        notes = examine([trace.total()], question)
    output.warn(tuple(f"{path}: {note}" for note in notes))
    return notes


def examine_plan(stored: StoredPlan, name: str, loads: Loads, num_gpus: int) -> None:
    """Look at a plan that is to be scored beside the loads and the options.

    Raises
    ------
    FormatError
        Where it is of other GPUs or layers. What breaks a rule of the problem is the checker's.
    """
    checks = (in_force.other_gpus, in_force.other_layers, in_force.unnamed_layers)
    for check in (*checks, in_force.uneven_padding):
        finding = check(stored, loads, Question(num_gpus))
        if finding is not None and finding.is_refusal:
            raise FormatError(f"{name}: {finding.text}")


def padded_one(plans: Iterable[StoredPlan]) -> StoredPlan | None:
    """The first of some plans that leaves slots empty."""
    return next((plan for plan in plans if (plan.physical_to_logical < 0).any()), None)


def _with_padding(asked: Asked, placed: np.ndarray, name: str) -> tuple[Asked, tuple[str, ...]]:
    """The same with the slots that a plan leaves empty, where no option tells of them."""
    num_gpus, num_slots = asked.machine.num_gpus, placed.shape[1]
    if not (placed < 0).any() or asked.rules.tells_slots or num_slots % num_gpus:
        return asked, ()
    used = used_slots(placed, num_gpus)[0].tolist()
    bare = [gpu for gpu, num in enumerate(used) if num == 0]
    holding = f" (nothing on GPU {listed(bare)})" if bare else ""
    row = short_row(used)
    text = (
        f"{name} leaves {num_slots - sum(used)} of {num_slots} slots of a layer empty{holding}; "
        f"they stay empty: --gpu-slots {row}. Give other numbers to fill them."
    )
    return replace(asked, rules=replace(asked.rules, gpu_slots=row)), (text,)


def short_row(values: Sequence[int]) -> str:
    """Numbers as --gpu-slots takes them.

    >>> short_row([5, 4, 4, 4])
    '5,3x4'
    """
    parts: list[list[int]] = []
    for value in values:
        if parts and parts[-1][1] == value:
            parts[-1][0] += 1
        else:
            parts.append([1, value])
    return ",".join(f"{num}x{value}" if num > 1 else f"{value}" for num, value in parts)
