// What an annealing proposes, how it is drawn, and whether the rules allow it.
#pragma once

#include <vector>

#include "annealing/placement.hpp"
#include "common/lanes.hpp"
#include "common/random.hpp"

namespace eplb::annealing {

// Thresholds to draw from, and the unit of a chance: a part of 1024.
inline constexpr Index kFine = 1024;

// Slot q gets the expert of slot p: as a further replica in the place of one of its own expert's
// (a copy transfer), or in exchange for it (a swap).
struct Proposal {
  bool is_transfer;
  Index p, q;
};

// Where randomness comes from.
struct Chance {
  // kFine samples of the exponential distribution: with a random one of them times the temperature
  // as what a move may cost, moves are accepted as Metropolis has it.
  std::vector<double> thresholds;
  Random random;
};

// Draws proposals. The order of the draws decides the plan.
class Proposer {
 public:
  Proposer(const Machine& machine, Chance chance)
      : machine_(&machine), chance_(std::move(chance)) {}

  EPLB_INLINE double threshold() { return chance_.thresholds[fine()]; }

  // True in so many of kFine cases.
  EPLB_INLINE bool happens(Index parts) { return fine() < parts; }

  EPLB_INLINE Index slot() { return chance_.random.scaled(machine_->num_slots()); }

  // A slot of the node of another.
  EPLB_INLINE Index neighbour(Index slot) {
    return machine_->node_begin(slot) + chance_.random.scaled(machine_->node_size());
  }

  // One of `size` slots from `begin` on.
  EPLB_INLINE Index within(Index begin, Index size) { return begin + chance_.random.scaled(size); }

  // One side on the costlier of two GPUs: what is light already needs no relief. `transfers` of
  // kFine proposals are transfers, either way round.
  EPLB_INLINE Proposal by_cost(std::span<const double> cost, Index transfers) {
    Index gpu = chance_.random.scaled(machine_->num_gpus());
    const Index other = chance_.random.scaled(machine_->num_gpus());
    gpu = cost[other] > cost[gpu] ? other : gpu;
    const Index coin = chance_.random.bits(), begin = machine_->begin(gpu);
    const Index p = begin + (((coin >> 15) * (machine_->end(gpu) - begin)) >> 15);
    const Index q = neighbour(p);
    const bool is_transfer = (coin & (kFine - 1)) < transfers;
    if (is_transfer && (coin & kFine)) return {is_transfer, q, p};
    return {is_transfer, p, q};
  }

 private:
  EPLB_INLINE Index fine() { return chance_.random.bits() & (kFine - 1); }

  const Machine* machine_;
  Chance chance_;
};

// Whether the expert of slot p keeps two units when it leaves it for unit `to` (-1: for none).
bool stays_spread(const Placement& placement, Index p, Index to);
// Whether the ties let the expert of slot q be replaced by another.
bool ties_allow(const Placement& placement, Index q, Index fresh);

// Whether the proposal changes anything and leaves a plan that obeys the rules, if this one does.
EPLB_INLINE bool is_allowed(const Placement& placement, const Proposal& proposal) {
  const Machine& machine = placement.machine();
  const Index p = proposal.p, q = proposal.q, g = machine.gpu(p), h = machine.gpu(q);
  const Index a = placement.expert(p), b = placement.expert(q);
  const bool swaps = !proposal.is_transfer;
  if (a == b || (swaps ? g == h : placement.count(b) < 2)) return false;
  if (machine.apart() &&
      (placement.on_gpu(h, a) > 0 || (swaps && placement.on_gpu(g, b) > 0))) {
    return false;
  }
  if (machine.has_ties() &&
      !(ties_allow(placement, q, a) && (!swaps || ties_allow(placement, p, b)))) {
    return false;
  }
  if (!machine.has_spread()) return true;
  if (!swaps) return stays_spread(placement, q, -1);
  return machine.unit(p) == machine.unit(q) ||
         (stays_spread(placement, p, machine.unit(q)) &&
          stays_spread(placement, q, machine.unit(p)));
}

}  // namespace eplb::annealing
