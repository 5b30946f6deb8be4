// Replica counts as plans: the heaviest replica meets the lightest, and so inwards.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/views.hpp"

namespace eplb::pairs {

// Make the counts use all slots: off the lightest replicas, or more of the heaviest.
void refill(std::span<const double> load, std::span<std::int64_t> counts, Index num_slots);

// What a plan is worth: what its pairs exceed a wanted level by, together, and its largest pair.
struct Worth {
  double above, largest;
};

// A replica more for one expert or less for another; -1 for none. It is never an expert's only one.
struct Move {
  Index giver = -1, taker = -1;
};

// The replicas of a plan by load, kept so that moves can be rated without sorting anew.
class SortedReplicas {
 public:
  SortedReplicas(std::span<const double> load, Index num_slots);

  // Take over counts that add up to at most one more or less than the slots.
  void sort(std::span<const std::int64_t> counts);

  // What a move makes of the plan. With more replicas than slots the lightest are left out, with
  // fewer the empty slots hold replicas of no load.
  Worth rate(Move move, double level);

 private:
  struct Run {
    double share = 0.0;
    Index size = 0;
  };

  void take_out(Move move);
  void put_in(Run lighter, Run heavier);
  Run run_after(Index expert, Index change) const;

  std::span<const double> load_;
  std::span<const std::int64_t> counts_;
  Index num_slots_;
  std::vector<Index> order_, begin_;          // experts by share; where each one's replicas begin
  std::vector<double> share_;                 // of each expert
  std::vector<double> sorted_, rest_, moved_;  // shares of all replicas, ascending
};

}  // namespace eplb::pairs
