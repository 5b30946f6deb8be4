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
    costs_ = norm.costs_after(exchange(placement, swap));
    return costs_.g + costs_.h;
  }

  // Makes the swap that was looked at last.
  EPLB_INLINE void make(Placement& placement, LoadNorm& norm, const Proposal& swap) const {
    const Exchange made = exchange(placement, swap);
    norm.exchange(made);
    norm.set_cost(made.g, costs_.g);
    norm.set_cost(made.h, costs_.h);
    placement.swap(swap.p, swap.q);
  }

  const SwapCosts& costs() const { return costs_; }

 private:
  EPLB_INLINE static Exchange exchange(const Placement& placement, const Proposal& swap) {
    const Machine& machine = placement.machine();
    return {machine.gpu(swap.p), machine.gpu(swap.q), placement.expert(swap.p),
            placement.expert(swap.q)};
  }

  SwapCosts costs_{};
};

}  // namespace eplb::annealing
