"""Options for GPUs that differ, and for experts that are tied to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from eplb_opt.cli.numbers import numbers
from eplb_opt.problem.checks import SPREADS
from eplb_opt.problem.machine import GpuRules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SpreadName = StrEnum("SpreadName", list(SPREADS))  # type: ignore[misc]

LostGpus = Annotated[
    list[str] | None,
    typer.Option("--lost-gpus", help="GPUs that are not there, from 0: 3,7 or 8:15."),
]
GpuSlots = Annotated[
    str | None,
    typer.Option(
        "--gpu-slots",
        help="Slots each GPU can fill, up to --slots / --gpus: 5,4,4,4 or 5,3x4.",
    ),
]
GpuSpeeds = Annotated[
    str | None,
    typer.Option("--gpu-speeds", help="Relative speed of each GPU: 1,1,0.5,1 or 24x1,8x0.7."),
]
Pins = Annotated[
    list[str] | None,
    typer.Option(
        "--pin", help="EXPERT:GPU or LAYER:EXPERT:GPU, an expert that must stand there; repeatable."
    ),
]
Bans = Annotated[
    list[str] | None,
    typer.Option("--ban", help="The same, for an expert that must not stand there; repeatable."),
]
Spread = Annotated[
    SpreadName | None,
    typer.Option("--spread", help="Every expert stands on two GPUs, or on two nodes."),
]


@dataclass(frozen=True)
class RuleTexts:
    """The options as they were typed; each is None where it was not.

    Parameters
    ----------
    lost_gpus, gpu_slots, gpu_speeds, pins, bans, spread
        Values of the options of these names.
    """

    lost_gpus: Sequence[str] | None = None
    gpu_slots: str | None = None
    gpu_speeds: str | None = None
    pins: Sequence[str] | None = None
    bans: Sequence[str] | None = None
    spread: str | None = None

    @property
    def tells_slots(self) -> bool:
        """Whether the options say which slots can be filled."""
        return bool(self.lost_gpus) or self.gpu_slots is not None

    def rules(self, num_gpus: int, layer_ids: Sequence[int]) -> GpuRules:
        """What they ask for.

        Parameters
        ----------
        num_gpus
            Number of GPUs.
        layer_ids
            Names of the layers, by which pins and bans call them.

        Raises
        ------
        typer.BadParameter
            For what cannot be read, with the text and how to write it.
        """
        slots = _row(self.gpu_slots, "--gpu-slots", num_gpus, _whole)
        return GpuRules(
            tuple(numbers(self.lost_gpus or (), "--lost-gpus", least=0)),
            None if slots is None else tuple(map(int, slots)),
            _row(self.gpu_speeds, "--gpu-speeds", num_gpus, _positive),
            _tied(self.pins, "--pin", layer_ids),
            _tied(self.bans, "--ban", layer_ids),
            None if self.spread is None else str(self.spread),
        )

    def words(self) -> list[str]:
        """The options for a command line that asks the same."""
        words: list[str] = []
        for option, value in (
            ("--lost-gpus", self.lost_gpus),
            ("--gpu-slots", self.gpu_slots),
            ("--gpu-speeds", self.gpu_speeds),
            ("--pin", self.pins),
            ("--ban", self.bans),
            ("--spread", self.spread),
        ):
            texts = [value] if isinstance(value, str) else list(value or ())
            words += [word for text in texts for word in (option, str(text))]
        return words


def _row(
    text: str | None, option: str, num_gpus: int, number: Callable[[str], float]
) -> tuple[float, ...] | None:
    """One number a GPU, of a list in which 24x1 stands for 24 of them."""
    if text is None:
        return None
    found: list[float] = []
    for part in text.split(","):
        times, sign, value = part.rpartition("x")
        try:
            count = int(times) if sign else 1
            if not 0 < count <= num_gpus:
                raise ValueError(times)
            found += [number(value)] * count
        except ValueError as error:
            raise _bad(
                option, f"{part!r} is none of 4, 3x4 (three GPUs), and commas between them."
            ) from error
    if len(found) != num_gpus:
        raise _bad(
            option, f"{text!r} has {len(found)} numbers; --gpus is {num_gpus}, one is due for each."
        )
    return tuple(found)


def _whole(text: str) -> float:
    return int(text)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def _tied(
    texts: Sequence[str] | None, option: str, layer_ids: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    """Pairs (expert, GPU) and triples (place of the layer, expert, GPU)."""
    pairs = []
    for text in ",".join(texts or ()).split(",") if texts else ():
        words = text.split(":")
        if len(words) not in (2, 3) or not all(w.isascii() and w.isdigit() for w in words):
            raise _bad(option, f"{text!r} is none of EXPERT:GPU and LAYER:EXPERT:GPU, as 17:3.")
        *layer, expert, gpu = map(int, words)
        if layer and layer[0] not in layer_ids:
            raise _bad(
                option,
                f"{text!r}: there is no layer {layer[0]}; LOADS has {len(layer_ids)}, from "
                f"{layer_ids[0]} to {layer_ids[-1]}.",
            )
        pairs.append((*(layer_ids.index(each) for each in layer), expert, gpu))
    return tuple(pairs)


def _bad(option: str, text: str) -> typer.BadParameter:
    return typer.BadParameter(text, param_hint=f"'{option}'")
