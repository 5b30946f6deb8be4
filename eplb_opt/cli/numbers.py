"""Several whole numbers from one option: 32, or 32,64, or 8:12."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

#: More is a slip of the keyboard.
MAX_NUMBERS = 1000


def numbers(texts: Sequence[str], option: str) -> list[int]:
    """The numbers that an option's texts name, in their order.

    >>> numbers(["32,64", "8:12:2"], "--gpus")
    [32, 64, 8, 10, 12]

    Raises
    ------
    typer.BadParameter
        When a text names none.
    """
    return [number for text in texts for part in text.split(",") for number in _part(part, option)]


def _part(text: str, option: str) -> list[int]:
    try:
        first, *more = (int(word) for word in text.split(":"))
        last, step = (*more, *((first, 1)[len(more) :]))
        found = range(first, last + 1, step)
    except ValueError:
        found = range(0)
    if not 0 < len(found) <= MAX_NUMBERS or found[0] < 1:
        raise typer.BadParameter(
            f"{text!r} names no whole numbers from 1. Write 32, or 32,64 for several, or 8:12 for "
            "all from 8 to 12, or 8:16:2 for every second.",
            param_hint=f"'{option}'",
        )
    return list(found)
