"""Small random problems for hypothesis and for loops with a seed."""

from hypothesis import strategies as st

from eplb_opt.problem.costs import CostTable
from eplb_opt.problem.problem import OBJECTIVES, Problem

SMALL_LOADS = st.one_of(st.integers(0, 5), st.integers(0, 1000), st.just(0))
LOADS = st.one_of(SMALL_LOADS, st.integers(0, 2**40))


@st.composite
def flat_problems(draw, max_gpus=4, max_slots=8, colocations=("allow",), loads=LOADS):
    """One layer, tiny enough for brute force."""
    num_gpus = draw(st.integers(1, max_gpus))
    num_experts = draw(st.integers(1, 5))
    least = -(-num_experts // num_gpus)
    slots_per_gpu = draw(st.integers(least, max(least, max_slots // num_gpus)))
    colocation = draw(st.sampled_from(colocations))
    if colocation == "forbid" and slots_per_gpu > num_experts:
        slots_per_gpu = num_experts
    load = draw(st.lists(loads, min_size=num_experts, max_size=num_experts))
    return Problem([load], slots_per_gpu * num_gpus, num_gpus, colocation=colocation)


@st.composite
def hierarchical_problems(draw, colocations=("allow",), loads=LOADS):
    """One layer on two nodes, tiny enough for brute force."""
    num_groups = draw(st.sampled_from([2, 4]))
    experts_per_group = draw(st.integers(1, 4 // num_groups + 1))
    gpus_per_node = draw(st.integers(1, 2))
    experts_per_node = num_groups // 2 * experts_per_group
    least = -(-experts_per_node // gpus_per_node)
    slots_per_gpu = draw(st.integers(least, least + 1))
    colocation = draw(st.sampled_from(colocations))
    if colocation == "forbid":
        slots_per_gpu = min(slots_per_gpu, experts_per_node)
    num_experts = num_groups * experts_per_group
    load = draw(st.lists(loads, min_size=num_experts, max_size=num_experts))
    num_gpus = 2 * gpus_per_node
    return Problem([load], slots_per_gpu * num_gpus, num_gpus, 2, num_groups, colocation)


def tiny_problems(colocations=("allow", "forbid"), loads=LOADS):
    """Flat or hierarchical, with or without co-location."""
    return st.one_of(
        flat_problems(colocations=colocations, loads=loads),
        hierarchical_problems(colocations=colocations, loads=loads),
    )


@st.composite
def scenario_problems(draw, max_scenarios=3, colocations=("allow",), loads=SMALL_LOADS):
    """One layer under several loads, tiny enough to try every plan."""
    num_gpus, num_nodes, num_groups = draw(st.sampled_from([(2, 1, 1), (3, 1, 1), (2, 2, 2)]))
    experts_per_group = draw(st.integers(1, 4 // num_groups))
    num_experts = num_groups * experts_per_group
    least = -(-experts_per_group * num_groups // num_gpus)
    slots_per_gpu = draw(st.integers(least, max(least, 6 // num_gpus)))
    colocation = draw(st.sampled_from(colocations))
    if colocation == "forbid":
        slots_per_gpu = min(slots_per_gpu, num_experts // num_nodes)
    row = st.lists(loads, min_size=num_experts, max_size=num_experts)
    rows = draw(st.lists(row, min_size=1, max_size=max_scenarios))
    weights = draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    return Problem(
        [[row] for row in rows],
        slots_per_gpu * num_gpus,
        num_gpus,
        num_nodes,
        num_groups,
        colocation,
        scenario_weights=weights if any(weights) else None,
        objective=draw(st.sampled_from(OBJECTIVES)),
    )


@st.composite
def ruled_problems(draw, spreads=(None,)):
    """One layer on GPUs that differ, tiny enough to try every plan; some have no plan."""
    num_gpus = draw(st.integers(2, 3))
    slots = draw(st.lists(st.integers(0, 3), min_size=num_gpus, max_size=num_gpus))
    spread = draw(st.sampled_from(spreads))
    num_experts = draw(st.integers(1, 4))
    slots[0] = max(slots[0], 1)
    num_experts = min(num_experts, sum(slots))
    if spread is not None:
        num_experts = max(min(num_experts, sum(slots) // 2), 1)
    pairs = st.tuples(st.integers(0, num_experts - 1), st.integers(0, num_gpus - 1))
    speeds = st.lists(st.sampled_from([1, 1.5, 0.3]), min_size=num_gpus, max_size=num_gpus)
    loads = draw(st.lists(st.integers(0, 40), min_size=num_experts, max_size=num_experts))
    tied = draw(st.lists(pairs, max_size=3, unique=True))
    num_pinned = draw(st.integers(0, 1))
    apart = num_experts >= 3 and draw(st.booleans())
    return {
        "load": [loads],
        "num_slots": 3 * num_gpus,
        "num_gpus": num_gpus,
        "num_nodes": num_gpus if spread != "node" else (2 if num_gpus % 2 == 0 else 1),
        "colocation": "forbid" if apart else "allow",
        "gpu_slots": slots,
        "gpu_speed": draw(st.none() | speeds),
        "pinned": tied[:num_pinned],
        "forbidden": tied[num_pinned:],
        "spread": spread,
    }


@st.composite
def cost_problems(draw, colocations=("allow", "forbid"), with_rules=False):
    """One layer with a table of costs of any shape, tiny enough to try every plan."""
    problem = draw(flat_problems(3, 6, colocations, SMALL_LOADS))
    rules = {}
    if with_rules and problem.num_experts < problem.num_slots:
        pairs = st.tuples(
            st.integers(0, problem.num_experts - 1), st.integers(0, problem.num_gpus - 1)
        )
        rules["pinned"] = draw(st.lists(pairs, max_size=1))
    most = problem.num_slots - problem.num_experts + 1
    entries = draw(st.sampled_from([st.integers(0, 9), st.integers(0, 10**6), st.just(7)]))
    row = st.lists(entries, min_size=most, max_size=most)
    table = draw(st.lists(row, min_size=problem.num_experts, max_size=problem.num_experts))
    return Problem(
        problem.load,
        problem.num_slots,
        problem.num_gpus,
        colocation=problem.colocation,
        cost=CostTable(table),
        **rules,
    )
