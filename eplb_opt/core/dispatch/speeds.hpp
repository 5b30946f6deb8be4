// How fast GPUs are, relative to the fastest.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "common/views.hpp"

namespace eplb::dispatch {

class Speeds {
 public:
  // `given` are finite and above 0. A GPU slower than the fastest by more than float64 can hold
  // beside loads counts as that slow.
  explicit Speeds(std::span<const double> given) : fastest_(std::ranges::max(given)) {
    constexpr double kSlowest = 1e-300;
    for (const double s : given) relative_.push_back(std::max(s / fastest_, kSlowest));
    for (const double s : relative_) total_ += s;
    are_even_ = std::ranges::min(relative_) == 1.0;
  }

  Index size() const { return std::ssize(relative_); }
  double operator[](Index gpu) const { return relative_[gpu]; }
  double total() const { return total_; }
  double fastest() const { return fastest_; }
  bool are_even() const { return are_even_; }

 private:
  double fastest_, total_ = 0.0;
  std::vector<double> relative_;
  bool are_even_;
};

// GPUs that are alike: what is multiplied by a speed stays what it is, at no cost.
struct EvenSpeeds {
  double operator[](Index) const { return 1.0; }
};

}  // namespace eplb::dispatch
