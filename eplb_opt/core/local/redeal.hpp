// Re-partition: all replicas of the heaviest GPU and two others are dealt out anew.
#pragma once

#include <array>
#include <vector>

#include "common/random.hpp"
#include "local/plan.hpp"

namespace eplb::local {

// Ways to fill one GPU out of three, and one out of two; the first item is fixed on it.
//
// Each way out of three differs from the one before in one item, so that its sum costs two
// additions (revolving-door order: Nijenhuis and Wilf, Combinatorial Algorithms, 1978).
struct Deals {
  Index slots_per_gpu;
  std::vector<Index> of_three;  // ascending positions of each way, slots_per_gpu after slots_per_gpu
  std::vector<Index> leaving, entering;  // what changes from the way before
  std::vector<Index> of_two;

  // Without any ways where there would be too many of them, or but one.
  explicit Deals(Index slots_per_gpu);

  // For each number of slots built once.
  static const Deals& of(Index slots_per_gpu);

  Index num_of_three() const { return std::ssize(leaving); }
};

using ThreeGpus = std::array<Index, 3>;

// Deal the replicas of three GPUs out so that the largest load of the three falls.
//
// Returns whether it fell; the plan is left as it is where it cannot.
bool redeal(Plan& plan, const Deals& deals, const ThreeGpus& gpus);

// Re-partition the heaviest GPU with the first two others that help, from a random one on.
bool redeal_any(Plan& plan, const Deals& deals, Index heavy, Random& random);

}  // namespace eplb::local
