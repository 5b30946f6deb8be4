"""What `eplb-opt plan` writes and prints once the plan is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.cli import output
from eplb_opt.cli.steps import print_noise, print_steps, steps_json
from eplb_opt.io import write_plan
from eplb_opt.io.kept_slots import in_kept_slots
from eplb_opt.placement.moves import moved_slots
from eplb_opt.placement.plan import Plan
from eplb_opt.report.gap_tables import scenario_table_text
from eplb_opt.report.scenarios import scenario_table
from eplb_opt.report.starts import starts_table
from eplb_opt.report.step_time import drawn_seconds, step_line
from eplb_opt.report.tables import result_table

if TYPE_CHECKING:
    from pathlib import Path

    from eplb_opt.cli.intake import Intake
    from eplb_opt.io import Loads
    from eplb_opt.placement.move_cost import MoveAssessment
    from eplb_opt.problem.problem import Problem
    from eplb_opt.report.steps import StepReport
    from eplb_opt.result import Result


def print_result(
    result: Result,
    intake: Intake,
    plans: dict[str, Any],
    unseen: dict[str, Any],
    facts: dict[str, Any] | None,
    worth: MoveAssessment | None = None,
    steps: StepReport | None = None,
) -> None:
    """The result's figures, and those of other plans on loads that were not planned for.

    Parameters
    ----------
    result
        From `plan`.
    intake
        What was read.
    plans
        Plans by their names, to be scored on `unseen`.
    unseen
        Loads by their names; nothing is scored where there are none.
    facts
        What JSON says beside the result; None where a person reads it.
    worth
        What moving costs and saves, where that is known.
    steps
        What steps see, where a batch size is known.
    """
    scored = scenario_table(result.problem, plans, unseen) if unseen else None
    if facts is not None:
        facts |= {} if worth is None else {"move_cost": worth.json()}
        told = output.result_json(result, intake.layer_ids) | facts | steps_json(steps)
        output.print_json(told | ({"loads": scored} if scored else {}))
        return
    console = output.stdout()
    noise = None if steps is None else steps.noise
    console.print(result_table(result, intake.layer_ids, noise))
    print_noise(console, noise)
    if result.problem.counts_seconds:
        drawn = drawn_seconds(result.problem, result.plan)
        line = step_line(result.problem, result.objective, result.lower_bound, drawn)
        console.print(line, highlight=False)
    if len(result.starts) > 1:
        console.print(starts_table(result, console.width, noise))
    if result.moves is not None:
        line = moves_line(result.moves, result.problem, result.moves_across)
        console.print(line, highlight=False)
    if worth is not None:
        console.print(f"{worth}.", highlight=False)
    if scored:
        console.print(scenario_table_text(scored, console.width))
    print_steps(console, steps)


def moves_between(intake: Intake, placed: np.ndarray) -> np.ndarray | None:
    """Slots whose expert is new on its GPU, int64 [num_layers]; None without a plan in force.

    Parameters
    ----------
    intake
        What was read.
    placed
        The plan to be moved to, int64 [num_layers, num_slots].
    """
    if intake.in_force is None:
        return None
    num_gpus = intake.problem.num_gpus
    return moved_slots(Plan(intake.in_force, num_gpus), Plan(placed, num_gpus))


def moves_line(moves: np.ndarray, problem: Problem, across: np.ndarray | None = None) -> str:
    """How much is moved from the plan in force, in a sentence.

    Parameters
    ----------
    moves
        int64 [num_layers].
    problem
        The problem of both plans.
    across
        int64 [num_layers], those of them that come from another node, where that is known.
    """
    slots = int(problem.open_slots.sum()) * problem.num_layers
    return (
        f"From the plan in force {int(moves.sum()):,} of {slots:,} slots get an expert that is new "
        f"on their GPU, in {int((moves > 0).sum())} of {len(moves)} layers"
        + ("." if across is None or problem.num_nodes == 1 else _from_other_nodes(across))
    )


def _from_other_nodes(across: np.ndarray) -> str:
    return f"; {int(across.sum()):,} of them were on no GPU of their node."


@dataclass(frozen=True, eq=False)
class PlanWriter:
    """Writes a plan with what its recording tells.

    Parameters
    ----------
    recorded
        The recording that is planned for.
    in_force
        The plan in force as its file has it, for engines that restrict what may change.
    """

    recorded: Loads
    in_force: np.ndarray | None

    def __call__(self, path: Path, engine: str, result: Result) -> None:
        """Write the plan of a result."""
        facts = {name: getattr(result, name) for name in ("objective", "lower_bound", "status")}
        self._write(path, engine, result.plan, **facts)

    def write(self, path: Path, engine: str, plan: Plan) -> None:
        """Write a plan of which nothing else is told."""
        self._write(path, engine, plan)

    def rehearse(self, path: Path, engine: str, problem: Problem) -> None:
        """Raise what would be raised at the end whatever the plan: a package that is missing, say.

        The plan for it deals the experts out in turn, so that none is twice on a GPU and no layer
        is like the one before it.
        """
        layers, slots = np.ogrid[: problem.num_layers, : int(problem.is_open.sum())]
        placed = np.full((problem.num_layers, problem.num_slots), -1)
        placed[:, problem.is_open] = (slots + layers) % problem.num_experts
        plan = Plan(placed, problem.num_gpus, problem.num_experts)
        self._write(path, engine, plan, dry_run=True)

    def _write(self, path: Path, engine: str, plan: Plan, **facts: Any) -> None:
        write_plan(
            path,
            in_kept_slots(plan, engine, self.in_force),
            engine=engine,
            current=self.in_force,
            layer_ids=self.recorded.layer_ids,
            num_hidden_layers=self.recorded.num_hidden_layers,
            **facts,
        )
