"""A bound for several loads with a priced topology, as a solver of the schedule.

`eplb_opt.certificates.scenario_split` has the argument: an expert's parts on the nodes are the same
in every scenario. For one choice of homes the best multipliers are those of a linear program, and
they prove something for the other choices too. So the program is solved for the choice of which
least is proven, again and again; its multipliers are rounded to integers, with which the verifier
proves the bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bounds.bounds import Bound
from eplb_opt.certificates.certificate import Certificate, CertificateError
from eplb_opt.certificates.home_layer import all_homes
from eplb_opt.certificates.scenario_split import MAX_PRICE, MAX_SETS, UNIT, proven
from eplb_opt.errors import MissingDependency
from eplb_opt.exact.shared.backend_imports import load_module
from eplb_opt.exact.shared.model_calls import deadline_after_imports
from eplb_opt.problem.node_kinds import rates_of_nodes
from eplb_opt.problem.topology import slots_of_nodes
from eplb_opt.solver import Answer, Task, Verdict

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options

#: Effort that a linear program counts for; it takes about so many milliseconds.
EFFORT_OF_A_PROGRAM = 50
#: Seconds of a program, and how many a layer with many choices of homes needs for some gain: a turn
#: that is shorter is left to the search.
PROGRAM_SECONDS, NEEDED_PROGRAMS = 0.05, 10
#: The largest linear program, in experts times nodes.
MAX_COLUMNS = 20_000
#: Where the least that is proven rises by less in a program, the others raise it no more.
LEAST_GAIN = 1e-7


@dataclass(eq=False)
class _Known:
    """Multipliers that were found, and what they prove of every choice, about."""

    data: dict[str, list[int]] = field(default_factory=dict)
    of_choice: np.ndarray = field(default_factory=lambda: np.zeros(0))
    solved: set[int] = field(default_factory=set)


class ScenarioSplitSolver:
    """Raises the bound of a layer; a later turn goes on where the last one stopped.

    Parameters
    ----------
    problem
        A problem of one layer with scenarios and a topology.
    options
        The options of the call; this solver reads none of them.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem = problem
        self.program: _Program | None = None
        self.known = _Known()

    def solve(self, task: Task) -> Answer:
        """Solve programs until the turn ends, or as many as the effort is worth."""
        if not self._is_suitable():
            return Answer(verdict=Verdict.REFUSED)
        turn = deadline_after_imports(task)
        if turn is None:
            return Answer(verdict=Verdict.NOT_YET)
        if self.program is None:
            homes = all_homes(self.problem)
            if homes is None:
                return Answer(verdict=Verdict.REFUSED)
            self.program = _Program(self.problem, np.array(homes))
        needed = PROGRAM_SECONDS * min(len(self.program.homes), NEEDED_PROGRAMS)
        if task.effort is None and turn.remaining < needed:
            return Answer(verdict=Verdict.NOT_YET)
        most = None if task.effort is None else 1 + task.effort // EFFORT_OF_A_PROGRAM
        is_done = self._go_on(self.program, most, turn)
        if not self.known.data:
            return Answer(verdict=Verdict.FINISHED)
        data: dict[str, int | list[int]] = dict(self.known.data)
        try:
            value = proven(self.problem, data)
        except CertificateError:  # of too much work for a certificate
            return Answer(verdict=Verdict.FINISHED)
        proof = Certificate("scenario_split", value, data)
        verdict = Verdict.FINISHED if is_done else Verdict.AGAIN
        return replace(Answer(verdict=verdict), bound=Bound(value, proof.kind), certificate=proof)

    def _is_suitable(self) -> bool:
        problem, rules = self.problem, self.problem.topology
        columns = problem.num_experts * problem.num_nodes
        has_load = any(row.any() and s for row, s in zip(problem.load, problem.shares, strict=True))
        is_small = rules is not None and rules.exact_price <= MAX_PRICE and columns <= MAX_COLUMNS
        return has_load and is_small

    def _go_on(self, program: _Program, most: int | None, turn: Any) -> bool:
        """Solve programs; whether there is nothing left to raise."""
        known, num = self.known, 0
        while len(known.solved) < MAX_SETS:
            worst = int(np.argmin(known.of_choice)) if known.of_choice.size else 0
            if worst in known.solved:
                return True
            if num and (turn.expired if most is None else num >= most):
                return False
            found = program.multipliers(worst)
            known.solved.add(worst)
            num += 1
            if found is None:
                return True
            for name, numbers in found.items():
                known.data.setdefault(name, []).extend(numbers)
            values = program.values(found)
            is_first = not known.of_choice.size
            known.of_choice = values if is_first else np.maximum(known.of_choice, values)
        return True


