"""Transfers that carry a new plan out: in place, in batches, in as few of them as possible.

Start with `call.transfers`. `change` checks its arguments. For each layer, `order` finds an order
in which slots can be overwritten one by one while every expert that is still needed is somewhere;
`layer` finds the cycles for which that takes a staging slot. `sources` fixes who sends what, so
that the busiest GPU has little to do, and `batches` pairs the GPUs up batch by batch. The result is
a `schedule.Schedule`, with a bound from `bound`: no schedule has fewer batches.

`playback` carries batches out on paper and judges them; every schedule has passed it.
"""

from eplb_opt.placement.transfers.call import transfers
from eplb_opt.placement.transfers.playback import played_back
from eplb_opt.placement.transfers.schedule import Schedule, Transfer

__all__ = ["Schedule", "Transfer", "played_back", "transfers"]
