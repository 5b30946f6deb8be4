"""Why layers are not proven optimal, in words: what stood in a solver's way, and what ran out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from eplb_opt.result import StopReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Numbers, or ranges of numbers, of layers that a message names.
MOST_NAMED = 5
#: Groups of layers with a reason in common that are told one by one.
MOST_GROUPS = 6

#: What ended the work on a layer, by why the call ended.
ENDS = {
    StopReason.TIME_LIMIT: "the time was up",
    StopReason.REQUEST: "the caller asked for the end",
    StopReason.EFFORT: "the counted work is done",
    StopReason.EXHAUSTED: "no solver had anything left to try",
}
#: The same for a layer that no search has answered for.
UNTOUCHED_ENDS = {
    StopReason.TIME_LIMIT: "the time was up before a search had answered for them",
    StopReason.REQUEST: "the caller asked for the end before a search had answered for them",
    StopReason.EFFORT: "no search had an answer for them",
    StopReason.EXHAUSTED: "no search had an answer for them",
}
AIMS = {
    "target": "the gap is at most the one that was asked for",
    "negligible": "what is left to the bound is negligible",
}


class Obstacle(NamedTuple):
    """What stood in a solver's way on a layer.

    Parameters
    ----------
    short
        What is said of it for many layers together, or beside a message that tells the rest.
    words
        All of it: the package and its extra, the fault, the size of the model.
    """

    short: str
    words: str


@dataclass(eq=False)
class Reasons:
    """Collects what the solvers said, and makes sentences of it.

    The sentences come in the order of the stages: that in which turns end differs from run to run.

    Parameters
    ----------
    stages
        Names of the stages, in the order of their first turns.
    num_layers
        Layers of the whole problem.
    """

    stages: Sequence[str]
    num_layers: int
    _said: dict[str, dict[int, str]] = field(default_factory=dict)
    _failed: dict[str, set[int]] = field(default_factory=dict)
    _obstacles: dict[str, dict[int, Obstacle]] = field(default_factory=dict)

    def say(self, stage: str, layer_idx: int, message: str) -> None:
        """Note a sentence of a solver for the caller."""
        self._said.setdefault(stage, {}).setdefault(layer_idx, message)

    def lacks_package(self, stage: str, layer_idx: int, message: str) -> None:
        """Note that a solver misses a package."""
        self._hinder(stage, layer_idx, Obstacle(f"{stage} lacks a package", f"{stage}: {message}"))
        self.say(stage, layer_idx, message)

    def failed(self, stage: str, layer_idx: int, error: Exception) -> None:
        """Note a fault of a solver."""
        message = f"{stage} failed: {type(error).__name__}: {error}"
        self._failed.setdefault(stage, set()).add(layer_idx)
        self._hinder(stage, layer_idx, Obstacle(f"{stage} failed", message))
        self.say(stage, layer_idx, message)

    def refused(self, stage: str, layer_idx: int, reason: str) -> None:
        """Note why a solver does not take a layer; without a reason it is none of its kind."""
        if reason:
            words = f"{stage} {reason}"
            self._hinder(stage, layer_idx, Obstacle(words.partition(":")[0], words))

    def _hinder(self, stage: str, layer_idx: int, obstacle: Obstacle) -> None:
        self._obstacles.setdefault(stage, {})[layer_idx] = obstacle

    def of_layer(self, layer_idx: int, end: str, is_short: bool = False) -> str:
        """Why a layer is not proven, with all that stood in the way.

        Parameters
        ----------
        layer_idx
            The layer.
        end
            What ended the work on it, from the tables above.
        is_short
            Without what differs from layer to layer.
        """
        found = [o.short if is_short else o.words for o in self._of(layer_idx)]
        return "; ".join([end, *dict.fromkeys(found)])

    def _of(self, layer_idx: int) -> list[Obstacle]:
        if not self._obstacles:
            return []
        each = (self._obstacles.get(stage, {}).get(layer_idx) for stage in self.stages)
        return [obstacle for obstacle in each if obstacle is not None]

    def messages(self) -> list[str]:
        """What the solvers said, one sentence a stage: that of its first layer."""
        told = []
        for stage in self.stages:
            by_layer = self._said.get(stage)
            if not by_layer:
                continue
            message = by_layer[min(by_layer)]
            if stage in self._failed and self.num_layers > 1:
                message += f" ({named(self._failed[stage])})"
            told.append(message)
        return list(dict.fromkeys(told))  # two stages may lack the same package

    def about_heuristics(self, ends: dict[int, str]) -> list[str]:
        """Why layers are as the heuristics left them, one sentence for all that have it in common.

        Parameters
        ----------
        ends
            What ended the work on each of these layers, from the tables above.
        """
        why = {layer_idx: self.of_layer(layer_idx, end, True) for layer_idx, end in ends.items()}
        groups = Counter(why.values()).most_common()
        told = []
        for reason, number in groups[:MOST_GROUPS]:
            layers = named({i for i, words in why.items() if words == reason})
            told.append(
                f"{number} of {self.num_layers} layers are as the heuristics left them: {reason} "
                f"({layers})."
            )
        left = sum(number for _, number in groups[MOST_GROUPS:])
        if left:
            told.append(f"{left} more layers are as the heuristics left them, for other reasons.")
        return told


def ranges(layers: Iterable[int]) -> list[str]:
    """Numbers in words, ascending, with consecutive ones together.

    >>> ranges([5, 3, 4, 9, 12, 13])
    ['3-5', '9', '12', '13']
    """
    words: list[str] = []
    for _, run in groupby(enumerate(sorted(layers)), key=lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in run]
        words += [f"{numbers[0]}-{numbers[-1]}"] if len(numbers) > 2 else map(str, numbers)
    return words


def named(layers: set[int]) -> str:
    """Numbers of layers for a message: all of them where a few words say it.

    >>> named({0, 3}), named({7}), named({0, 1, 2, 4, 6, 8, 10, 12})
    ('layers 0, 3', 'layer 7', 'layers 0-2, 4, 6, 8, 10 and others, 8 in all')
    """
    words = ranges(layers)
    names = ", ".join(words[:MOST_NAMED])
    if len(words) > MOST_NAMED:
        names += f" and others, {len(layers)} in all"
    return f"layer {names}" if len(layers) == 1 else f"layers {names}"