class _Program:
    """The linear program of one layer, for any of its choices of homes.

    Parameters
    ----------
    problem
        The layer.
    homes
        int64 [num_choices, num_experts].
    """

    def __init__(self, problem: Problem, homes: np.ndarray) -> None:
        rows = problem.load[:, 0].astype(np.float64)
        shares = np.array([float(share) for share in problem.shares])
        used = (rows.sum(axis=1) > 0) & (shares > 0)
        self.part = rows[used] / rows[used].sum(axis=1, keepdims=True)  # [scenarios, experts]
        self.weight, self.homes = shares[used], homes
        self.rates = np.array(rates_of_nodes(problem), dtype=object)
        self.slots = slots_of_nodes(problem)
        self.share = (self.rates / self.rates.sum()).astype(np.float64)  # of what all GPUs serve
        self.is_max = problem.objective == "max"
        rules = problem.topology
        self.price = 0.0 if rules is None else float(rules.exact_price)
        is_limited = rules is not None and rules.max_off_home is not None and not self.is_max
        self.most = float(rules.most_off_home) if rules is not None and is_limited else None

    def multipliers(self, choice: int) -> dict[str, list[int]] | None:
        """Those of a choice's optimum, in units of the certificate; None where there are none.

        The variables are the parts x of experts on nodes, expert after expert, the scenarios'
        t and, where the worst counts, what it is worth.
        """
        linprog, sparse = _import_scipy()
        scenarios, experts = self.part.shape
        nodes, total = len(self.slots), self.part.shape[1] * len(self.slots)
        away = (np.arange(nodes) != self.homes[choice][:, None]).ravel()
        whole = np.repeat(self.part, nodes, axis=1)  # [scenarios, experts * nodes]
        on_node = np.tile(np.eye(nodes), (1, experts))  # [nodes, experts * nodes]
        loads = [
            np.hstack([part * on_node, -self._room(s, scenarios)]) for s, part in enumerate(whole)
        ]
        table = [*loads, np.hstack([on_node, np.zeros((nodes, scenarios))])]
        right = [np.zeros(scenarios * nodes), self.slots.astype(np.float64)]
        worth = np.concatenate([self.price * (self.weight @ whole) * away, self.weight])
        if self.most is not None:
            table.append(np.append(self.weight @ whole * away, np.zeros(scenarios))[None])
            right.append(np.array([self.most]))
        matrix = np.vstack(table)
        if self.is_max:
            each = np.hstack([self.price * whole * away, np.eye(scenarios)])
            matrix = np.hstack([np.vstack([matrix, each]), np.zeros((len(matrix) + scenarios, 1))])
            matrix[-scenarios:, -1] = -1.0
            right.append(np.zeros(scenarios))
            worth = np.append(np.zeros(total + scenarios), 1.0)
        one = np.zeros((experts, matrix.shape[1]))
        one[:, :total] = np.repeat(np.eye(experts), nodes, axis=1)
        bounds = [(0, None)] * total + [(1, None)] * scenarios + [(0, None)] * self.is_max
        answer = linprog(
            worth,
            A_ub=sparse.csr_matrix(matrix),
            b_ub=np.concatenate(right),
            A_eq=sparse.csr_matrix(one),
            b_eq=np.ones(experts),
            bounds=bounds,
            method="highs",
        )
        return self._rounded(-answer.ineqlin.marginals) if answer.status == 0 else None

    def _room(self, scenario: int, scenarios: int) -> np.ndarray:
        room = np.zeros((len(self.slots), scenarios))
        room[:, scenario] = self.share
        return room

    def _rounded(self, price: np.ndarray) -> dict[str, list[int]]:
        """Integers that the verifier takes."""
        scenarios, nodes = len(self.part), len(self.slots)
        units = np.floor(np.maximum(price, 0.0) * UNIT).astype(np.int64)
        node = units[: scenarios * nodes].reshape(scenarios, nodes)
        slot = np.minimum(
            units[scenarios * nodes :][:nodes], MAX_PRICE * UNIT // self.part.shape[1]
        )
        rest = units[(scenarios + 1) * nodes :]
        weight = np.array([int(w * UNIT) for w in self.weight])
        if self.is_max:
            weight = rest[-scenarios:]
            weight = weight - max(-(-(int(weight.sum()) - UNIT) // scenarios), 0)
            weight = np.maximum(weight, 0)
        # A hair less where rounding has left more than a scenario's weight allows.
        most = weight.astype(object) * self.rates.sum()
        while (over := (node * self.rates).sum(axis=1) > most).any():
            node[over] = np.maximum(node[over] - 1, 0)
        found = {"node": node.ravel().tolist(), "slot": slot.tolist()}
        found["limit"] = [int(rest[0]) if self.most is not None else 0]
        return found | ({"weight": weight.tolist()} if self.is_max else {})

    def values(self, found: dict[str, list[int]]) -> np.ndarray:
        """About what multipliers prove of every choice, float64 [num_choices]."""
        scenarios, nodes = len(self.part), len(self.slots)
        node = np.array(found["node"]).reshape(scenarios, nodes) / UNIT
        slot, limit = np.array(found["slot"]) / UNIT, found["limit"][0] / UNIT
        weight = np.array(found["weight"]) / UNIT if self.is_max else self.weight
        off = (self.price + limit) * (weight @ self.part)
        there = self.part.T @ node + slot
        at_home = np.take_along_axis(there, self.homes.T, axis=1)
        served = np.minimum(at_home, there.min(axis=1, keepdims=True) + off[:, None]).sum(axis=0)
        left = weight.sum() - (node @ self.share).sum() - slot @ self.slots
        return np.asarray(served + left - limit * (self.most or 0.0))


def _import_scipy() -> tuple[Any, Any]:
    """`linprog` and the sparse matrices of SciPy.

    Raises
    ------
    MissingDependency
        When it is missing.
    """
    try:
        return load_module("scipy.optimize").linprog, load_module("scipy.sparse")
    except ImportError as error:
        raise MissingDependency("scipy", "pairs") from error
