// Greedy plans from chosen replica counts: longest processing time first.
#pragma once

#include <vector>

#include "local/plan.hpp"

namespace eplb::local {

// The replicas of each expert, and their size.
struct Counts {
  std::vector<std::int64_t> count, piece;

  explicit Counts(Index num_experts) : count(num_experts), piece(num_experts) {}

  // The fewest replicas that are no larger than the target; returns the slots left over, negative
  // where some lack.
  Index keep_below(std::int64_t target, const Node& node);

  // One more replica for the expert with the largest ones at or below the ceiling, or, where all
  // are larger, for the one with the smallest.
  void give_spare(std::int64_t ceiling, const Node& node);
};

// Counts that keep replicas at or below the target and give every spare slot under one ceiling.
//
// Returns whether the slots are enough.
bool fit_counts(const Node& node, std::int64_t target, std::int64_t ceiling, Counts& counts);

// Experts by descending replica size, equals as they are numbered.
std::vector<Index> by_descending_piece(const Counts& counts);

// Replicas in descending size, each to the lightest GPU with room.
class Packing {
 public:
  explicit Packing(const Node& node)
      : slot(node.num_slots()), load(node.num_gpus), filled_(node.num_gpus), node_(&node) {}

  // `order` holds the experts by descending replica size. Returns whether every replica found a
  // GPU; where none may take one, the plan is left unfinished.
  bool pack(const Counts& counts, std::span<const Index> order);

  std::int64_t peak() const;

  std::vector<std::int64_t> slot;  // the expert in each
  std::vector<std::int64_t> load;  // of each GPU

 private:
  Index lightest_gpu(std::int64_t expert) const;

  std::vector<Index> filled_;
  const Node* node_;
};

}  // namespace eplb::local
