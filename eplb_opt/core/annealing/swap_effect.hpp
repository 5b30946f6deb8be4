// What a swap does to its two GPUs.
#pragma once

#include "annealing/load_norm.hpp"
#include "annealing/proposal.hpp"

namespace eplb::annealing {

class SwapEffect {
 public:
  // Looks at a swap; what its two GPUs cost together afterwards.
  EPLB_INLINE double measure(const Placement& placement, const LoadNorm& norm,
                             const Proposal& swap) {
    const Machine& machine = placement.machine();
    const Index a = placement.expert(swap.p), b = placement.expert(swap.q);
    costs_ = norm.costs_after(machine.gpu(swap.p), machine.gpu(swap.q), a, b);
    return costs_.g + costs_.h;
  }

  // Makes the swap that was looked at last.
  EPLB_INLINE void make(Placement& placement, LoadNorm& norm, const Proposal& swap) const {
    const Machine& machine = placement.machine();
    const Index g = machine.gpu(swap.p), h = machine.gpu(swap.q);
    norm.exchange(g, h, placement.expert(swap.p), placement.expert(swap.q));
    norm.set_cost(g, costs_.g);
    norm.set_cost(h, costs_.h);
    placement.swap(swap.p, swap.q);
  }

  const SwapCosts& costs() const { return costs_; }

 private:
  SwapCosts costs_{};
};

}  // namespace eplb::annealing
