"""Where it runs: what a serving process calls to rebalance its experts, in milliseconds.

`rebalance.rebalance_experts` is the five-argument call that every engine copies; start there. The
drop-ins put it in the place of an engine's own policy, one module an engine: `vllm`, `sglang`,
`ascend` (vllm-ascend) and `atom`. They plan through `every_rank`, which gives every rank the same
bytes, or through `distributed`, where rank 0 plans under a time limit and sends its plan to the
others. `survivors` keeps an expert that stays on its GPU in its slot, and `tensors` gives tensors
back where tensors came in.

`serving/` makes the plans: the greedy, a refinement on one core, and near plans, which move little
from the map in force. `dispatch/` splits an expert's tokens over its replicas so that the largest
GPU load is least.
"""
