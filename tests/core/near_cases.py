"""Small layers near a map in force, and all of their plans."""

from collections import Counter
from fractions import Fraction
from itertools import combinations_with_replacement, product

import numpy as np

from eplb_opt.core import near, serving


def planner(num_experts, num_slots, num_gpus, *, groups=1, nodes=1, active=None, **rules):
    """A planner with the rules that are not named at their plainest."""
    mask = np.ones(num_gpus, dtype=bool) if active is None else np.asarray(active, dtype=bool)
    sizes = num_slots, groups, nodes, num_gpus
    far_price, apart = rules.get("far_price", 1), rules.get("apart", False)
    return near.Planner(num_experts, sizes, mask, far_price, apart)


def columns(answer):
    """The numbers of the core's answer by name."""
    names = "moves", "price", "largest", "bound", "before", "forced", "reached"
    return dict(zip(names, answer[1].T, strict=True))


def fixed(load):
    """The load in fixed point, and what one unit is worth."""
    return serving.fixed_point(np.ascontiguousarray(load))


def moves_between(held, placed, num_gpus):
    """Replicas that a GPU has and had not, or not as many of; written apart from the core."""
    pairs = zip(held.reshape(num_gpus, -1), placed.reshape(num_gpus, -1), strict=True)
    return sum(
        (Counter(after[after >= 0].tolist()) - Counter(before.tolist())).total()
        for before, after in pairs
    )


def largest_load(load, placed, num_gpus):
    """Exactly, of one layer."""
    count = Counter(placed.tolist())
    share = {e: Fraction(int(load[e]), count[e]) for e in count if e >= 0}
    return max(sum(share.get(e, 0) for e in gpu) for gpu in placed.reshape(num_gpus, -1).tolist())


def all_plans(num_experts, num_slots, num_gpus):
    """Every plan of a layer up to the order of a GPU's slots, int64 [num_plans, num_slots]."""
    gpus = list(combinations_with_replacement(range(num_experts), num_slots // num_gpus))
    plans = (sum(choice, ()) for choice in product(gpus, repeat=num_gpus))
    return np.array([p for p in plans if len(set(p)) == num_experts])


def random_map(rng, num_experts, num_slots):
    """Every expert at least once, in any order."""
    extra = rng.integers(0, num_experts, num_slots - num_experts)
    return rng.permutation(np.concatenate([np.arange(num_experts), extra])).astype(np.int64)
