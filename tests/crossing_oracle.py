"""Load and price of tiny plans where every GPU sends to one replica, sender by sender."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

from eplb_opt.errors import ProblemError
from eplb_opt.problem.problem import Problem
from eplb_opt.problem.topology import Topology
from tests.homes_oracle import nodes_of_gpus
from tests.sender_oracle import draws, every_plan, gpu_loads, senders_of, targets, worth_of_draw

#: Nodes that differ, by GPUs and nodes.
UNEQUAL_NODES = {(3, 2): ([0, 1, 1],), (4, 2): ([0, 1, 1, 1], [0, 0, 0, 1])}


def worth(problem: Problem, placed: list[list[int]]) -> list[Fraction]:
    """Largest over mean load plus price of each layer, from where each sender's tokens go."""
    found = []
    for load, layer in zip(problem.load.tolist(), targets(problem, placed), strict=True):
        total = sum(load)
        if not total:
            found.append(Fraction(1))
            continue
        peak = max(gpu_loads(problem, load, layer))
        ratio = peak * len(senders_of(problem)) / total
        found.append(ratio + exact_price(problem) * share_that_crosses(problem, load, layer))
    return found


def exact_price(problem: Problem) -> Fraction:
    """As it is written."""
    return Fraction(str(problem.topology.price))


def share_that_crosses(problem: Problem, load: list[int], layer: list[list[int]]) -> Fraction:
    """The part of all tokens whose slot is on another node than their GPU."""
    nodes, senders = nodes_of_gpus(problem), senders_of(problem)
    size = problem.num_slots // problem.num_gpus
    crossed = sum(
        weight
        for weight, slots in zip(load, layer, strict=True)
        for gpu, slot in zip(senders, slots, strict=True)
        if nodes[slot // size] != nodes[gpu]
    )
    return Fraction(crossed, len(senders) * sum(load))


def optimum(problem: Problem) -> Fraction | None:
    """The least that any plan is worth in any draw; None where none keeps the limit."""
    load = problem.load[0].tolist()
    total = sum(load)
    if not total:
        return Fraction(1)
    values = []
    for row in every_plan(problem).tolist():
        crossed = share_that_crosses(problem, load, targets(problem, [row])[0])
        peaks = (worth_of_draw(problem, load, row, way) for way in draws(problem, row))
        ratio = min(peaks) * len(senders_of(problem)) / total
        values.append(ratio + exact_price(problem) * crossed)
    return min(values, default=None)


@st.composite
def crossing_problems(draw, max_off_home=(None, None, 0.2, 0.5)) -> Problem | None:
    """One layer with a price on what crosses, tiny enough to look at every plan."""
    num_gpus, num_nodes = draw(st.sampled_from([(2, 2), (3, 2), (4, 2), (3, 3)]))
    size = draw(st.integers(1, 2 if num_gpus > 2 else 3))
    num_experts = draw(st.integers(1, min(4 if num_gpus < 4 else 3, num_gpus * size)))
    load = draw(st.lists(st.integers(0, 30), min_size=num_experts, max_size=num_experts))
    nodes = draw(st.sampled_from([None, None, *UNEQUAL_NODES.get((num_gpus, num_nodes), ())]))
    price = draw(st.sampled_from([0, 0.05, 0.3, 1, 2.5]))
    active = None
    if num_gpus == 4 and nodes is None and num_experts <= 3 * size and draw(st.booleans()):
        active = [True, True, True, False]
    try:
        return Problem(
            [load],
            num_gpus * size,
            num_gpus,
            num_nodes,
            colocation=draw(st.sampled_from(["allow", "allow", "forbid"])),
            active_gpus=active,
            dispatch=draw(st.sampled_from(["nearest", "rank_modulo"])),
            topology=Topology(price, max_off_home=draw(st.sampled_from(max_off_home)), nodes=nodes),
        )
    except ProblemError:
        return None
