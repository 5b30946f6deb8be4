"""The one error of this package that is not about its input."""

from __future__ import annotations

import importlib
from typing import Any

EXTRAS = {"torch": "heuristics", "triton": "triton"}


class MissingDependency(ImportError):
    """An optional package is absent; the message names the extra that brings it."""


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
            f"{package} cannot be imported ({error}): pip install 'eplb-opt[{EXTRAS[package]}]'.",
            name=package,
        ) from error
