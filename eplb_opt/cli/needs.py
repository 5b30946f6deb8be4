"""Packages that options need, asked for before the work: no plan is lost for want of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb_opt.errors import require
from eplb_opt.io import packages_to_write
from eplb_opt.planner.schedule import MODEL_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    #: An option's value and those of all others to keys of `eplb_opt.errors.PACKAGES`.
    Need = Callable[[Any, Mapping[str, Any]], tuple[str, ...]]


def _plan_file(path: Any, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    return packages_to_write(path, str(parameters.get("engine", "")))


def _models(names: Any, _: Mapping[str, Any]) -> tuple[str, ...]:
    several = names if isinstance(names, list | tuple) else [names]
    return tuple(MODEL_PACKAGES[str(name)] for name in several if str(name) in MODEL_PACKAGES)


#: Parameters of commands; a new option that needs a package is a row here.
NEEDS: dict[str, Need] = {
    "plot_file": lambda path, _: ("matplotlib",),
    "report_file": lambda path, _: ("jinja2",),
    "output_file": _plan_file,
    "model": _models,
    "models": _models,
    "cluster": lambda address, _: ("ray",),
}


def check_packages(context: Any) -> None:
    """Refuse a command whose options ask for what is not installed.

    What an option is by default is not asked for: a command does without it.

    Parameters
    ----------
    context
        Typer's context of the command.

    Raises
    ------
    MissingDependency
        With the extra that brings the first one.
    """
    for name, need in NEEDS.items():
        value = context.params.get(name)
        source = context.get_parameter_source(name)
        if value and source is not None and source.name != "DEFAULT":
            require(*need(value, context.params))
