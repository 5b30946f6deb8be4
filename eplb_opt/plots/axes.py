"""What all figures share: colours, axes of their own, and the way to a file."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, cast

from eplb_opt.errors import FormatError, import_optional
from eplb_opt.io.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eplb_opt.io.files import PathLike

#: Colours that can be told from each other with every kind of colour vision, and in print by their
#: lightness.
INCUMBENT, BOUND = "#0072b2", "#d55e00"
#: Dotted, so that a line of another colour shows under it.
DOTTED = "#000000"
PALETTE = (
    INCUMBENT,
    BOUND,
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    DOTTED,
    "#8c510a",
    "#7b3294",
)
HEURISTIC = "0.6"
#: One scale of lightness, even for every kind of colour vision and in grey.
SHADES = "cividis"
#: Gaps below this many percent are drawn linearly, down to 0; above, each power of ten is as high.
LINEAR_PERCENT = 1e-4


def save(ax: Axes, path: PathLike) -> None:
    """Write the figure of some axes to a file, in the format that its name tells.

    Raises
    ------
    FormatError
        When the format is unknown or the system refuses.
    """
    content, kind = BytesIO(), _format(path)
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("These axes belong to no figure.")
    try:
        figure.savefig(content, format=kind, dpi=150)
    except ValueError as error:
        raise FormatError(f"{path}: {error}") from error
    write_atomically(path, content.getvalue())


def check_format(path: PathLike) -> None:
    """Raise before the work where no figure could be written after it.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    FormatError
        When the format that the name tells is unknown.
    """
    figure = new_axes(None).get_figure(root=True)
    known = [] if figure is None else sorted(figure.canvas.get_supported_filetypes())
    wanted = _format(path)
    if wanted not in known:
        raise FormatError(
            f"{os.fspath(path)}: no figure is written as {wanted}; known: {', '.join(known)}."
        )


def _format(path: PathLike) -> str:
    return Path(path).suffix.removeprefix(".").lower() or "png"


def new_axes(ax: Axes | None) -> Axes:
    """The axes given, or those of a new figure.

    Raises
    ------
    MissingDependency
        Without matplotlib.
    """
    if ax is not None:
        return ax
    figure = import_optional("matplotlib.figure", "plots")
    # A figure of its own, not pyplot's: nothing global is touched, no display is asked for.
    return cast("Axes", figure.Figure(figsize=(8, 4), layout="constrained").add_subplot())
