"""Exact models of one layer; each loads its solver when it is first called."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from eplb_opt.errors import ProblemError

if TYPE_CHECKING:
    from eplb_opt.models.answer import LayerModel

#: Name of a model to the module and the function or class in it.
MODELS: dict[str, tuple[str, str]] = {
    "cpsat": ("eplb_opt.models.cpsat", "CpSatModel"),
    "milp": ("eplb_opt.models.milp", "MilpModel"),
}


def get_model(name: str) -> LayerModel:
    """The model of that name with its default parameters.

    Raises
    ------
    ProblemError
        When no model has that name; the message lists those that do.
    """
    if name not in MODELS:
        raise ProblemError(f"model={name!r} is unknown; known: {', '.join(MODELS)}.")
    module, attribute = MODELS[name]
    return cast("LayerModel", getattr(import_module(module), attribute)())
