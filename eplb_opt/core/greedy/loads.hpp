// The loads of a call in float32, in which the published greedy computes.
#pragma once

#include <vector>

#include "common/numbers.hpp"
#include "common/views.hpp"

namespace eplb::greedy {

// What the checks of loads look at.
struct LoadSummary {
  double least;  // NaN where any number is
  double largest_total;

  // Finite, none negative, and no sum that float32 could not hold.
  bool is_sound() const;
};

class Loads {
 public:
  explicit Loads(const StridedTable& given);

  Table<const float> single() const { return {single_.data(), rows_, columns_}; }
  std::span<const double> totals() const { return total_; }
  LoadSummary summary() const { return summary_; }

 private:
  Index rows_, columns_;
  std::vector<float> single_;
  std::vector<double> total_;  // of every layer
  LoadSummary summary_;
};

}  // namespace eplb::greedy
