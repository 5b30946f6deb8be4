"""What makes two calls the same, so that one may go on from what the other has kept."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from eplb_opt.io.fingerprint import value_fingerprint
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.arrays import as_numpy

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from eplb_opt.planner.arguments import Request

#: Differences that a message names.
MOST_NAMED = 5


def identity_of(request: Request) -> dict[str, Any]:
    """What a call asks, by the names of its arguments: numbers and texts as they are.

    Arrays are told by their fingerprints. Time, workers, the target gap and limits on moves are
    left out: a job may go on with others.

    Parameters
    ----------
    request
        The call's checked arguments.
    """
    problem = request.problem
    # Fields that others add to a problem later count from then on.
    terms = {f.name: _told(getattr(problem, f.name)) for f in fields(problem) if f.repr}
    asked = {
        "effort": request.budget.effort,
        "seed": request.budget.seed,
        "model": request.model,
        "noise": request.noise,
        "current": _told(_array(request.current)),
        "starts": None,
    }
    if request.starts is not None:
        given = [[s.name, s.make() if s.is_given else None] for s in request.starts]
        asked["starts"] = value_fingerprint(given)
    return terms | asked


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """In what two identities differ, in words for a message; empty where in nothing."""
    names = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
    words = [_difference(name, theirs.get(name), ours.get(name)) for name in names[:MOST_NAMED]]
    left = len(names) - MOST_NAMED
    return ", ".join(words + ([f"and {left} more"] if left > 0 else []))


def _difference(name: str, theirs: Any, ours: Any) -> str:
    is_shown = all(value is None or isinstance(value, int | float) for value in (theirs, ours))
    return f"{name} {theirs} there and {ours} here" if is_shown else f"another {name}"


def _told(value: Any) -> Any:
    """A value that JSON holds: itself where it is a number or a short text."""
    if value is None or isinstance(value, int | str):
        return value
    return value_fingerprint(value)


def _array(current: Any) -> np.ndarray | None:
    if current is None:
        return None
    if isinstance(current, Plan):
        return current.physical_to_logical
    return as_numpy(current, "current")
