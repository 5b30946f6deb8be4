// What a design is worth while it is annealed: a norm of the GPU loads.
//
// The largest GPU load does not see what happens to the others. The p-norm does, with p a power of
// two: its powers and roots are squares and square roots.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/lanes.hpp"

namespace eplb::annealing {

class DesignNorm {
 public:
  // With `worst` the norm runs over GPUs and loads together; else each load has its own, and their
  // weighted sum counts.
  DesignNorm(Index num_gpus, Index num_loads, bool worst);

  // What each load counts.
  void set_shares(std::span<const double> share);
  double share(Index load) const { return share_(0, load); }
  bool worst() const { return worst_; }

  // Everything anew from the loads; the norm's p is 2**doublings from now on.
  void renew(const LaneTable& load, int doublings);

  double value() const { return value_; }
  // What each GPU adds to the norm: slots are drawn by it.
  std::span<const double> costs() const { return cost_; }

  // The value with other loads on the touched GPUs; `keep` or `undo` has to follow.
  EPLB_INLINE double try_loads(const LaneTable& load, std::span<const Index> touched);
  EPLB_INLINE void keep(std::span<const Index> touched);
  EPLB_INLINE void undo(std::span<const Index> touched);

 private:
  // A sum that is less than its highest value over this has lost half of its digits or more: what
  // was added and taken away again has left rounding behind.
  static constexpr double kCancelled = 1 << 30;

  EPLB_INLINE double norm();
  EPLB_INLINE void price(Index gpu);
  EPLB_INLINE bool has_cancelled() const;
  void add_up_cancelled();

  Index num_gpus_, num_loads_, width_;
  bool worst_;
  int doublings_ = 0;
  double value_ = 0.0, tried_ = 0.0;
  LaneTable power_, power_before_;  // p-th powers of GPU loads; what they were, in touched order
  LaneTable share_, sum_, sum_before_, highest_, root_;  // of each load; one row
  std::vector<double> cost_;
};

EPLB_INLINE double DesignNorm::try_loads(const LaneTable& load, std::span<const Index> touched) {
  Lanes* sum = sum_[0];
  for (Index i = 0; i < width_; ++i) sum_before_[0][i] = sum[i];
  for (Index i = 0; i < std::ssize(touched); ++i) {
    const Lanes* on_gpu = load[touched[i]];
    Lanes *power = power_[touched[i]], *before = power_before_[i];
    for (Index block = 0; block < width_; ++block) {
      const Lanes fresh = eplb::power(on_gpu[block], doublings_);
      before[block] = power[block];
      sum[block] += fresh - power[block];
      power[block] = fresh;
    }
  }
  if (has_cancelled()) add_up_cancelled();
  return tried_ = norm();
}

EPLB_INLINE void DesignNorm::keep(std::span<const Index> touched) {
  value_ = tried_;
  Lanes *sum = sum_[0], *highest = highest_[0];
  for (Index i = 0; i < width_; ++i) {
    const Lanes higher = sum[i] > highest[i] ? sum[i] : highest[i];
    highest[i] = sum[i] * all_lanes(kCancelled) >= highest[i] ? higher : sum[i];
  }
  for (const Index gpu : touched) price(gpu);
}

EPLB_INLINE void DesignNorm::undo(std::span<const Index> touched) {
  for (Index i = 0; i < width_; ++i) sum_[0][i] = sum_before_[0][i];
  for (Index i = 0; i < std::ssize(touched); ++i) {
    Lanes* power = power_[touched[i]];
    for (Index block = 0; block < width_; ++block) power[block] = power_before_[i][block];
  }
}

EPLB_INLINE bool DesignNorm::has_cancelled() const {
  const Lanes *sum = sum_[0], *highest = highest_[0];
  auto kept = sum[0] * all_lanes(kCancelled) >= highest[0];
  for (Index i = 1; i < width_; ++i) kept &= sum[i] * all_lanes(kCancelled) >= highest[i];
  return !(kept[0] && kept[1] && kept[2] && kept[3]);
}

EPLB_INLINE double DesignNorm::norm() {
  const auto gpus = static_cast<double>(num_gpus_);
  double* root = &root_(0, 0);
  const double *sum = &sum_(0, 0), *share = &share_(0, 0);
  const Index padded = width_ * kLanes;
  for (Index i = 0; i < padded; ++i) root[i] = sum[i] / gpus;
  if (worst_) {
    double everything = 0.0;
    for (Index r = 0; r < num_loads_; ++r) everything += root[r];
    everything /= static_cast<double>(num_loads_);
    for (int i = 0; i < doublings_; ++i) everything = std::sqrt(everything);
    return everything;
  }
  for (int d = 0; d < doublings_; ++d) {
    for (Index i = 0; i < padded; ++i) root[i] = std::sqrt(root[i]);
  }
  double total = 0.0;
  for (Index r = 0; r < num_loads_; ++r) total += share[r] * root[r];
  return total;
}

EPLB_INLINE void DesignNorm::price(Index gpu) {
  const Lanes *share = share_[0], *sum = sum_[0], *power = power_[gpu];
  double cost = 0.0;
  for (Index i = 0; i < width_; ++i) {
    const Lanes part = share[i] * power[i] / sum[i];
    const Index lanes = std::min(kLanes, num_loads_ - i * kLanes);
    for (Index lane = 0; lane < lanes; ++lane) cost += part[lane];
  }
  cost_[gpu] = cost;
}

}  // namespace eplb::annealing
