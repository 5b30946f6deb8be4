"""Which problems the solvers of the schedule suit: conditions on a problem alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.exact.model_solver import SEARCH_BEATS_MODEL
from eplb_opt.exact.senders.columns import MAX_LISTED, num_listed
from eplb_opt.problem.node_kinds import strict_problem

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: Columns of the model with scenarios, times scenarios, up to which it is solved at once.
SMALL_SCENARIOS = 4000
#: Flows, one for every expert, GPU and scenario, up to which the exact model of optimal dispatch
#: proves something in seconds.
SMALL_FLOW = 500


def always(problem: Problem) -> bool:
    """True for every problem."""
    return True


def has_senders(problem: Problem) -> bool:
    """Whether every GPU sends an expert's tokens to one replica, so that places count."""
    return problem.splits_by_sender


def has_two_slots_and_no_price(problem: Problem) -> bool:
    """Whether GPUs have two slots at most, and what crosses nodes has no price."""
    return has_two_slots(problem) and not problem.has_topology


def has_two_slots_and_a_price(problem: Problem) -> bool:
    """Whether what crosses nodes has a price, on equal nodes of GPUs with two slots at most."""
    rules = problem.topology
    equal = not problem.num_gpus % problem.num_nodes
    return has_two_slots(problem) and rules is not None and rules.nodes is None and equal


def has_no_senders(problem: Problem) -> bool:
    """Whether the replicas of an expert share its tokens wherever they stand."""
    return not problem.splits_by_sender


def stands_in_few_shapes(problem: Problem) -> bool:
    """Whether the exact model of layers with senders is small enough, and knows all the rules."""
    others = problem.has_scenarios or problem.has_cost
    is_known = problem.gpu_speed is None and not others
    return has_senders(problem) and is_known and num_listed(problem) <= MAX_LISTED


def splits_freely(problem: Problem) -> bool:
    """Whether tokens are split freely over an expert's replicas: optimal dispatch."""
    return problem.is_split_freely


def splits_few_flows(problem: Problem) -> bool:
    """Whether, under optimal dispatch, the exact model is small enough to prove something."""
    flows = problem.num_experts * problem.num_gpus * problem.num_scenarios
    return splits_freely(problem) and flows <= SMALL_FLOW


def has_scenarios(problem: Problem) -> bool:
    """Whether one plan is to serve several loads."""
    return problem.has_scenarios


def has_one_load(problem: Problem) -> bool:
    """Whether there is one load to serve."""
    return not problem.has_scenarios


def has_small_scenarios(problem: Problem) -> bool:
    """Whether one plan is to serve several loads, so few that the exact model solves it at once."""
    return has_scenarios(problem) and _columns(problem) * problem.num_scenarios <= SMALL_SCENARIOS


def has_middling_scenarios(problem: Problem) -> bool:
    """Whether one plan is to serve several loads, and the exact model may beat the search."""
    return has_scenarios(problem) and _columns(problem) <= SEARCH_BEATS_MODEL


def has_topology(problem: Problem) -> bool:
    """Whether what is served off home has a price."""
    return problem.has_topology


def has_anchors(problem: Problem) -> bool:
    """Whether every expert keeps a replica at home, for one load on GPUs that are alike."""
    rules = problem.topology
    is_alike = has_one_load(problem) and not has_gpu_rules(problem)
    return rules is not None and rules.anchored and rules.counts_off_home and is_alike


def has_strict_plans(problem: Problem) -> bool:
    """Whether plans with all of a group on one node are plans of a problem with a topology."""
    return strict_problem(problem) is not None


def has_topology_and_two_slots(problem: Problem) -> bool:
    """Whether off home has a price for one load, on GPUs that are alike and have two slots each."""
    is_alike = not has_gpu_rules(problem)
    return has_topology(problem) and has_two_slots(problem) and is_alike and has_one_load(problem)


def has_cost(problem: Problem) -> bool:
    """Whether GPUs' seconds count, by a cost of each replica."""
    return problem.has_cost


def has_small_cost_model(problem: Problem) -> bool:
    """Whether GPUs' seconds count, and the exact model is so small that it is solved at once."""
    return has_cost(problem) and _columns(problem) <= SMALL_SCENARIOS


def has_gpu_rules(problem: Problem) -> bool:
    """Whether GPUs differ, or experts are tied to some of them or kept off."""
    return problem.has_gpu_rules


def has_unlike_nodes(problem: Problem) -> bool:
    """Whether groups of experts stay on one node, and the GPUs of nodes differ."""
    return problem.binds_unlike_gpus


def is_hierarchical(problem: Problem) -> bool:
    """Whether groups of experts stay on one node."""
    return problem.is_hierarchical


def is_hierarchical_and_roomy(problem: Problem) -> bool:
    """Whether groups stay on one node, and every GPU has three slots or more."""
    return problem.is_hierarchical and has_room(problem)


def has_room(problem: Problem) -> bool:
    """Whether every GPU has three slots or more."""
    return problem.slots_per_gpu > 2


def has_room_or_groups(problem: Problem) -> bool:
    """GPUs have three slots or more, or groups stay on one node."""
    return has_room(problem) or problem.is_hierarchical


def has_two_slots(problem: Problem) -> bool:
    """Whether every GPU has two slots."""
    return problem.slots_per_gpu == 2


def has_few_slots(problem: Problem) -> bool:
    """Whether every GPU has one slot or two."""
    return problem.slots_per_gpu <= 2


def has_few_open_slots(problem: Problem) -> bool:
    """Whether no GPU has more than two open slots; GPUs may differ."""
    return int(problem.open_slots.max()) <= 2


def has_one_kind_of_gpu(problem: Problem) -> bool:
    """Whether all GPUs are alike, and no expert is tied to any."""
    return not problem.has_gpu_rules


def has_like_gpus_and_no_groups(problem: Problem) -> bool:
    """Whether all GPUs are alike, no expert is tied to any, and no groups stay on nodes."""
    return not (problem.has_gpu_rules or problem.is_hierarchical)


def _columns(problem: Problem) -> int:  # of the exact model of one load
    spare = int(problem.open_slots.sum()) - problem.num_experts
    return problem.num_experts * (spare + 1) * (problem.num_gpus + 1)
