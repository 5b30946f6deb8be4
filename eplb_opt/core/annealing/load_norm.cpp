#include "annealing/load_norm.hpp"

#include <cmath>

namespace eplb::annealing {

namespace {

double root(double value, int doublings) {
  for (; doublings > 0; --doublings) value = std::sqrt(value);
  return value;
}

}  // namespace

LoadNorm::LoadNorm(const Placement& placement, const Scenarios& scenarios)
    : placement_(&placement),
      share_(scenarios.share.begin(), scenarios.share.end()),
      worst_(scenarios.worst),
      num_scenarios_(scenarios.weight.columns()),
      width_((num_scenarios_ + kLanes - 1) / kLanes),
      weight_(scenarios.weight.rows(), num_scenarios_),
      replica_(scenarios.weight.rows(), num_scenarios_),
      load_(placement.machine().num_gpus(), num_scenarios_),
      power_(placement.machine().num_gpus(), num_scenarios_),
      slope_(1, num_scenarios_),
      cost_(placement.machine().num_gpus()) {
  for (Index expert = 0; expert < weight_.rows(); ++expert) {
    for (Index r = 0; r < num_scenarios_; ++r) weight_(expert, r) = scenarios.weight(expert, r);
  }
  refill();
}

void LoadNorm::refill() {
  for (Index expert = 0; expert < weight_.rows(); ++expert) divide(expert);
  load_.clear();
  for (Index slot = 0; slot < placement_->num_slots(); ++slot) {
    Lanes* load = load_[placement_->machine().gpu(slot)];
    const Lanes* replica = replica_[placement_->expert(slot)];
    for (Index i = 0; i < width_; ++i) load[i] += replica[i];
  }
}

void LoadNorm::linearise(int doublings) {
  doublings_ = doublings;
  Lanes* slope = slope_[0];
  slope_.clear();
  for (Index gpu = 0; gpu < load_.rows(); ++gpu) {
    const Lanes rate = all_lanes(placement_->machine().rate(gpu));
    for (Index i = 0; i < width_; ++i) {
      power_[gpu][i] = power(load_[gpu][i] * rate, doublings);
      slope[i] += power_[gpu][i];
    }
  }
  double everything = 0.0;
  for (Index r = 0; r < num_scenarios_; ++r) everything += slope_(0, r);
  // For the worst scenario the norm runs over GPUs and scenarios; else each scenario has its own.
  for (Index r = 0; r < num_scenarios_; ++r) {
    slope_(0, r) = slope_of(r, worst_ ? everything : slope_(0, r));
  }
  for (Index gpu = 0; gpu < load_.rows(); ++gpu) {
    cost_[gpu] = 0.0;
    for (Index r = 0; r < num_scenarios_; ++r) cost_[gpu] += slope_(0, r) * power_(gpu, r);
  }
}

double LoadNorm::slope_of(Index scenario, double total) const {
  const double share = worst_ ? 1.0 : share_[scenario];
  return share * root(total, doublings_) / total / static_cast<double>(Index{1} << doublings_);
}

double LoadNorm::objective() const {
  double total = 0.0, highest = 0.0;
  for (Index r = 0; r < num_scenarios_; ++r) {
    double peak = 0.0;
    for (Index gpu = 0; gpu < load_.rows(); ++gpu) {
      peak = std::max(peak, load_(gpu, r) * placement_->machine().rate(gpu));
    }
    total += share_[r] * peak;
    highest = std::max(highest, peak);
  }
  return worst_ ? highest : total;
}

double LoadNorm::largest() const {
  double highest = 0.0;
  for (Index gpu = 0; gpu < load_.rows(); ++gpu) {
    for (Index r = 0; r < num_scenarios_; ++r) {
      highest = std::max(highest, load_(gpu, r) * placement_->machine().rate(gpu));
    }
  }
  return highest;
}

}  // namespace eplb::annealing
