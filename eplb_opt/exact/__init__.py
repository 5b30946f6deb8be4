"""Exact models of one layer; each loads its solver when it is first called."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from eplb_opt.errors import ProblemError

if TYPE_CHECKING:
    from eplb_opt.exact.shared.answer import LayerModel

#: Name of a model to the module and the function or class in it.
MODELS: dict[str, tuple[str, str]] = {
    "cpsat": ("eplb_opt.exact.cpsat", "CpSatModel"),
    "milp": ("eplb_opt.exact.milp", "MilpModel"),
}

#: Engines for some shapes only, which the planner calls by itself.
SPECIALISTS: dict[str, tuple[str, str]] = {
    "enumeration": ("eplb_opt.exact.enumeration", "EnumerationModel"),
    "pairs": ("eplb_opt.exact.pairs.model", "PairsModel"),
    "config_lp": ("eplb_opt.exact.config_lp.model", "ConfigLpModel"),
    "nodes": ("eplb_opt.exact.nodes.model", "NodesModel"),
}


def get_specialist(name: str) -> LayerModel:
    """The engine of that name, a key of `SPECIALISTS`, with its default parameters."""
    return _load(SPECIALISTS[name])


def get_model(name: str) -> LayerModel:
    """The model of that name with its default parameters.

    Raises
    ------
    ProblemError
        When no model has that name; the message lists those that do.
    """
    if name not in MODELS:
        raise ProblemError(f"model={name!r} is unknown; known: {', '.join(MODELS)}.")
    return _load(MODELS[name])


def _load(place: tuple[str, str]) -> LayerModel:
    module, attribute = place
    return cast("LayerModel", getattr(import_module(module), attribute)())
