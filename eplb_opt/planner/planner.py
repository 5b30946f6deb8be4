"""The main job: heuristics, bounds, search, exact models and a check, within one time budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb_opt.planner.arguments import (
    DEFAULT_TIME_LIMIT,
    Aims,
    Default,
    Moving,
    Progress,
    Running,
    Spending,
    read_request,
)
from eplb_opt.planner.call import Call
from eplb_opt.planner.lost_gpus import with_lost_gpus

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from threading import Event

    from eplb_opt.io.files import PathLike
    from eplb_opt.placement.move_cost import MoveCost
    from eplb_opt.problem.problem import Problem
    from eplb_opt.result import Result


def plan(
    problem: Problem,
    *,
    time_limit: float | Default | None = DEFAULT_TIME_LIMIT,
    effort: int | None = None,
    target_gap: float = 0.0,
    current: Any = None,
    max_moves: Any = None,
    move_tolerance: float | None = None,
    objective: str | None = None,
    noise: float | None = None,
    model: str = "cpsat",
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
    stop: Event | None = None,
    starts: Any = None,
    move_cost: MoveCost | None = None,
    cross_node_price: int = 1,
    executor: Executor | None = None,
    cluster: str | None = None,
    job: PathLike | None = None,
) -> Result:
    """The best plan that the budget allows, with a proven bound.

    Parameters
    ----------
    problem
        Loads and topology.
    time_limit
        Seconds from the call to the return, 10 by default; None for no limit: until every layer is
        proven or many turns in a row bring nothing. 0 asks for the best
        of the heuristics that are loaded and no search (milliseconds to tenths of a second).
    effort
        Counted work a layer instead of time, at least 0: the same answer on any machine and at
        any number of workers, given the solvers in `Result.relied_on`: CP-SAT of another version
        may find another plan. Excludes `time_limit`.
    target_gap
        Layers are left alone once objective / bound - 1 is at or below it.
    current
        The plan in force, a Plan or [num_layers, num_slots] ids (-1 for an empty slot). It is a
        start where it is valid, and `Result.moves` counts against it. GPUs get the names that move
        least, and a layer with nothing to gain keeps its row as it is.
    max_moves
        The most slots whose expert may be new on its GPU: one number for the whole model, or
        [num_layers] of them. Shared out where they lower the sum of the layers' objectives
        most. Needs a valid `current`.
    move_tolerance
        The fewest moves that keep each layer within (1 + move_tolerance) of the best plan found for
        it. Needs a valid `current` and excludes `max_moves`.
    objective
        "mean" or "max" over the scenarios; by default the problem's own.
    noise
        Under optimal dispatch: the plan is to hold, too, for loads whose experts each have another
        lognormal factor of this size (the standard deviation of its logarithm). 0 plans for the
        known loads alone. By default 0 for one load; with three scenarios or more the size is
        chosen by what holds on scenarios left out, with two it is 0.3. The objective reported is
        always that of the known loads; where it ends above the greedy's, `messages` says so.
    model
        The exact model for the layers with the largest gaps; a name in `exact.MODELS`.
    seed
        Seed of the solvers' randomness, at least 0.
    workers
        Layers worked on at a time; by default the cores this process may use.
    progress
        Called with a `HistoryPoint` after each stage, in the caller's thread.
    stop
        A `threading.Event`. Once another thread or a signal handler sets it, the call ends with the
        best so far, as if the time were up: turns under way and the output take about a second.
    starts
        Plans to start from: no layer comes out worse than in any of them. Names in
        `heuristics.HEURISTICS`, Plans or [num_layers, num_slots] ids, one or a list of them, or a
        mapping that gives each a name. By default every published heuristic that takes less than a
        fiftieth of `time_limit`, cheapest first, on the device of the loads; an empty list for
        none. The compiled greedy always competes. `Result.starts` says what each was worth.
    move_cost
        Each layer gets the plan that loses least time to moving, and to imbalance until the next
        rebalance; `move_cost.assess` tells the seconds. Needs a valid `current` and excludes the
        other limits on moves. With scenarios or a topology the objective is read as time.
    cross_node_price
        What a move to a node counts on which its expert did not stand, 1 to 1000; within a node it
        is 1. It counts against `max_moves`, in what `move_tolerance` makes least, in the choice of
        names, and as time with `move_cost`. Needs `current` and nodes; `Result.moves` counts all
        alike, and `Result.moves_across` those to another node.
    executor
        A `concurrent.futures.Executor` whose workers take the turns, such as a
        `ProcessPoolExecutor`; it stays open. A turn whose worker is lost is taken once more. By
        default threads of this process take them.
    cluster
        A Ray cluster whose workers take the turns: "auto" for the one of this machine, or the
        address of its head. Excludes `executor`. The time limit holds from the call to the return,
        connecting included.
    job
        A directory that keeps what is found, one file a layer; it is made where it is absent. The
        same call goes on from there, with what is kept checked, scored and proven again, and with
        counted work ends in the same answer as one that was never cut short.

    Returns
    -------
    Result
        A checked plan, always: when the time is up, a solver fails or a package is missing, the
        best so far, with `status`, `stop_reason` and `messages` saying so.

    Raises
    ------
    ProblemError
        For an argument that cannot be used: also a cluster that does not answer, workers of other
        versions under `effort`, and a job directory that is another call's or in use.
    PlanError
        For a plan in `starts` that breaks a rule.
    FormatError
        For a job directory that cannot be read or made.
    MissingDependency
        For a cluster without Ray.
    """
    request = read_request(
        problem,
        Spending(time_limit, effort, target_gap, seed, workers, stop),
        Moving(current, max_moves, move_tolerance, starts, move_cost, cross_node_price),
        Aims(objective, noise, model),
        Running(executor, cluster, job),
        progress,
    )
    try:
        call = Call(request)  # from here on there is an answer: the greedy's plan, a first bound
        call.take_current()
        call.take_starts()
        call.raise_bounds()
        call.choose_noise()
        call.improve()
        return with_lost_gpus(request.whole, call.result())
    finally:
        request.leave()
