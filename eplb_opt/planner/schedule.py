"""Which solver suits which problem, in which order, at what pace: the portfolio's tables.

A new solver is a file that holds it and a row of `SOLVERS`, named in the rows of `ORDERS` where it
is to have turns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, cast

from eplb_opt.bounds.partitions import can_enumerate
from eplb_opt.clock import Pace
from eplb_opt.exact import get_model
from eplb_opt.planner.conditions import (
    always,
    has_anchors,
    has_cost,
    has_few_open_slots,
    has_few_slots,
    has_gpu_rules,
    has_like_gpus_and_no_groups,
    has_middling_scenarios,
    has_no_senders,
    has_one_kind_of_gpu,
    has_one_load,
    has_room_or_groups,
    has_scenarios,
    has_senders,
    has_small_cost_model,
    has_small_scenarios,
    has_strict_plans,
    has_topology,
    has_topology_and_two_slots,
    has_two_slots,
    has_two_slots_and_a_price,
    has_two_slots_and_no_price,
    has_unlike_nodes,
    is_hierarchical,
    is_hierarchical_and_roomy,
    splits_few_flows,
    splits_freely,
    stands_in_few_shapes,
)

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem
    from eplb_opt.solver import Options, Solver

#: A number of turns that no call reaches: the solver has turns for as long as there is time.
ALWAYS = 10**9
Suits = Callable[["Problem"], bool]


@dataclass(frozen=True)
class Entry:
    """A row of `SOLVERS`.

    Parameters
    ----------
    solver
        Module and class, imported at the first turn; it is made once for each layer, with the
        problem of that layer and the call's `Options`.
    pace
        How long and how many its turns are.
    suits
        Whether the solver has anything to say about a problem. What only a layer's state can tell
        is the solver's own verdict.
    all_at_first
        Whether, under a clock, all layers have a first turn before any solver's second, one after
        the other; the answers are then scored together.
    package
        A package without which the solver has no answer, and whose version may change the answer.
    """

    solver: str
    pace: Pace
    suits: Suits = always
    all_at_first: Suits = lambda problem: False
    package: str | None = None


_ANNEALING = "eplb_opt.search.annealing.solvers:AnnealingSolver"
_TOPOLOGY = "eplb_opt.search.annealing.topology"
_ANCHORED = "eplb_opt.search.annealing.anchored:AnchoredSolver"
_UNLIKE_NODES = "eplb_opt.search.annealing.unlike_nodes:UnlikeNodesSolver"
_SHARES = "eplb_opt.search.annealing.shares:ShareSolver"
_SHORT_RUN = Pace(share=0.08, shortest=0.002, most=1, in_rounds=True, with_effort=False)
_DESIGN = "eplb_opt.search.annealing.solvers:DesignSolver"

#: The solvers by name. Names that share a class share a layer's solver, with what it has found.
SOLVERS: dict[str, Entry] = {
    "enumeration": Entry(
        "eplb_opt.exact.enumeration:EnumerationSolver", Pace(shortest=0.1, most=3), has_few_slots
    ),
    # Short turns: all layers get a first one before any gets many. Hardly anything is left to the
    # solvers after it, so these wait for the end of its first turns.
    "pairs": Entry(
        "eplb_opt.exact.pairs.solver:PairsSolver",
        Pace(share=0.2, growth=30, shortest=0.015, longest=4.0, in_a_row=12, most=60),
        has_two_slots,
    ),
    # Short turns here as well. Where what comes before it may have to wait for OR-Tools to load,
    # which takes seconds on a busy machine, every layer is searched first.
    "search": Entry(
        "eplb_opt.search.local:LocalSolver",
        Pace(share=0.1, shortest=0.004, longest=0.5, in_a_row=3, most=ALWAYS),
        all_at_first=has_room_or_groups,
    ),
    "config_lp": Entry(
        "eplb_opt.exact.config_lp.solver:ConfigLpSolver", Pace(share=0.5, shortest=0.5, most=6)
    ),
    "nodes": Entry(
        "eplb_opt.exact.nodes.solver:NodesSolver",
        Pace(shortest=0.5, most=8),
        can_enumerate,
        package="ortools",
    ),
    # A model starts anew at each turn, so its turns double.
    "model": Entry("eplb_opt.exact.model_solver:ModelSolver", Pace(), has_no_senders),
    # An annealing run cools to the end of its turn, and a long one finds more than several short
    # ones: a short run on every layer, then one that takes all the time there is.
    "annealing_first": Entry(
        _ANNEALING,
        Pace(share=0.08, shortest=0.002, most=1, in_rounds=True, with_effort=False),
    ),
    "annealing": Entry(_ANNEALING, Pace(shortest=0.01, most=ALWAYS, in_rounds=True)),
    # One long run on every layer, and more for those with the largest gaps. Bounds and the output
    # want some of the time too.
    "design": Entry(_DESIGN, Pace(share=0.9, shortest=0.01, most=1, in_rounds=True)),
    "redesign": Entry(_DESIGN, Pace(shortest=0.05, most=ALWAYS, in_rounds=True)),
    "home_model": Entry(
        "eplb_opt.exact.homes.solver:HomeModelSolver",
        Pace(share=0.5, shortest=0.2),
        has_one_load,
        package="ortools",
    ),
    # As with the annealing: a run on every layer, and long ones at the end. The run is short where
    # prices of pairs want the time between them.
    "homes_first": Entry(
        f"{_TOPOLOGY}:TopologySolver", replace(_SHORT_RUN, share=0.25, shortest=0.006)
    ),
    "paired_first": Entry(f"{_TOPOLOGY}:TopologySolver", replace(_SHORT_RUN, shortest=0.005)),
    # In rounds, so that every layer gets prices of the same quality; the search takes what is left.
    "home_pairs": Entry(
        "eplb_opt.exact.homes.pairs:HomePairsSolver",
        Pace(share=0.6, shortest=0.01, longest=8.0, most=4, in_rounds=True),
        has_topology_and_two_slots,
        package="scipy",
    ),
    # Programs for the choices of homes of which least is proven, one after the other.
    "home_split": Entry(
        "eplb_opt.exact.homes.scenario_split:ScenarioSplitSolver",
        Pace(share=0.3, shortest=0.05, most=4),
        has_scenarios,
        package="scipy",
    ),
    "homes": Entry(
        f"{_TOPOLOGY}:TopologySolver",
        Pace(share=0.5, shortest=0.01, most=ALWAYS, in_rounds=True),
    ),
    # The same where every expert keeps a replica at home; plans with nothing off home take turns.
    "strict": Entry(
        "eplb_opt.search.strict:StrictSolver",
        Pace(share=0.1, shortest=0.004, longest=0.5, most=2),
        has_strict_plans,
    ),
    "anchored_first": Entry(_ANCHORED, replace(_SHORT_RUN, share=0.25, shortest=0.006)),
    "anchored": Entry(_ANCHORED, Pace(share=0.5, shortest=0.01, most=ALWAYS, in_rounds=True)),
    # The same for groups that stay on nodes whose GPUs differ.
    "nodes_first": Entry(
        _UNLIKE_NODES,
        Pace(share=0.08, shortest=0.005, most=1, in_rounds=True, with_effort=False),
    ),
    "nodes_model": Entry(
        "eplb_opt.exact.homes.unlike_nodes:UnlikeNodesModelSolver",
        Pace(share=0.5, shortest=0.2),
        has_one_load,
        package="ortools",
    ),
    "nodes_search": Entry(_UNLIKE_NODES, Pace(shortest=0.01, most=ALWAYS, in_rounds=True)),
    # Likewise, for copies that carry unequal parts, and for copies with a cost.
    "senders_first": Entry(_SHARES, _SHORT_RUN),
    "senders": Entry(_SHARES, Pace(shortest=0.01, most=ALWAYS, in_rounds=True)),
    # Like the other models it starts anew at each turn.
    "sender_model": Entry(
        "eplb_opt.exact.senders.solver:SenderModelSolver",
        Pace(share=0.5, shortest=0.2),
        package="ortools",
    ),
    # Counts of the least total cost: where the annealing begins.
    "cost_counts": Entry(
        "eplb_opt.search.cost_counts:CostCountsSolver",
        Pace(share=0.2, shortest=0.01, most=1),
        has_like_gpus_and_no_groups,
    ),
    "cost_packing": Entry(
        "eplb_opt.exact.cost_packing:CostPackingSolver",
        Pace(share=0.4, shortest=0.1),
        has_no_senders,
    ),
    "cost_first": Entry(_SHARES, _SHORT_RUN),
    "cost_search": Entry(_SHARES, Pace(shortest=0.01, most=ALWAYS, in_rounds=True)),
    "sender_pairs": Entry(
        "eplb_opt.exact.senders.pairs:SenderPairsSolver",
        Pace(share=0.2, shortest=0.3),
        has_two_slots_and_no_price,
        package="scipy",
    ),
    # The same with a price on what crosses nodes.
    "crossing_pairs": Entry(
        "eplb_opt.exact.senders.crossing_pairs:CrossingPairsSolver",
        Pace(share=0.2, shortest=0.3),
        has_two_slots_and_a_price,
        package="scipy",
    ),
    # What follows says nothing of plans; its bounds take tenths of a second.
    "joint_levels": Entry(
        "eplb_opt.exact.scenario_solvers:JointLevelsSolver",
        Pace(share=0.3, shortest=0.1),
        has_scenarios,
    ),
    "scenario_bounds": Entry(
        "eplb_opt.exact.scenario_solvers:ScenarioBoundsSolver",
        Pace(share=0.2, shortest=0.1),
        has_one_kind_of_gpu,
        package="ortools",
    ),
    "joint_pairs": Entry(
        "eplb_opt.exact.scenario_solvers:JointPairsSolver",
        Pace(share=0.3, shortest=0.5, with_effort=False),  # its work is not counted
        has_few_open_slots,
    ),
}


class Share(NamedTuple):
    """A solver's name where it is to take another share of the time than its own row says."""

    name: str
    share: float


