#include "annealing/proposal.hpp"

namespace eplb::annealing {

bool stays_spread(const Placement& placement, Index p, Index to) {
  const Machine& machine = placement.machine();
  Index one = to;
  for (const Index other : placement.copies(placement.expert(p))) {
    if (other == p) continue;
    if (one == -1) {
      one = machine.unit(other);
    } else if (machine.unit(other) != one) {
      return true;
    }
  }
  return false;
}

bool ties_allow(const Placement& placement, Index q, Index fresh) {
  const Machine& machine = placement.machine();
  const Index gpu = machine.gpu(q), old = placement.expert(q);
  return machine.tie(gpu, fresh) != kForbidden &&
         (machine.tie(gpu, old) != kPinned || placement.on_gpu(gpu, old) > 1);
}

}  // namespace eplb::annealing
