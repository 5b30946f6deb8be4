// What a swap does to the costs of its two GPUs.
#pragma once

#include "annealing/load_norm.hpp"
#include "annealing/proposal.hpp"

namespace eplb::annealing {

struct SwapEffect {
  double cost_p = 0.0, cost_q = 0.0;  // of the GPUs of slots p and q, afterwards

  // Looks at a swap; whether it leaves the two GPUs with a cost below the limit.
  EPLB_INLINE bool is_below(double limit, const Placement& placement, const LoadNorm& norm,
                            const Proposal& swap) {
    const Machine& machine = placement.machine();
    const Index a = placement.expert(swap.p), b = placement.expert(swap.q);
    cost_p = norm.cost_after(machine.gpu(swap.p), a, b);
    if (cost_p >= limit) return false;
    cost_q = norm.cost_after(machine.gpu(swap.q), b, a);
    return cost_p + cost_q < limit;
  }

  EPLB_INLINE void make(Placement& placement, LoadNorm& norm, const Proposal& swap) const {
    const Machine& machine = placement.machine();
    const Index g = machine.gpu(swap.p), h = machine.gpu(swap.q);
    norm.exchange(g, h, placement.expert(swap.p), placement.expert(swap.q));
    norm.set_cost(g, cost_p);
    norm.set_cost(h, cost_q);
    placement.swap(swap.p, swap.q);
  }
};

}  // namespace eplb::annealing
