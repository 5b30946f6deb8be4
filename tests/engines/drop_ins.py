"""Every drop-in behind one call, so that all of them meet the same assertions."""

import numpy as np

from eplb_opt.engines import ascend, atom, sglang
from eplb_opt.engines.rebalance import rebalance_experts
from eplb_opt.engines.vllm import EplbOptPolicy, ThreeMapsPolicy
from eplb_opt.problem.arrays import as_numpy


def vllm(weight, *numbers):
    return EplbOptPolicy.rebalance_experts(weight, *numbers)


def vllm_three_maps(weight, *numbers):
    return ThreeMapsPolicy.rebalance_experts(weight, *numbers)[0]


def sglang_auto(weight, num_slots, num_groups, num_nodes, num_gpus):
    local, rest = divmod(num_slots, num_gpus)
    if rest:
        raise ValueError("SGLang gives slots a GPU")
    name = "deepseek_hierarchical" if num_groups % num_nodes == 0 else "deepseek"
    return sglang.rebalance_experts(weight[None], num_slots, local, num_groups, num_nodes, name)[0]


def sglang_vec(weight, num_slots, num_groups, num_nodes, num_gpus):
    steps = (
        np.stack([weight, weight])
        if isinstance(weight, np.ndarray)
        else weight.expand(2, *weight.shape)
    )
    if num_slots % num_gpus:
        raise ValueError("SGLang gives slots a GPU")
    numbers = num_slots, num_slots // num_gpus, num_groups, num_nodes
    name = "deepseek_vec_hierarchical" if num_groups % num_nodes == 0 else "deepseek_vec"
    return sglang.rebalance_experts(steps, *numbers, name)[0]


def sglang_elastic(weight, num_slots, num_groups, num_nodes, num_gpus):
    local, rest = divmod(num_slots, num_gpus)
    if rest:
        raise ValueError("SGLang gives slots a GPU")
    name = "elasticity_aware" + "_hierarchical" * (num_groups % num_nodes == 0)
    numbers = num_slots, local, num_groups, num_nodes
    there = np.ones(num_gpus, dtype=np.int32)
    return sglang.rebalance_experts(weight[None], *numbers, name, active_ranks=there)[0]


def common_call(weight, *numbers):
    return rebalance_experts(weight, *numbers, effort=0)[0]


#: Drop-ins that know groups and nodes: (weight [L, E], slots, groups, nodes, GPUs) -> map [L, P].
HIERARCHICAL = {
    "vllm": vllm,
    "vllm, three maps": vllm_three_maps,
    "sglang": sglang_auto,
    "sglang, vec": sglang_vec,
    "sglang, elastic": sglang_elastic,
    "common call": common_call,
}


def atom_layers(weight, num_slots, num_groups, num_nodes, num_gpus):
    return np.array(
        [np.asarray(atom.rebalance_layer(row, num_slots, num_gpus)[0]) for row in weight]
    )


def ascend_table(weight, num_slots, num_groups, num_nodes, num_gpus):
    """From a map that goes round the experts; the loads stand in each expert's first slot."""
    weight = as_numpy(weight, "weight")
    num_layers, num_experts = weight.shape
    placed = np.tile(np.arange(num_slots) % num_experts, (num_layers, 1))
    load = np.zeros((num_layers, num_slots), dtype=weight.dtype)
    load[:, :num_experts] = weight
    shape = (num_layers, num_gpus, num_slots // num_gpus)
    _, _, table = ascend.rebalance_experts(
        placed.reshape(shape), load.reshape(shape), least_gain=0.0
    )
    return table.reshape(num_layers, num_slots)


FLAT = HIERARCHICAL | {"atom": atom_layers}
ALL = FLAT | {"ascend": ascend_table}
