"""A config file: what one would type again and again.

A key is an option without its dashes. At the top it counts for every command that has the option,
in a table named after a command for that command alone; the command line wins over both.
"""

from __future__ import annotations

import os
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb_opt.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPTION, FILE, VARIABLE = "--config", "eplb-opt.toml", "EPLB_OPT_CONFIG"


def take_option(argv: Sequence[str]) -> tuple[list[str], str | None]:
    """The arguments without `--config FILE`, wherever it stands, and the file.

    Raises
    ------
    FormatError
        When the option stands last.
    """
    rest, path = [], None
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == OPTION:
            path = next(words, None)
            if path is None:
                raise FormatError(f"{OPTION} needs a file; write {OPTION} {FILE}.")
        elif word.startswith(f"{OPTION}="):
            path = word.removeprefix(f"{OPTION}=")
        else:
            rest.append(word)
    return rest, path


def find(named: str | None) -> Path | None:
    """The config file: as named, or of the environment, or in the current folder; or none.

    Raises
    ------
    FormatError
        When the one that is named is absent.
    """
    wanted = os.environ.get(VARIABLE) if named is None else named
    if not wanted:
        return Path(FILE) if Path(FILE).is_file() else None
    if not Path(wanted).exists() or Path(wanted).is_dir():
        by = OPTION if named is not None else VARIABLE
        raise FormatError(f"{wanted}: there is no such config file; {by} names it.")
    return Path(wanted)


def defaults(path: Path, group: Any) -> dict[str, Any]:
    """What the file says, as the default values of a group of commands.

    Parameters
    ----------
    path
        TOML.
    group
        The commands, as Typer makes them.

    Raises
    ------
    FormatError
        When the file is no TOML, or holds what no command knows; known names are listed.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: {error}") from error
    return _of_group(content, group, str(path))


def _of_group(content: Mapping[str, Any], group: Any, place: str) -> dict[str, Any]:
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    shared = {name: value for name, value in content.items() if name not in tables}
    for name in tables:
        _check_known(name, group.commands, f"{place}: there is no command {name!r}")
    known = {option for command in _commands(group) for option in _options(command)}
    for name in shared:
        _check_known(name, known, f"{place}: no command has the option {name!r}")
    return {
        name: _of_command(
            {**_of_interest(shared, command), **tables.get(name, {})}, command, f"{place}, [{name}]"
        )
        for name, command in group.commands.items()
    }


def _of_command(content: Mapping[str, Any], command: Any, place: str) -> dict[str, Any]:
    if hasattr(command, "commands"):
        return _of_group(content, command, place)
    options = _options(command)
    for name in content:
        _check_known(name, options, f"{place}: there is no option {name!r}")
    return {
        options[n].name: _value(value, options[n], f"{place}: {n}") for n, value in content.items()
    }


def _of_interest(shared: Mapping[str, Any], command: Any) -> dict[str, Any]:
    """Those of the shared options that a command, or one below it, has."""
    has = {option for each in _commands(command) for option in _options(each)}
    return {name: value for name, value in shared.items() if name in has}


def _commands(command: Any) -> list[Any]:
    """A command, or all of those in a group and the groups in it."""
    if not hasattr(command, "commands"):
        return [command]
    return [each for below in command.commands.values() for each in _commands(below)]


def _options(command: Any) -> dict[str, Any]:
    """Options by their long names without dashes."""
    return {
        text.removeprefix("--"): param
        for param in command.params
        if param.param_type_name == "option"
        for text in param.opts
        if text.startswith("--")
    }


def _value(value: Any, param: Any, place: str) -> Any:
    """A value as the command line would give it: words, a list of them, or a yes or no."""
    if param.is_flag:
        if not isinstance(value, bool):
            raise FormatError(f"{place} is {value!r}; write true or false.")
        return value
    if isinstance(value, list) and not param.multiple:
        raise FormatError(f"{place} takes one value, not the list {value!r}.")
    values = value if isinstance(value, list) else [value]
    for each in values:
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            raise FormatError(f"{place} is {each!r}; write a number or a text.")
    words = [str(each) for each in values]
    return words if param.multiple else words[0]


def _check_known(name: str, known: Any, message: str) -> None:
    if name in known:
        return
    near = get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]!r}" if near else ""
    raise FormatError(f"{message}{hint}; known: {', '.join(sorted(known))}.")
