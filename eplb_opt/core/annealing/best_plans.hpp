// The best plans that a search has seen, one for each number of moved slots.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "annealing/placement.hpp"
#include "annealing/proposal.hpp"

namespace eplb::annealing {

// The plan in force, and what a slot costs whose expert it does not have on the GPU.
class PlanInForce {
 public:
  // `held` says of each GPU and expert whether the plan has it there, so that all other moves count
  // 1; no rows without such a plan.
  explicit PlanInForce(Table<const bool> held)
      : num_experts_(held.columns()), moves_(held.all().begin(), held.all().end()) {
    for (int& count : moves_) count = count > 0 ? 0 : 1;
  }

  // `moves` is what each expert counts on each GPU, 0 where the plan has it there.
  explicit PlanInForce(Table<const Index> moves)
      : num_experts_(moves.columns()), moves_(moves.all().size()) {
    std::ranges::transform(moves.all(), moves_.begin(),
                           [](Index count) { return static_cast<int>(count); });
  }

  bool exists() const { return !moves_.empty(); }

  int counted(Index gpu, Index expert) const { return moves_[gpu * num_experts_ + expert]; }

  // Moves that a proposal adds.
  int added_by(const Placement& placement, const Proposal& proposal) const {
    const Machine& machine = placement.machine();
    const Index g = machine.gpu(proposal.p), h = machine.gpu(proposal.q);
    const Index a = placement.expert(proposal.p), b = placement.expert(proposal.q);
    const int added = counted(h, a) - counted(h, b);
    return proposal.is_transfer ? added : added + counted(g, b) - counted(g, a);
  }

  // What the moves of all slots count; 0 without a plan in force.
  Index num_moves(const Placement& placement) const {
    if (!exists()) return 0;
    Index moves = 0;
    for (Index slot = 0; slot < placement.num_slots(); ++slot) {
      moves += counted(placement.machine().gpu(slot), placement.expert(slot));
    }
    return moves;
  }

 private:
  Index num_experts_;
  std::vector<int> moves_;
};

// Entry m is the best plan with m moved slots, the last one that with so many or more. Where
// moves do not count there is one entry.
class BestPlans {
 public:
  BestPlans(Index num_kept, std::span<const Index> start)
      : start_(start.begin(), start.end()), value_(num_kept), slots_(num_kept) {
    forget();
  }

  // Values that later ones cannot be compared with; the plans stay until better ones come.
  void forget() {
    std::ranges::fill(value_, std::numeric_limits<double>::infinity());
  }

  void offer(double value, Index num_moves, std::span<const Index> slots) {
    const Index kept = std::min(num_moves, std::ssize(value_) - 1);
    if (!(value < value_[kept])) return;
    value_[kept] = value;
    slots_[kept].assign(slots.begin(), slots.end());
  }

  std::span<const double> values() const { return value_; }
  // The start where no plan with so many moves has come.
  std::span<const Index> slots(Index kept) const {
    return slots_[kept].empty() ? start_ : slots_[kept];
  }

 private:
  std::vector<Index> start_;
  std::vector<double> value_;
  // A search sees few of the numbers of moves: plans of thousands of slots are made as they come.
  std::vector<std::vector<Index>> slots_;
};

}  // namespace eplb::annealing
