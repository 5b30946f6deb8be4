// Columns for the configuration LP from dual values: the heaviest patterns of replicas that fit a GPU.
//
// Pricing of column generation, a knapsack problem (Gilmore and Gomory, "A linear programming approach
// to the cutting-stock problem", 1961) with at most K items. Fronts of partial patterns are grown by
// doubling, and two of half the slots are joined by two pointers (Horowitz and Sahni, "Computing
// partitions with applications to the knapsack problem", 1974).
#pragma once

#include <optional>
#include <vector>

#include "config_lp/front.hpp"

namespace eplb::config_lp {

// One node, or a layer without nodes.
struct FlatNode {
  std::vector<std::int64_t> load;  // [num_experts]
  Index num_slots, num_gpus;

  Index num_experts() const { return std::ssize(load); }
  Index slots_per_gpu() const { return num_slots / num_gpus; }
};

// Counts that experts may have, from `low` to `high`, [num_experts] each.
struct Window {
  std::span<const Index> low, high;
};

// Fronts are thinned to `length`; they cost its square. Where they are to be exact, those that are
// short enough are complete; else they are coarse, and fast. The turn says which rows are thinned out.
struct Effort {
  Index length, turn;
  bool exact;
};

// A column of the LP; a slot that stays empty has expert and count -1.
struct Pattern {
  std::vector<Index> expert, count;  // [slots_per_gpu]
};

// The best completion of every partial pattern.
class Completions {
 public:
  // `fronts` by number of slots; whole patterns are of the fronts of the two halves of the slots.
  Completions(std::vector<std::optional<Front>> fronts, Index slots_per_gpu);

  // The largest weight of a pattern, as far as thinning let it be seen.
  double heaviest() const;

  // Rows of the heaviest patterns that weigh anything, at most so many, by descending weight.
  std::vector<Index> heaviest_rows(Index most) const;

  // Writes the pattern of a row.
  void write(Index row, Pattern& pattern) const;

 private:
  void write_part(Index num_slots, Index row, std::span<Index> expert,
                  std::span<Index> count) const;

  std::vector<std::optional<Front>> fronts_;
  Index larger_half_, smaller_half_;
  std::vector<double> weight_;
  std::vector<Index> partner_;
};

// The patterns of one target load, by dual values.
class Pricer {
 public:
  Pricer(const FlatNode& node, double target, Window window);

  // Whether any counts add up to the slots.
  bool has_counts() const;

  Completions price(std::span<const double> value, Effort effort) const;

  std::span<const double> load() const { return load_; }  // in target loads
  // Of the counts that the window, the target and the slots leave.
  std::span<const Index> fewest() const { return fewest_; }
  std::span<const Index> most() const { return most_; }
  Index slots_per_gpu() const { return slots_per_gpu_; }

 private:
  Index num_slots_, slots_per_gpu_;
  std::vector<double> load_;
  std::vector<Index> fewest_, most_;
};

}  // namespace eplb::config_lp
