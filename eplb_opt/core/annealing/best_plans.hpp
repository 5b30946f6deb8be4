// The best plans that a search has seen, one for each number of moved slots.
#pragma once

#include <limits>
#include <vector>

#include "annealing/placement.hpp"
#include "annealing/proposal.hpp"

namespace eplb::annealing {

// The plan in force: what it has on each GPU needs no move.
class PlanInForce {
 public:
  // `held` says of each GPU and expert whether the plan has it there; no rows without such a plan.
  explicit PlanInForce(Table<const bool> held)
      : num_experts_(held.columns()), held_(held.all().begin(), held.all().end()) {}

  bool exists() const { return !held_.empty(); }

  // 1 where the plan has no such expert on the GPU, else 0.
  int is_new(Index gpu, Index expert) const { return held_[gpu * num_experts_ + expert] ? 0 : 1; }

  // Moved slots that a proposal adds.
  int added_by(const Placement& placement, const Proposal& proposal) const {
    const Machine& machine = placement.machine();
    const Index g = machine.gpu(proposal.p), h = machine.gpu(proposal.q);
    const Index a = placement.expert(proposal.p), b = placement.expert(proposal.q);
    const int added = is_new(h, a) - is_new(h, b);
    return proposal.is_transfer ? added : added + is_new(g, b) - is_new(g, a);
  }

  // Slots whose expert is new on its GPU; 0 without a plan in force.
  Index num_moves(const Placement& placement) const {
    if (!exists()) return 0;
    Index moves = 0;
    for (Index slot = 0; slot < placement.num_slots(); ++slot) {
      moves += is_new(placement.machine().gpu(slot), placement.expert(slot));
    }
    return moves;
  }

 private:
  Index num_experts_;
  std::vector<unsigned char> held_;
};

// Entry m is the best plan with m moved slots, the last one that with so many or more. Where
// moves do not count there is one entry.
class BestPlans {
 public:
  BestPlans(Index num_kept, std::span<const Index> start)
      : num_slots_(std::ssize(start)), value_(num_kept) {
    forget();
    for (Index kept = 0; kept < num_kept; ++kept) {
      slot_.insert(slot_.end(), start.begin(), start.end());
    }
  }

  // Values that later ones cannot be compared with; the plans stay until better ones come.
  void forget() {
    std::ranges::fill(value_, std::numeric_limits<double>::infinity());
  }

  void offer(double value, Index num_moves, std::span<const Index> slots) {
    const Index kept = std::min(num_moves, std::ssize(value_) - 1);
    if (!(value < value_[kept])) return;
    value_[kept] = value;
    std::ranges::copy(slots, slot_.begin() + kept * num_slots_);
  }

  std::span<const double> values() const { return value_; }
  std::span<const Index> slots(Index kept) const {
    return {slot_.data() + kept * num_slots_, static_cast<std::size_t>(num_slots_)};
  }

 private:
  Index num_slots_;
  std::vector<double> value_;
  std::vector<Index> slot_;
};

}  // namespace eplb::annealing
