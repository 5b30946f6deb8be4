"""The one error of this package that is not about its input."""

from __future__ import annotations

import importlib
from typing import Any

EXTRAS = {"torch": "heuristics", "triton": "triton"}


class MissingDependency(ImportError):
    """An optional package is absent; the message names the extra that brings it.

    Parameters
    ----------
    message
        What is said.
    package
        The package that could not be imported.
    extra
        The extra of `eplb-opt` that brings it.
    """

    def __init__(self, message: str, package: str, extra: str) -> None:
        super().__init__(message, name=package)
        self.package = package
        self.extra = extra


def require(package: str) -> Any:
    """Import an optional package on the first call that needs it.

    Parameters
    ----------
    package
        A key of `EXTRAS`.

    Returns
    -------
    module
        The imported package.

    Raises
    ------
    MissingDependency
        If the package cannot be imported.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingDependency(
            f"{package} cannot be imported ({error}); the extra eplb-opt[{EXTRAS[package]}] brings "
            f"it. Or install it alone: pip install {package}",
            package,
            EXTRAS[package],
        ) from error
