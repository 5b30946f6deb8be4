"""The process of its own in which PuLP and its solver run.

`milp` starts this file as a script with a folder as its argument: it reads `model.pickle`
there and writes `result.pickle`; the solver's log is what it prints. It imports PuLP and nothing of
this package. In a process of its own whatever the solver does can be ended in time, its temporary
files lie in that folder, and highspy, which PuLP imports where it is installed, never
meets OR-Tools: the two cannot be loaded together.
"""

from __future__ import annotations

import inspect
import pickle
import sys
import time
from pathlib import Path
from typing import Any

#: Tried in this order when no solver is named: CBC comes with PuLP 3, or with its extra.
DEFAULT_SOLVERS = ("PULP_CBC_CMD", "COIN_CMD")
#: How a solver is told to start its random numbers, where it is known.
SEED_OPTIONS = dict.fromkeys(DEFAULT_SOLVERS, "randomCbcSeed {}")


def main(folder: Path) -> None:
    """Solve the model in the folder."""
    import pulp

    task = pickle.loads((folder / "model.pickle").read_bytes())
    result = _refusal(pulp, task) or _solve(pulp, task)
    (folder / "result.pickle").write_bytes(pickle.dumps(result))


def _refusal(pulp: Any, task: dict[str, Any]) -> dict[str, Any] | None:
    known = list(dict.fromkeys(pulp.listSolvers()))
    if task["solver"] is None:
        available = [
            name for name in DEFAULT_SOLVERS if name in known and _is_available(pulp, name)
        ]
        task["solver"] = available[0] if available else "CBC"
    name = task["solver"]
    if name not in known:
        return {"refused": f"solver={name!r} is unknown to PuLP; known: {', '.join(known)}."}
    if not _is_available(pulp, name):
        ready = ", ".join(pulp.listSolvers(onlyAvailable=True)) or "none"
        return {"refused": f"solver={name!r} is not installed; installed: {ready}."}
    if task["max_nodes"] is not None and "maxNodes" not in _arguments(pulp, name):
        return {"refused": f"solver={name!r} counts no nodes; give a time limit, not effort."}
    return None


def _solve(pulp: Any, task: dict[str, Any]) -> dict[str, Any]:
    problem, columns = _build(pulp, task)
    options = _options(pulp, task)
    if options.get("timeLimit", 1.0) <= 0:
        return {"solver": task["solver"], "values": None}
    problem.solve(pulp.getSolver(task["solver"], **options))
    has_plan = problem.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible)
    values = [column.value() for column in columns] if has_plan else None
    return {"solver": task["solver"], "values": values}


def _build(pulp: Any, task: dict[str, Any]) -> tuple[Any, list[Any]]:
    problem = pulp.LpProblem("layer", pulp.LpMinimize)
    continuous = set(task["continuous"])
    columns = [
        pulp.LpVariable(
            f"v{idx}", lower, upper, cat="Continuous" if idx in continuous else "Integer"
        )
        for idx, (lower, upper) in enumerate(zip(task["lower"], task["upper"], strict=True))
    ]
    costs = zip(*task["objective"], strict=True)
    problem += pulp.LpAffineExpression([(columns[idx], cost) for idx, cost in costs])
    for indices, coefficients, senses in task["rows"]:
        terms = [(columns[i], c) for i, c in zip(indices, coefficients, strict=True)]
        for sense, right in senses:
            problem += pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, rhs=right)
    for column, value in zip(columns, task["hint"] or (), strict=bool(task["hint"])):
        column.setInitialValue(value)
    return problem, columns


def _options(pulp: Any, task: dict[str, Any]) -> dict[str, Any]:
    arguments = _arguments(pulp, task["solver"])
    options: dict[str, Any] = {"msg": True}
    if task["until"] is not None:
        options["timeLimit"] = task["until"] - time.time()
    if task["max_nodes"] is not None:
        options["maxNodes"] = task["max_nodes"]
    if task["hint"] and "warmStart" in arguments:
        options["warmStart"] = True
    if task["seed"] and task["solver"] in SEED_OPTIONS:
        options["options"] = [SEED_OPTIONS[task["solver"]].format(task["seed"])]
    return options


def _is_available(pulp: Any, name: str) -> bool:
    return name in pulp.listSolvers(onlyAvailable=True)


def _arguments(pulp: Any, name: str) -> set[str]:
    return set(inspect.signature(type(pulp.getSolver(name)).__init__).parameters)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
