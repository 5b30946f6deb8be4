// Polish: the heaviest GPU exchanges equally many replicas with another one.
#pragma once

#include <vector>

#include "local/plan.hpp"

namespace eplb::local {

// The exchanges worth looking at: subsets of a GPU's slots, the smallest sizes first.
class Subsets {
 public:
  explicit Subsets(Index slots_per_gpu);

  Index num() const { return std::ssize(begin_) - 1; }
  Index num_sizes() const { return std::ssize(size_begin_) - 1; }
  // The subsets of size `size_idx + 1` are size_begin(size_idx) .. size_begin(size_idx + 1) - 1.
  Index size_begin(Index size_idx) const { return size_begin_[size_idx]; }
  // The places on a GPU that make up a subset, ascending.
  std::span<const Index> places(Index subset) const {
    return std::span(place_).subspan(begin_[subset], begin_[subset + 1] - begin_[subset]);
  }

 private:
  void add_size(Index slots_per_gpu, Index size);

  std::vector<Index> place_, begin_, size_begin_;
};

// The subsets of each GPU's replicas, ascending by their sum within each size of subset.
class SortedSubsets {
 public:
  SortedSubsets(const Node& node, const Subsets& subsets);

  // The sums and subsets of a GPU, sorted once more where its replicas have changed.
  struct Order {
    const std::int64_t* sum;
    const Index* subset;
  };
  Order of(const Plan& plan, Index gpu);

 private:
  void sort(Index gpu);

  const Subsets* subsets_;
  Index slots_per_gpu_;
  std::vector<std::int64_t> size_, sum_;  // the replicas that are sorted, their subsets' sums
  std::vector<Index> subset_;
};

struct Exchange {
  Index other = -1;  // a GPU; none where -1
  Index give = 0;    // the heaviest GPU's subset
  Index take = 0;    // the other one's
};

// The exchange with the heaviest GPU that leaves the lower larger load of the two.
Exchange best_exchange(const Plan& plan, const Subsets& subsets, SortedSubsets& sorted,
                       Index heavy);

// Swap two subsets of two GPUs' replicas, place by place.
void apply(const Exchange& exchange, Index heavy, const Subsets& subsets, Plan& plan);

}  // namespace eplb::local
