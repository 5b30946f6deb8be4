"""What a watch remembers from round to round, and after a restart."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from eplb_opt.errors import FormatError
from eplb_opt.io.files import read_text, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from eplb_opt.workloads.watch.sources import Stamp

VERSION = 1


@dataclass(frozen=True)
class Figures:
    """What the last planning said, on the recordings that it was for.

    Parameters
    ----------
    planned, planned_worst
        Balancedness of the new plan: of the whole model, and of its worst layer.
    gap
        How far the new plan is above its proven bound at most: objective over bound, less 1.
    before, before_worst
        Balancedness of the map that was in force; None where there was none.
    moves
        Slots whose expert is new on its GPU in the new plan, over all layers; None where no map
        was in force.
    is_written
        Whether the new plan is in force now; else the map before has stayed.
    """

    planned: float
    planned_worst: float
    gap: float
    before: float | None = None
    before_worst: float | None = None
    moves: int | None = None
    is_written: bool = False

    @property
    def in_force(self) -> float | None:
        """Balancedness of the map in force now; None where there is none."""
        return self.planned if self.is_written else self.before

    @property
    def in_force_worst(self) -> float | None:
        """The same, of the worst layer."""
        return self.planned_worst if self.is_written else self.before_worst


@dataclass(frozen=True)
class State:
    """The recordings planned for, and what has been done so far.

    Parameters
    ----------
    stamps
        Files of the recordings with sizes and times; see `sources.Stamp`.
    recordings
        The recordings' fingerprints, one each.
    settings
        The fingerprint of the settings.
    in_force
        The fingerprint of the map in force after the round; "" where there is none.
    planned_at
        When the map in force was written, in seconds since 1970; None where this watch has
        written none.
    figures
        What the last planning said; None before the first.
    rounds
        Outcome -> the number of rounds that ended so.
    """

    stamps: tuple[Stamp, ...] = ()
    recordings: tuple[str, ...] = ()
    settings: str = ""
    in_force: str = ""
    planned_at: float | None = None
    figures: Figures | None = None
    rounds: dict[str, int] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it whole or not at all.

        Raises
        ------
        FormatError
            When the system refuses.
        """
        text = json.dumps({"version": VERSION, **asdict(self)}, indent=1, allow_nan=False)
        write_atomically(path, f"{text}\n".encode())


def load_state(path: Path) -> State:
    """The state of an earlier watch; a new one where there is no file.

    Raises
    ------
    FormatError
        When the file holds something else.
    """
    if not path.exists():
        return State()
    try:
        content = json.loads(read_text(path))
        if content.pop("version") != VERSION:
            raise ValueError("it is of another version")
        return _state(**content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FormatError(f"{path}: this is no state of a watch ({error}).") from error


def _state(
    stamps: Any,
    recordings: Any,
    settings: Any,
    in_force: Any,
    planned_at: Any,
    figures: Any,
    rounds: Any,
) -> State:
    """From what JSON makes of one; an error of Python's own where it cannot be."""
    return State(
        tuple((str(name), int(size), int(changed)) for name, size, changed in stamps),
        tuple(map(str, recordings)),
        str(settings),
        str(in_force),
        None if planned_at is None else float(planned_at),
        None if figures is None else _figures(**figures),
        {str(name): int(count) for name, count in rounds.items()},
    )


def _figures(**told: Any) -> Figures:
    is_written, moves = bool(told.pop("is_written")), told.pop("moves")
    numbers = {name: None if value is None else float(value) for name, value in told.items()}
    for name in ("planned", "planned_worst", "gap"):
        if numbers[name] is None:
            raise ValueError(f"{name} is absent")
    return Figures(
        **numbers,  # type: ignore[arg-type]
        moves=None if moves is None else int(moves),
        is_written=is_written,
    )
