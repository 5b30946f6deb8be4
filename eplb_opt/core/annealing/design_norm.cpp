#include "annealing/design_norm.hpp"

namespace eplb::annealing {

DesignNorm::DesignNorm(Index num_gpus, Index num_loads, bool worst)
    : num_gpus_(num_gpus),
      num_loads_(num_loads),
      width_((num_loads + kLanes - 1) / kLanes),
      worst_(worst),
      power_(num_gpus, num_loads),
      power_before_(num_gpus, num_loads),
      share_(1, num_loads),
      sum_(1, num_loads),
      sum_before_(1, num_loads),
      highest_(1, num_loads),
      root_(1, num_loads),
      cost_(num_gpus) {}

void DesignNorm::set_shares(std::span<const double> share) {
  for (Index r = 0; r < num_loads_; ++r) share_(0, r) = share[r];
}

void DesignNorm::renew(const LaneTable& load, int doublings) {
  doublings_ = doublings;
  sum_.clear();
  for (Index gpu = 0; gpu < num_gpus_; ++gpu) {
    for (Index i = 0; i < width_; ++i) {
      power_[gpu][i] = power(load[gpu][i], doublings_);
      sum_[0][i] += power_[gpu][i];
    }
  }
  for (Index i = 0; i < width_; ++i) highest_[0][i] = sum_[0][i];
  for (Index gpu = 0; gpu < num_gpus_; ++gpu) price(gpu);
  value_ = norm();
}

void DesignNorm::add_up_cancelled() {
  for (Index i = 0; i < width_; ++i) {
    Lanes fresh = all_lanes(0.0);
    for (Index gpu = 0; gpu < num_gpus_; ++gpu) fresh += power_[gpu][i];
    const Lanes sum = sum_[0][i];
    sum_[0][i] = sum * all_lanes(kCancelled) >= highest_[0][i] ? sum : fresh;
  }
}

}  // namespace eplb::annealing
