"""What changing from one plan to another moves."""

import numpy as np

from eplb_opt.plan import Plan


def moved_slots(current: Plan, new: Plan) -> np.ndarray:
    """Slots whose expert is new on its GPU, int64 [num_layers].

    A replica that changes its slot on the same GPU moves nothing over a wire, nor does a
    further copy of an expert that the GPU held before.

    Parameters
    ----------
    current, new
        Plans with the same layers, slots and GPUs; `current` may have empty slots.
    """
    num_experts = max(current.num_experts, new.num_experts)
    layer_idx = np.arange(new.num_layers)[:, None]
    gpu_idx = np.arange(new.num_slots) // (new.num_slots // new.num_gpus)
    # Empty slots (-1) fall into the last column, where no expert looks.
    held = np.zeros((new.num_layers, new.num_gpus, num_experts + 1), dtype=bool)
    held[layer_idx, gpu_idx, current.physical_to_logical] = True
    stays = held[layer_idx, gpu_idx, new.physical_to_logical]
    return np.asarray((~stays).sum(axis=1))
