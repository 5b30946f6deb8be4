"""Loads and plans that forecasts are tried on: machines as they are served, few layers."""

from functools import cache

import numpy as np

import eplb_opt
from eplb_opt.search.starts import first_plan

#: Slots, GPUs, experts, experts a token.
MACHINES = (
    (288, 32, 256, 8),
    (320, 64, 256, 8),
    (288, 72, 256, 8),
    (288, 144, 256, 8),
    (144, 16, 128, 4),
)
BATCHES = (64, 256, 1024, 4096)


def skewed(num_layers, num_experts, top_k, seed=0):
    """Loads like recorded ones; the hottest expert is chosen by less than half of the tokens."""
    load = np.random.default_rng(seed).lognormal(0, 0.9, (num_layers, num_experts))
    share = load / load.sum(axis=1, keepdims=True)
    return np.round(1e7 * np.minimum(share, 0.45 / top_k)).astype(np.int64)


@cache
def machine(num_slots, num_gpus, num_experts, top_k, num_layers=3):
    """Loads and a greedy plan for them."""
    load = skewed(num_layers, num_experts, top_k)
    plan = first_plan(eplb_opt.Problem(load, num_slots, num_gpus))
    return load, eplb_opt.Plan(plan, num_gpus)
