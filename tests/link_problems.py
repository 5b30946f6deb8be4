"""Tiny problems whose links have costs, or whose tokens have sources."""

import numpy as np
from hypothesis import strategies as st

from eplb_opt import Problem, Topology
from eplb_opt.errors import ProblemError


@st.composite
def tiny_links(draw):
    num_gpus, num_nodes = draw(st.sampled_from([(2, 2), (3, 2), (4, 2), (3, 3), (3, 1)]))
    slots = draw(st.integers(1, {2: 3, 3: 2, 4: 1}[num_gpus]))
    num_experts = draw(st.integers(2, min(4, num_gpus * slots)))
    load = draw(st.lists(st.integers(0, 30), min_size=num_experts, max_size=num_experts))
    sizes = st.sampled_from([num_gpus, num_nodes])
    given = draw(st.sampled_from(["costs", "sources", "both", "both"])) if num_nodes > 1 else "both"
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    rules = {}
    if given != "sources":
        size = draw(sizes) if num_nodes > 1 else num_gpus
        costs = rng.integers(0, 11, (size, size)) / 10
        if draw(st.booleans()):
            np.fill_diagonal(costs, 0)
        rules["rank_costs"] = costs
    if given != "costs":
        rules["sources"] = rng.integers(0, 6, (draw(sizes), num_experts))
    if num_nodes > 1 and draw(st.booleans()):
        rules["homes"] = rng.integers(0, num_nodes, num_experts)
        rules["anchored"] = draw(st.booleans())
    rules["price"] = draw(st.sampled_from([0, 0.05, 0.3, 1, 2.5]))
    rules["max_off_home"] = draw(st.sampled_from([None, None, None, 0.3, 0.6]))
    gpus = {"min_size": num_gpus, "max_size": num_gpus}
    speeds = draw(st.none() | st.lists(st.sampled_from([0.1, 0.5, 1.0, 3.0]), **gpus))
    few_slots = draw(st.none() | st.lists(st.integers(1, slots), **gpus))
    try:
        return Problem(
            np.array([load]),
            num_gpus * slots,
            num_gpus,
            num_nodes=num_nodes,
            num_groups=draw(st.integers(2, num_experts)),
            colocation=draw(st.sampled_from(["allow", "allow", "forbid"])),
            gpu_speed=speeds,
            gpu_slots=few_slots if rules["max_off_home"] is None else None,
            topology=Topology(**rules),
        )
    except ProblemError:
        return None
