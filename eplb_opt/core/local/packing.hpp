// Greedy plans from chosen replica counts: longest processing time first.
#pragma once

#include <limits>
#include <vector>

#include "local/plan.hpp"

namespace eplb::local {

// Experts by descending size, equals as they are numbered.
std::vector<Index> by_descending(std::span<const std::int64_t> sizes);

// The replicas of each expert, and their size; experts are kept in order of it.
class Counts {
 public:
  explicit Counts(const Node& node);

  std::span<const std::int64_t> counts() const { return count_; }
  std::span<const std::int64_t> pieces() const { return piece_; }
  // Experts by descending replica size, equals as they are numbered.
  std::span<const Index> order() const { return order_; }

  // The fewest replicas that are no larger than the target; returns the slots left over, negative
  // where some lack.
  Index keep_below(std::int64_t target);

  // One more replica for the expert with the largest ones at or below the ceiling, or, where all
  // are larger, for the one with the smallest.
  void give_spare(std::int64_t ceiling);

 private:
  bool precedes(Index expert, Index other) const {
    return piece_[expert] != piece_[other] ? piece_[expert] > piece_[other] : expert < other;
  }
  void move_down(Index position);

  const Node* node_;
  std::vector<std::int64_t> count_, piece_;
  std::vector<Index> by_weight_, order_;
};

// Finds the GPU with the least load: a tournament, in which a changed load plays its own games again.
class LightestGpu {
 public:
  static constexpr std::int64_t kClosed = std::numeric_limits<std::int64_t>::max();

  explicit LightestGpu(Index num_gpus);

  // All GPUs are empty.
  void clear();
  // The first of the GPUs with the least load.
  Index gpu() const { return winner_[1]; }
  bool all_closed() const { return load_[gpu()] == kClosed; }
  void set(Index gpu, std::int64_t load);

 private:
  void play(Index game);

  Index num_gpus_, num_leaves_;
  std::vector<std::int64_t> load_;
  std::vector<Index> winner_;
};

// Replicas in descending size, each to the lightest GPU with room.
class Packing {
 public:
  explicit Packing(const Node& node);

  static constexpr std::int64_t kNoLimit = LightestGpu::kClosed;

  // Counts and pieces are those of the experts, which `order` holds by descending piece. Returns
  // whether every replica found a GPU and all loads stayed below the limit; else the plan is left
  // unfinished.
  bool pack(std::span<const std::int64_t> counts, std::span<const std::int64_t> pieces,
            std::span<const Index> order, std::int64_t limit = kNoLimit);

  std::int64_t peak() const;

  std::vector<std::int64_t> slot;  // the expert in each

 private:
  bool place(std::int64_t expert, std::int64_t count, std::int64_t piece);
  bool is_full(Index gpu) const { return filled_[gpu] == node_->slots_per_gpu; }

  const Node* node_;
  std::vector<std::int64_t> load_;
  std::vector<Index> filled_, taken_;  // slots in use; GPUs that the expert in hand stands on
  std::int64_t limit_ = kNoLimit;
  LightestGpu lightest_;
};

}  // namespace eplb::local
