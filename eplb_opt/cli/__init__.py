"""The command line: arguments in, tables out; the work is elsewhere."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from eplb_opt.certificates import CertificateError
from eplb_opt.errors import FormatError, MissingDependency, PlanError, ProblemError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Exit codes; 0 is done.
FAULT, BAD_INPUT, BROKEN_RULE, INTERRUPTED = 1, 2, 3, 130

ADVICE = "This is a fault of eplb-opt itself; please report it with the lines above."


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0 done, 2 bad input or usage, 3 a broken rule, 1 our fault.

    Parameters
    ----------
    argv
        Arguments without the program's name; by default those of the process.
    """
    try:
        from eplb_opt.cli.run import UsageError, run
    except ImportError as error:
        return _fail(FAULT, str(MissingDependency(error.name or "typer", "cli")))
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = run(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else BAD_INPUT
    except UsageError as error:
        return _fail(BAD_INPUT, str(error))
    except (PlanError, CertificateError) as error:
        return _fail(BROKEN_RULE, str(error))
    except (ProblemError, FormatError) as error:
        return _fail(BAD_INPUT, str(error))
    except MissingDependency as error:
        return _fail(FAULT, str(error))
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted")
    except Exception:
        traceback.print_exc()
        return _fail(FAULT, ADVICE)
    return _fail(INTERRUPTED, "interrupted") if code == INTERRUPTED else code


def _fail(code: int, message: str) -> int:
    print(f"eplb-opt: {message}", file=sys.stderr)
    return code
