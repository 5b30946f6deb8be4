"""From arguments to a command, with the config file's defaults under them."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from eplb_opt.cli import config
from eplb_opt.cli.app import app
from eplb_opt.cli.usage import ClickError, explain

PROGRAM = "eplb-opt"
#: Typer asks for completions through this variable.
COMPLETING = "_EPLB_OPT_COMPLETE"


class UsageError(Exception):
    """The command line is wrong; the message says what to type instead."""


@cache
def _command() -> Any:
    """All commands with their options, which take a tenth of a second to read from functions."""
    return typer.main.get_command(app)


def run(argv: list[str]) -> int:
    """Run a command and give its exit code.

    Raises
    ------
    UsageError
        When the arguments are none of a command.
    FormatError
        When the config file is wrong.
    """
    command = _command()
    rest, named = config.take_option(argv)
    # Who asks for help, or presses the tabulator, is not to be stopped by a faulty file.
    wants_config = "--help" not in rest and COMPLETING not in os.environ
    path = config.find(named) if wants_config else None
    defaults = None if path is None else config.defaults(path, command)
    if path is not None and sys.stderr.isatty():
        print(f"{PROGRAM}: defaults from {path}", file=sys.stderr)
    # Commands find what was typed in their context.
    settings = {"default_map": defaults, "obj": list(argv)}
    return _run(command, rest, settings, path)


def _run(command: Any, argv: list[str], settings: dict[str, Any], path: Path | None) -> int:
    try:
        code = command.main(argv, PROGRAM, standalone_mode=False, **settings)
    except ClickError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # type: ignore[attr-defined]
            return int(error.exit_code)  # type: ignore[attr-defined]
        raise UsageError(explain(error, path)) from error
    return code if isinstance(code, int) else 0
