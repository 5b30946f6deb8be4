"""A turn of counted work for the solvers of a priced topology."""

from eplb_opt.clock import Deadline
from eplb_opt.placement.scoring import objectives
from eplb_opt.search.starts import first_plan
from eplb_opt.solver import Options, Task


def solved(solver, problem, effort):
    """What a solver's class answers for one layer, from the first plan."""
    start = first_plan(problem)
    task = Task(
        layer_idx=0,
        problem=problem,
        start=start[0],
        objective=objectives(problem, start)[0],
        lower_bound=0,
        deadline=Deadline.after(None),
        call_deadline=Deadline.after(None),
        effort=effort,
        seed=0,
        attempt=0,
    )
    return solver(problem, Options()).solve(task)