#: The first row whose condition holds is the order of the first turns.
ORDERS: tuple[tuple[Suits, tuple[str | Share, ...]], ...] = (
    (
        has_small_cost_model,
        (Share("model", 0.5), "cost_counts", "cost_first", "cost_packing", "cost_search"),
    ),
    (has_cost, ("cost_counts", "cost_first", Share("model", 0.4), "cost_packing", "cost_search")),
    (
        stands_in_few_shapes,
        ("senders_first", "sender_pairs", "crossing_pairs", "sender_model", "senders"),
    ),
    (has_senders, ("senders_first", "sender_pairs", "crossing_pairs", "senders")),
    (
        splits_few_flows,
        (Share("design", 0.3), "joint_levels", Share("model", 0.8), "redesign"),
    ),
    (splits_freely, ("design", "joint_levels", "redesign")),
    (has_anchors, ("anchored_first", "strict", "home_model", "home_pairs", "anchored")),
    (has_topology_and_two_slots, ("paired_first", "home_model", "home_pairs", "homes")),
    (has_topology, ("homes_first", "home_model", "home_split", "homes")),
    (has_unlike_nodes, ("nodes_first", "joint_levels", "nodes_model", "nodes_search")),
    # The last annealing takes all the time that is left, so the joint level comes before it; and
    # where the model has a chance, it leaves some.
    (
        has_small_scenarios,
        (
            "annealing_first",
            "model",
            "joint_levels",
            "annealing",
            "scenario_bounds",
            "joint_pairs",
        ),
    ),
    (
        has_middling_scenarios,
        (
            "annealing_first",
            "joint_levels",
            Share("annealing", 0.7),
            "scenario_bounds",
            "model",
            "joint_pairs",
        ),
    ),
    (
        has_scenarios,
        (
            "annealing_first",
            "joint_levels",
            "annealing",
            "scenario_bounds",
            "model",
            "joint_pairs",
        ),
    ),
    # With one load the model ends soon or never.
    (has_gpu_rules, ("annealing_first", Share("model", 0.5), "annealing")),
    (is_hierarchical_and_roomy, ("search", "nodes", "model")),
    (is_hierarchical, ("enumeration", "nodes", "search", "model")),
    # The search has little to do with two slots a GPU.
    (has_two_slots, ("enumeration", "pairs", "config_lp", "search", "model")),
    (always, ("enumeration", "search", "config_lp", "model")),
)

