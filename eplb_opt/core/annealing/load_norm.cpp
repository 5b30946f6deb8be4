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
      beside_(1, num_scenarios_),
      cost_(placement.machine().num_gpus()) {
  for (Index expert = 0; expert < weight_.rows(); ++expert) {
    for (Index r = 0; r < num_scenarios_; ++r) weight_(expert, r) = scenarios.weight(expert, r);
  }
  refill();
}

double LoadNorm::slope_of(Index scenario, double total) const {
  const double share = worst_ ? 1.0 : share_[scenario];
  return share * root(total, doublings_) / total / static_cast<double>(Index{1} << doublings_);
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
