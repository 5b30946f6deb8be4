"""The files that commands write: tried before the work, and none at the cost of another."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from eplb_opt.errors import EngineRefusal, FormatError, MissingDependency, PlanError
from eplb_opt.io.files import check_writable, is_same_file

#: Parameters of commands that name a file to be written, and what the user calls them. All other
#: parameters that are paths name what is read.
OUTPUTS = {
    "output_file": "--output",
    "certificate_file": "--certificate",
    "transfers_file": "--transfers",
    "report_file": "--report",
    "csv_file": "--csv",
    "plot_file": "--plot",
    "dispatch_weights": "--dispatch-weights",
    "metrics_file": "--metrics",
    "ledger_file": "--ledger",
    "tokens_output": "--output",
    "loads_output": "--loads",
    "sources_output": "--sources",
    "homes_output": "--write-homes",
    "target": "OUT",
}
#: Files of a folder that recordings are read from: one more would be taken for a part of them.
PART_EXTENSIONS = (".pt", ".safetensors")
PART_NAMES = ("meta_info.json",)
#: What may go wrong with one file though the result is whole.
WRITE_ERRORS = (FormatError, PlanError, MissingDependency, OSError)


def check_outputs(parameters: Mapping[str, Any], config: Path | None = None) -> None:
    """Refuse, before any work, to write where nothing can be written or where an input lies.

    Parameters
    ----------
    parameters
        The command's parameters by name.
    config
        The config file in force, which is an input too.

    Raises
    ------
    FormatError
        With the option, the file and the mend.
    """
    outputs = {name: path for name in OUTPUTS for path in _paths(parameters.get(name))}
    inputs = [*input_files(parameters), *_paths(config)]
    for name, path in outputs.items():
        for source in inputs:
            _check_distinct(OUTPUTS[name], path, source)
    for (one, path), (other, same) in combinations(outputs.items(), 2):
        if is_same_file(path, same):
            raise FormatError(
                f"{OUTPUTS[one]} and {OUTPUTS[other]} are both {path}: the second would replace "
                "the first; name two files."
            )
    for path in outputs.values():
        check_writable(path)


def input_files(parameters: Mapping[str, Any]) -> list[Path]:
    """Files and folders that a command reads, by its parameters, each once."""
    read = [value for name, value in parameters.items() if name not in OUTPUTS]
    return list(dict.fromkeys(path for value in read for path in _paths(value)))


def _paths(value: Any) -> list[Path]:
    values = value if isinstance(value, list | tuple) else [value]
    return [each for each in values if isinstance(each, Path)]


def _check_distinct(option: str, path: Path, source: Path) -> None:
    if is_same_file(path, source):
        raise FormatError(
            f"{option} {path} is {source}, which this command reads: it would be overwritten. Name "
            "another file."
        )
    is_part = path.suffix in PART_EXTENSIONS or path.name in PART_NAMES
    if is_part and is_same_folder(path.parent, source):
        raise FormatError(
            f"{option} {path} lies in {source}, the folder of a recording: it would be read as a "
            "part of that. Name a file in another folder."
        )


def is_same_folder(one: Path, other: Path) -> bool:
    """Whether two paths lead to one folder, through whatever links."""
    try:
        return other.is_dir() and one.samefile(other)
    except OSError:  # there is no such folder
        return False


class Saving:
    """Writes the files of a finished piece of work.

    What fails costs neither the other files nor what is printed: it is raised by `finish`, which
    comes last.
    """

    def __init__(self) -> None:
        self.failures: list[Exception] = []

    def save(self, path: Path | None, write: Callable[[Path], object]) -> None:
        """Call `write` with the path; nothing where there is none."""
        if path is None:
            return
        try:
            write(path)
        except WRITE_ERRORS as error:
            self.failures.append(error)

    def save_plan(self, path: Path | None, write: Callable[[Path, str], object], kind: str) -> None:
        """Write a plan; where its place fails, as .npz among the system's temporary files.

        Parameters
        ----------
        path
            The file to write; None for none.
        write
            Takes the path and the name of a format.
        kind
            The format that is wanted. What its engine refuses is written nowhere.
        """
        known = len(self.failures)
        self.save(path, lambda target: write(target, kind))
        if len(self.failures) == known or isinstance(self.failures[-1], EngineRefusal):
            return
        try:
            with tempfile.NamedTemporaryFile(
                prefix="eplb-opt-plan-", suffix=".npz", delete=False
            ) as file:
                refuge = Path(file.name)
            write(refuge, "npz")
        except WRITE_ERRORS:
            return
        self.failures[-1] = FormatError(
            f"{self.failures[-1]} The plan is in {refuge} instead; turn it into another format "
            "with `eplb-opt convert`."
        )

    def finish(self) -> None:
        """Raise what went wrong, if anything did; all of it in one message.

        Raises
        ------
        Exception
            The first failure, or a FormatError that tells of them all.
        """
        if len(self.failures) == 1:
            raise self.failures[0]
        if self.failures:
            raise FormatError("\n".join(map(str, self.failures)))