#: The package whose version may change what a model answers.
MODEL_PACKAGES = {"cpsat": "ortools", "milp": "pulp"}


@dataclass(frozen=True)
class Stage:
    """A solver's place in the schedule of one call.

    Parameters
    ----------
    name
        The stage's name in messages and in the history.
    solver, pace, all_at_first, package
        The values of the solver's row in `SOLVERS`; see `Entry`.
    """

    name: str
    solver: str
    pace: Pace
    all_at_first: bool = False
    package: str | None = None

    def make(self, problem: Problem, options: Options) -> Solver:
        """The solver of one layer.

        Parameters
        ----------
        problem
            The problem of that layer.
        options
            What the call asks of all its solvers.
        """
        module, name = self.solver.split(":")
        return cast("Solver", getattr(import_module(module), name)(problem, options))


def schedule(problem: Problem, options: Options) -> list[Stage]:
    """The stages of one call, in the order of their first turns.

    Parameters
    ----------
    problem
        The problem that is planned.
    options
        What the call asks of its solvers.

    Raises
    ------
    ProblemError
        When no exact model has the name that is asked for.
    """
    get_model(options.model)
    names = next(names for suits, names in ORDERS if suits(problem))
    places = [name if isinstance(name, Share) else Share(name, _pace(name).share) for name in names]
    return [
        _stage(name, share, problem, options)
        for name, share in places
        if SOLVERS[name].suits(problem)
    ]


def _pace(name: str) -> Pace:
    return SOLVERS[name].pace


def _stage(name: str, share: float, problem: Problem, options: Options) -> Stage:
    entry = SOLVERS[name]
    by_name = name in ("model", "home_model", "nodes_model")
    package = MODEL_PACKAGES.get(options.model) if by_name else entry.package
    return Stage(
        options.model if name == "model" else name,
        entry.solver,
        replace(entry.pace, share=share),
        entry.all_at_first(problem),
        package,
    )
