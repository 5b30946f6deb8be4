"""Homes of what fires together against homes of whole groups, on tokens made by chance.

Homes are found from some tokens and judged by others of the same router: what is recorded today
serves tomorrow. Both get a plan each, at the same price.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench.routing import Routing, routed_tokens
from eplb_opt.planner.planner import plan
from eplb_opt.problem.problem import Problem
from eplb_opt.problem.topology import Topology
from eplb_opt.workloads.tokens.homes import homes_visited, token_homes
from eplb_opt.workloads.tokens.visits import node_visits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eplb_opt.io import TokenRecording

#: How much topics prefer their experts, in standard deviations of the noise.
TOPICS = (0.0, 0.5, 1.0, 2.0)
#: Groups that a token may go to: as DeepSeek-V3, and all.
LIMITS = (4, 8)
NUM_SLOTS, NUM_GPUS = 288, 32


@dataclass(frozen=True)
class HomesRow:
    """Homes and plans for one router, as means over its layers.

    Parameters
    ----------
    topic, groups_per_token, num_nodes
        The router and the machine.
    homes
        "groups" or "tokens".
    at_home
        Nodes that a token of the recording not seen visits, where all is served at home.
    largest_home
        The largest load at home on a node, over the mean.
    load, off_home
        Of the plan: largest over mean GPU load, and the share served off home.
    nodes
        Nodes that such a token visits under the plan.
    """

    topic: float
    groups_per_token: int
    num_nodes: int
    homes: str
    at_home: float
    largest_home: float
    load: float
    off_home: float
    nodes: float


def measure(
    routing: Routing,
    *,
    topics: tuple[float, ...] = TOPICS,
    limits: tuple[int, ...] = LIMITS,
    num_nodes: int = 4,
    price: float = 0.3,
    num_tokens: int = 20_000,
    time_limit: float | None = 2.0,
    effort: int | None = None,
    progress: Callable[[str], object] = lambda name: None,
) -> Iterator[HomesRow]:
    """Compare both homes for routers of several kinds.

    Parameters
    ----------
    routing
        The model; its topics and limit of groups are those below.
    topics, limits
        Strengths of topics, and groups that a token may go to.
    num_nodes
        Nodes of the 32 GPUs.
    price
        Price of both plans.
    num_tokens
        Tokens of the recording, and one more for the judgement.
    time_limit, effort
        Of each plan.
    progress
        Called with the name of each router before it is measured.

    Yields
    ------
    HomesRow
        Two for each router.
    """
    for limit in limits:
        for topic in topics:
            progress(f"topics of {topic:g}, {limit} groups a token")
            router = replace(routing, topic=topic, groups_per_token=limit)
            seen, others = (routed_tokens(router, num) for num in (num_tokens, num_tokens + 1))
            size = routing.num_experts // routing.num_groups
            groups = np.arange(routing.num_experts) // size * num_nodes // routing.num_groups
            found = {
                "groups": np.tile(groups, (routing.num_layers, 1)),
                "tokens": token_homes(seen, num_nodes, num_groups=routing.num_groups),
            }
            for name, homes in found.items():
                problem = Problem(
                    seen.total().load[0],
                    NUM_SLOTS,
                    NUM_GPUS,
                    num_nodes=num_nodes,
                    num_groups=routing.num_groups,
                    # Whole groups choose their nodes with the plan, as without a recording.
                    topology=Topology(price=price, homes=homes if name == "tokens" else None),
                )
                yield _row(problem, others, name, homes, router, time_limit, effort)


def _row(
    problem: Problem,
    others: TokenRecording,
    name: str,
    homes: np.ndarray,
    router: Routing,
    time_limit: float | None,
    effort: int | None,
) -> HomesRow:
    limit = None if effort is not None else time_limit
    result = plan(problem, time_limit=limit, effort=effort, workers=1)
    held = [
        np.bincount(row, load, minlength=problem.num_nodes)
        for row, load in zip(homes, problem.load, strict=True)
    ]
    off_home = result.off_home
    return HomesRow(
        router.topic,
        router.groups_per_token,
        problem.num_nodes,
        name,
        float(homes_visited(others, homes).mean()),
        float(np.mean([row.max() / row.mean() for row in held])),
        float((1 / result.balancedness).mean()),
        0.0 if off_home is None else float(off_home.mean()),
        float(node_visits(others, result.plan, num_nodes=problem.num_nodes).nodes.mean()),
    )
