"""What to say where the command line itself is wrong: what, why, and what to type instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from eplb_opt.cli.help import folded

#: The root of all errors of usage, whichever package the installed Typer takes them from.
ClickError: type[Exception] = next(
    error for error in typer.BadParameter.__mro__ if error.__name__ == "ClickException"
)
#: Beginnings of Typer's own words -> ours.
PLAIN_WORDS = {
    "Input should be a valid integer": "it must be a whole number, such as 32",
    "Input should be a valid number": "it must be a number, such as 2.5",
    "Value error, ": "",
}
WIDTH = 100


def explain(error: Any, config: Path | None = None) -> str:
    """An error of usage in words, with the command's example.

    Parameters
    ----------
    error
        A `ClickError`.
    config
        The config file in force, which may have set the option.
    """
    context: Any = getattr(error, "ctx", None)
    lines = [_what(error, config)]
    command = getattr(context, "command", None)
    if command is not None:
        example = getattr(command, "example", "")
        if example:
            lines.append("Example:")
            lines += [f"  {line}" for line in folded(example, WIDTH)]
        lines.append(f"Everything: {context.command_path} --help")
    return "\n".join(lines)


def _what(error: Any, config: Path | None) -> str:
    message = str(error.format_message())
    for words, plain in PLAIN_WORDS.items():
        head, found, tail = message.partition(words)
        if found:
            message = f"{head}{plain}{tail if words.endswith(' ') else '.'}"
    param = getattr(error, "param", None)
    if type(error).__name__ == "MissingParameter" and param is not None:
        message = f"{message.rstrip('.')}: {getattr(param, 'help', None) or 'see below.'}"
    if config is not None and _is_from_config(error, param):
        message = f"{config}: {message}"
    return message


def _is_from_config(error: Any, param: Any) -> bool:
    context = getattr(error, "ctx", None)
    if context is None or param is None:
        return False
    known = (context.default_map or {}).get(param.name)
    source = context.get_parameter_source(param.name)
    return known is not None and (source is None or source.name == "DEFAULT_MAP")
