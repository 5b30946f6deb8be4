"""Who proves: exact solvers of one layer, which give a plan, a lower bound and often a certificate.

A *model* (`shared.answer.LayerModel`) is a function of one layer: problem, valid start, bound known
and deadline in, plan and proven bound out. A *solver* (`eplb_opt.solver.Solver`) wraps a model for
the turns of the schedule; the `*Solver` classes here are named in `planner/schedule.py`.
The general models are mixed-integer programs, made from a formulation (`formulations`: `counts/`
where tokens are split evenly over replicas, `flows/` where they are split freely) and solved by a
backend: `cpsat` (OR-Tools) or `milp` (CBC or another one through PuLP, in a process of its own).
The specialists take some shapes of problems only, and ask a backend in the last place or not at
all: `enumeration` (all replica counts, with one or two slots a GPU), `pairs/` (two slots a GPU),
`config_lp/` (a bound by column generation), `nodes/` (groups that stay on a node), `homes/` (a
priced topology), `senders/` (dispatch in which every GPU sends to one replica), `joint_levels`
and `joint_pairs` (bounds for several loads at once, called by `scenario_solvers`), `cost_packing`
(a bound for costs of replicas).
`least_away/` finds how little can be off home, for limits that first plans break, and
`fewest_moves` asks the general model for the plan that is closest to the plan in force.
What they share (loads, scales, linear constraints, calls, imports of backends) is in `shared/`.
The tables `MODELS` and `SPECIALISTS` name the models; a model and its backend are imported when
they are first needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from eplb_opt.errors import ProblemError

if TYPE_CHECKING:
    from eplb_opt.exact.shared.answer import LayerModel

#: The general models by name: the module, and the class in it.
MODELS: dict[str, tuple[str, str]] = {
    "cpsat": ("eplb_opt.exact.cpsat", "CpSatModel"),
    "milp": ("eplb_opt.exact.milp", "MilpModel"),
}

#: Models that take some shapes of problems only; the schedule decides when they are called.
SPECIALISTS: dict[str, tuple[str, str]] = {
    "enumeration": ("eplb_opt.exact.enumeration", "EnumerationModel"),
    "pairs": ("eplb_opt.exact.pairs.model", "PairsModel"),
    "config_lp": ("eplb_opt.exact.config_lp.model", "ConfigLpModel"),
    "nodes": ("eplb_opt.exact.nodes.model", "NodesModel"),
}


def get_specialist(name: str) -> LayerModel:
    """The specialist of that name, a key of `SPECIALISTS`, with its default settings."""
    return _load(SPECIALISTS[name])


def get_model(name: str) -> LayerModel:
    """The general model of that name, with its default settings.

    Raises
    ------
    ProblemError
        When no model has that name; the message lists those that do.
    """
    if name not in MODELS:
        raise ProblemError(f"model={name!r} is unknown; known: {', '.join(MODELS)}.")
    return _load(MODELS[name])


def _load(place: tuple[str, str]) -> LayerModel:
    module, attribute = place
    return cast("LayerModel", getattr(import_module(module), attribute)())
