"""What checks are given and what they return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Numbers named in a message before the rest is left out.
NUM_SHOWN = 6


@dataclass(frozen=True)
class Question:
    """What is asked of loads.

    Parameters
    ----------
    num_gpus, num_slots
        GPUs, and slots of a layer over all of them; None where not a single number is asked.
    tells_slots
        Whether the options say which slots can be filled, or which GPUs are lost.
    engine
        The engine that the plan is written for; "" for none.
    """

    num_gpus: int | None = None
    num_slots: int | None = None
    tells_slots: bool = False
    engine: str = ""


@dataclass(frozen=True)
class Finding:
    """What a check has found.

    Parameters
    ----------
    text
        A sentence or two: the numbers, and the mend.
    is_refusal
        Whether it is surely wrong, so that nothing may come of it.
    """

    text: str
    is_refusal: bool = False


def note(text: str) -> Finding:
    """Something odd."""
    return Finding(text)


def refusal(text: str) -> Finding:
    """Something that is surely wrong."""
    return Finding(text, is_refusal=True)


def listed(numbers: Sequence[int]) -> str:
    """Numbers for a message; runs of them by their ends, and no more than a few.

    >>> listed([0, 1, 2, 3]), listed([3, 7]), listed([4])
    ('0 to 3', '3, 7', '4')
    """
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    shown = ", ".join(map(str, numbers[:NUM_SHOWN]))
    return f"{shown}, ..." if len(numbers) > NUM_SHOWN else shown


def figure(load: float) -> str:
    """A load for a message.

    >>> figure(1234567.0), figure(0.25), figure(12)
    ('1,234,567', '0.25', '12')
    """
    return f"{load:,.0f}" if float(load).is_integer() else f"{load:,.4g}"
