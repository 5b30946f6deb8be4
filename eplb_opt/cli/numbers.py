"""Several whole numbers from one option: 32, or 32,64, or 8:12."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

#: More is a slip of the keyboard.
MAX_NUMBERS = 1000


def numbers(texts: Sequence[str], option: str, least: int = 1) -> list[int]:
    """The numbers that an option's texts name, in their order, none below `least`.

    >>> numbers(["32,64", "8:12:2"], "--gpus")
    [32, 64, 8, 10, 12]

    Raises
    ------
    typer.BadParameter
        When a text names none.
    """
    return [n for text in texts for part in text.split(",") for n in _part(part, option, least)]


def _part(text: str, option: str, least: int) -> list[int]:
    try:
        first, *more = (int(word) for word in text.split(":"))
        last, step = (*more, *((first, 1)[len(more) :]))
        found = range(first, last + 1, step)
    except ValueError:
        found = range(0)
    if not 0 < len(found) <= MAX_NUMBERS or found[0] < least:
        raise typer.BadParameter(
            f"{text!r} names no whole numbers from {least}. Write 32, or 32,64 for several, or "
            "8:12 for all from 8 to 12, or 8:16:2 for every second.",
            param_hint=f"'{option}'",
        )
    return list(found)
