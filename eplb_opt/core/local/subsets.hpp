// The subsets of each GPU's replicas, ascending by their sum.
#pragma once

#include <vector>

#include "local/plan.hpp"

namespace eplb::local {

// Places on a GPU, ascending, 16 bits each from the lowest on; `kNoPlace` where there are no more.
class Places {
 public:
  static constexpr Index kMost = 4;

  Index first() const { return static_cast<Index>(bits_ & kNoPlace); }
  bool empty() const { return first() == kNoPlace; }
  Places rest() const { return Places(bits_ >> 16 | std::uint64_t{kNoPlace} << 48); }
  Places with(Index before) const {
    return Places(bits_ << 16 | static_cast<std::uint64_t>(before));
  }
  bool contain(Index place) const {
    for (Places left = *this; !left.empty(); left = left.rest()) {
      if (left.first() == place) return true;
    }
    return false;
  }

  Places() = default;

 private:
  static constexpr std::uint16_t kNoPlace = 0xFFFF;
  explicit Places(std::uint64_t bits) : bits_(bits) {}

  std::uint64_t bits_ = ~std::uint64_t{0};
};

// Sums rounded down to what fits into 32 bits, so that one vector instruction compares eight.
using Coarse = std::int32_t;
constexpr Index kCoarseLanes = 8;

// The subsets of one GPU and one size: ascending by sum, and of equal sums by their places.
struct SubsetOrder {
  std::span<const std::int64_t> sums;
  std::span<const Places> places;
  std::span<const Coarse> coarse;  // whole lanes: the last sum fills them up
};

// Keeps the subsets of all GPUs in order while the plan changes.
//
// Subsets of more than half the slots are not looked at: exchanging them is exchanging the rest,
// under other names of the GPUs. Nor are all sizes where that would be too many subsets.
class SortedSubsets {
 public:
  explicit SortedSubsets(const Node& node);

  Index num_sizes() const { return std::ssize(begin_) - 1; }
  // The longest `coarse` of a size.
  Index most_lanes() const { return most_lanes_; }
  int coarse_bits() const { return coarse_bits_; }  // how many are cut off

  // Take note of what has changed.
  void notice(Plan& plan);

  // Whether a GPU has to be sorted before its order is asked for.
  bool is_stale(Index gpu) const { return is_stale_[gpu]; }
  void refresh(const Plan& plan, Index gpu);

  // Subsets of `size_idx + 1` replicas, of a GPU that is not stale.
  SubsetOrder order(Index gpu, Index size_idx) const {
    const std::size_t num = begin_[size_idx + 1] - begin_[size_idx];
    const std::size_t lanes = coarse_begin_[size_idx + 1] - coarse_begin_[size_idx];
    const Index first = gpu * begin_.back() + begin_[size_idx];
    const Index first_coarse = gpu * coarse_begin_.back() + coarse_begin_[size_idx];
    return {std::span(sum_).subspan(first, num), std::span(places_).subspan(first, num),
            std::span(coarse_).subspan(first_coarse, lanes)};
  }

 private:
  void sort(Index gpu);
  void round_down(Index gpu);

  Index slots_per_gpu_, most_lanes_ = 0;
  int coarse_bits_;
  std::vector<Index> begin_, coarse_begin_;  // of each size among a GPU's subsets, and the end
  std::vector<std::int64_t> size_, sum_;     // the replicas that are in order; the subsets' sums
  std::vector<char> is_stale_;
  std::vector<Places> places_;
  std::vector<Coarse> coarse_;
};

}  // namespace eplb::local
