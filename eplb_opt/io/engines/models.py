"""Files that hold several models, a target and its draft say: which one is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb_opt.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

NUM_SHOWN = 8
NO_MODEL = "the file names its models; give model= (`convert --model`), the name {}."


def pick_model(names: Sequence[str], model: str | None) -> str:
    """The model that is asked for, or the only one.

    Raises
    ------
    FormatError
        When there are several and none is asked for, or it is not there; with the names.
    """
    shown = ", ".join(name[:80] for name in names[:NUM_SHOWN])
    more = ", ..." if len(names) > NUM_SHOWN else ""
    if model is None and len(names) == 1:
        return names[0]
    if model is None:
        raise FormatError(
            f"it holds {len(names)} models: {shown}{more}. Take one out of it: "
            "eplb-opt convert FILE ONE.npz --model NAME"
        )
    if model not in names:
        raise FormatError(f"it holds no model {model[:80]!r}; it has {shown}{more}.")
    return model


def unnamed(document: Any, model: str | None) -> Any:
    """The document of a format that does not name its model: it is that of any."""
    return document
