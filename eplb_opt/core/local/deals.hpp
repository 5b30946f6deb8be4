// The ways to deal the replicas of three GPUs, in the order in which they are tried.
#pragma once

#include <cstdint>
#include <vector>

#include "common/views.hpp"

namespace eplb::local {

// Bit i stands for the i-th of the replicas dealt.
using Hand = std::uint32_t;

// Ways to fill one GPU out of three, and one out of two; the first replica is fixed on it.
class Deals {
 public:
  // With more slots a GPU the ways are too many, and exchanges do as well.
  static constexpr Index kMaxSlots = 5;

  // Without any ways where there would be too many of them, or but one.
  explicit Deals(Index slots_per_gpu);

  // For each number of slots built once.
  static const Deals& of(Index slots_per_gpu);

  bool is_empty() const { return of_two_.empty(); }

  // When a way out of three is tried: each differs from the one before in one replica
  // (revolving-door order: Nijenhuis and Wilf, Combinatorial Algorithms, 1978).
  std::uint16_t rank(Hand of_three) const { return rank_[of_three >> 1]; }

  // All ways out of two, in lexicographic order.
  std::span<const Hand> of_two() const { return of_two_; }

 private:
  std::vector<std::uint16_t> rank_;
  std::vector<Hand> of_two_;
};

}  // namespace eplb::local
