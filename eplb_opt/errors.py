"""The errors a caller can meet; each message holds the numbers and says what would be right."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

#: Optional packages by the module that is imported: the name to install, and the extra with it.
PACKAGES = {
    "jinja2": ("Jinja2", "report"),
    "matplotlib": ("matplotlib", "plots"),
    "ortools": ("ortools", "cpsat"),
    "pulp": ("pulp", "milp"),
    "pyarrow": ("pyarrow", "formats"),
    "ray": ("ray", "ray"),
    "rich": ("rich", "cli"),
    "safetensors": ("safetensors", "formats"),
    "scipy": ("scipy", "pairs"),
    "torch": ("torch", "heuristics"),
    "triton": ("triton", "triton"),
    "typer": ("typer", "cli"),
    "yaml": ("PyYAML", "formats"),
}


class ProblemError(ValueError):
    """The problem, or an argument of a call, is not one that can be planned."""


class PlanError(ValueError):
    """A plan breaks a rule of its problem."""


class FormatError(ValueError):
    """A file does not hold what it should."""


class EngineRefusal(FormatError, PlanError):
    """A placement is well-formed, but the serving process would refuse or misread it."""


class EngineError(RuntimeError):
    """The serving engine at hand lacks what a drop-in replaces."""


class RebalanceError(RuntimeError):
    """The ranks did not all get the new map: the old one stays in force on each of them."""


class MissingDependency(ImportError):
    """An optional package is absent.

    Parameters
    ----------
    package
        The package that could not be imported.
    extra
        The extra of `eplb-opt` that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        # The extra is named and not installed: which index, wheel or folder we came from, nobody
        # knows. The package itself is where packages are.
        super().__init__(
            f"{package} is not installed; the extra eplb-opt[{extra}] brings it. Or install it "
            f"alone: pip install {package}"
        )
        self.package = package
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingDependency], tuple[str, str]]:
        # An exception is pickled by the text it was given, which is not what this one takes.
        return type(self), (self.package, self.extra)


def require(*modules: str) -> None:
    """Raise before the work what would be raised after it.

    Parameters
    ----------
    *modules
        Keys of `PACKAGES`. They are looked for, and not imported.

    Raises
    ------
    MissingDependency
        For the first one that is not installed.
    """
    for module in modules:
        spec = find_spec(module)
        if spec is None or spec.origin is None:  # a mere folder of that name is no package
            raise MissingDependency(*PACKAGES[module])


def import_optional(module: str, extra: str, package: str | None = None) -> Any:
    """A module of an optional package, or a message that names the extra that brings it.

    Parameters
    ----------
    module
        The module's full name.
    extra
        The extra of `eplb-opt` that brings it.
    package
        The package's name for the message; by default the module's first part.

    Raises
    ------
    MissingDependency
        When it is not installed.
    """
    name = package or module.partition(".")[0]
    try:
        found = import_module(module)
    except ImportError as error:
        raise MissingDependency(name, extra) from error
    if hasattr(found, "__path__") and getattr(found, "__file__", None) is None:
        # Python takes any folder of that name on its path for a package, an empty one.
        raise MissingDependency(name, extra)
    return found
