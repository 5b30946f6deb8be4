"""The command line: arguments in, tables and files out; the work is done in other rooms.

`app` lists the commands and `main` below runs one and turns errors into exit codes. Each command
is a file: `plan`, `inspect` (check and bound), `gap`, `size`, `replay`, `watch`, `frontier`,
`loss` (plan-for-loss), `convert`, `example`, `guide`; those of `instances` and `bench` are in
folders of that name. `options` has the arguments that commands share, `gpu_options` those for GPUs
that differ. `intake` makes the problem: it reads the loads and the plan in force and has them
looked at. Before the work `needs` asks for packages and `outputs` tries files; `outputs` saves
results after it, `output` and `screen` print, `stopping` handles Ctrl-C, `job` the folder of a long
run, and `help`, `usage`, `config` and `complete` make the program pleasant to type.
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from eplb_opt.certificates import CertificateError
from eplb_opt.cli.stopping import Stopped, leave
from eplb_opt.cli.streams import BROKEN_PIPE, OutputError, guarded
from eplb_opt.errors import PACKAGES, FormatError, MissingDependency, PlanError, ProblemError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Exit codes; 0 is done.
FAULT, BAD_INPUT, BROKEN_RULE, INTERRUPTED = 1, 2, 3, 130

ADVICE = "This is a fault of eplb-opt itself; please report it with the lines above."


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0 done, 2 bad input or usage, 3 a broken rule, 1 our fault.

    Where a signal has cut the work short it is 128 and the signal's number, and 141 where the
    reader of stdout had enough.

    Parameters
    ----------
    argv
        Arguments without the program's name; by default those of the process, which then ends
        without waiting for solvers that a signal has cut short.
    """
    with guarded():
        code, is_cut_short = _outcome(list(sys.argv[1:] if argv is None else argv))
        try:
            sys.stdout.flush()
        except OutputError as error:
            code = _unprinted(error)
        if is_cut_short and argv is None:
            leave(code)
        return code


def _outcome(arguments: list[str]) -> tuple[int, bool]:
    """The exit code, and whether a signal has cut the work short."""
    try:
        from eplb_opt.cli.run import UsageError, run
    except ImportError as error:
        return _fail(FAULT, str(MissingDependency(error.name or "typer", "cli"))), False
    try:
        code = run(arguments)
    except Stopped as stop:
        return _fail(stop.code, str(stop)), True
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted"), True
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else BAD_INPUT, False
    except UsageError as error:
        return _fail(BAD_INPUT, str(error)), False
    except Exception as error:
        return _failure(error), False
    if code == INTERRUPTED:  # Typer takes Ctrl-C for itself
        return _fail(INTERRUPTED, "interrupted"), True
    return code, False


def _failure(error: Exception) -> int:
    """Say what went wrong, and the exit code for it."""
    if isinstance(error, OutputError):
        return _unprinted(error)
    if isinstance(error, PlanError | CertificateError):
        return _fail(BROKEN_RULE, str(error))
    if isinstance(error, ProblemError | FormatError):
        return _fail(BAD_INPUT, str(error))
    if isinstance(error, ImportError):
        missing = _missing(error)
        if missing is not None:
            return _fail(FAULT, str(missing))
    if isinstance(error, MemoryError):
        return _fail(BAD_INPUT, f"there is not enough memory for this ({error or 'no figure'}).")
    if isinstance(error, OSError):
        return _fail(BAD_INPUT, f"the system refuses: {error}.")
    traceback.print_exception(error)
    return _fail(FAULT, ADVICE)


def _missing(error: ImportError) -> ImportError | None:
    """The error in words, where an optional package is what is missing; None for our own faults.

    `heuristics` has an error of its own, and some other package may import ours for the first time.
    """
    if getattr(error, "extra", ""):
        return error
    package = (error.name or "").partition(".")[0]
    return MissingDependency(*PACKAGES[package]) if package in PACKAGES else None


def _unprinted(error: OutputError) -> int:
    """A reader that has had enough is told nothing, as is the custom in pipes."""
    return BROKEN_PIPE if error.is_broken_pipe else _fail(BAD_INPUT, str(error))


def _fail(code: int, message: str) -> int:
    print(f"eplb-opt: {message}", file=sys.stderr)
    return code
