"""The script that runs PuLP and its backend in a process of their own.

`milp_process` starts this file as a script with a folder as its argument: it reads `model.pickle`
there and writes `result.pickle`, and it prints the backend's log. It imports PuLP and nothing of
this package. In a process of its own the backend can be ended in time whatever it does, its
temporary files lie in that folder, and highspy, which PuLP imports where it is installed, never
meets OR-Tools: the two cannot be loaded together.
"""

from __future__ import annotations

import inspect
import pickle
import sys
import time
from pathlib import Path
from typing import Any

#: The backends that are tried in this order when none is named: CBC comes with PuLP 3, or with its
#: extra.
DEFAULT_SOLVERS = ("PULP_CBC_CMD", "COIN_CMD")
#: The option that seeds a backend's random numbers, where we know it.
SEED_OPTIONS = dict.fromkeys(DEFAULT_SOLVERS, "randomCbcSeed {}")


def main(folder: Path) -> None:
    """Solve the model in the folder."""
    import pulp

    request = pickle.loads((folder / "model.pickle").read_bytes())
    result = _refusal(pulp, request) or _solve(pulp, request)
    (folder / "result.pickle").write_bytes(pickle.dumps(result))


def _refusal(pulp: Any, request: dict[str, Any]) -> dict[str, Any] | None:
    known = list(dict.fromkeys(pulp.listSolvers()))
    if request["solver"] is None:
        available = [
            name for name in DEFAULT_SOLVERS if name in known and _is_available(pulp, name)
        ]
        request["solver"] = available[0] if available else "CBC"
    name = request["solver"]
    if name not in known:
        return {"refused": f"solver={name!r} is unknown to PuLP; known: {', '.join(known)}."}
    if not _is_available(pulp, name):
        ready = ", ".join(pulp.listSolvers(onlyAvailable=True)) or "none"
        return {"refused": f"solver={name!r} is not installed; installed: {ready}."}
    if request["max_nodes"] is not None and "maxNodes" not in _arguments(pulp, name):
        return {"refused": f"solver={name!r} counts no nodes; give a time limit, not effort."}
    return None


def _solve(pulp: Any, request: dict[str, Any]) -> dict[str, Any]:
    problem, columns = _build(pulp, request)
    options = _options(pulp, request)
    if options.get("timeLimit", 1.0) <= 0:
        return {"solver": request["solver"], "values": None}
    problem.solve(pulp.getSolver(request["solver"], **options))
    has_plan = problem.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible)
    values = [column.value() for column in columns] if has_plan else None
    return {"solver": request["solver"], "values": values}


def _build(pulp: Any, request: dict[str, Any]) -> tuple[Any, list[Any]]:
    problem = pulp.LpProblem("layer", pulp.LpMinimize)
    continuous = set(request["continuous"])
    columns = [
        pulp.LpVariable(
            f"v{idx}", lower, upper, cat="Continuous" if idx in continuous else "Integer"
        )
        for idx, (lower, upper) in enumerate(zip(request["lower"], request["upper"], strict=True))
    ]
    costs = zip(*request["objective"], strict=True)
    problem += pulp.LpAffineExpression([(columns[idx], cost) for idx, cost in costs])
    for indices, coefficients, senses in request["rows"]:
        terms = [(columns[i], c) for i, c in zip(indices, coefficients, strict=True)]
        for sense, right in senses:
            problem += pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, rhs=right)
    for column, value in zip(columns, request["hint"] or (), strict=bool(request["hint"])):
        column.setInitialValue(value)
    return problem, columns


def _options(pulp: Any, request: dict[str, Any]) -> dict[str, Any]:
    arguments = _arguments(pulp, request["solver"])
    options: dict[str, Any] = {"msg": True}
    if request["until"] is not None:
        options["timeLimit"] = request["until"] - time.time()
    if request["max_nodes"] is not None:
        options["maxNodes"] = request["max_nodes"]
    if request["hint"] and "warmStart" in arguments:
        options["warmStart"] = True
    if request["seed"] and request["solver"] in SEED_OPTIONS:
        options["options"] = [SEED_OPTIONS[request["solver"]].format(request["seed"])]
    return options


def _is_available(pulp: Any, name: str) -> bool:
    return name in pulp.listSolvers(onlyAvailable=True)


def _arguments(pulp: Any, name: str) -> set[str]:
    return set(inspect.signature(type(pulp.getSolver(name)).__init__).parameters)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
