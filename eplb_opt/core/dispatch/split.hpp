// The split of tokens over replicas that makes the largest GPU load (over speed) least.
#pragma once

#include "dispatch/paths.hpp"

namespace eplb::dispatch {

struct Effort {
  Index num_sweeps;     // before the paths, at least 1
  Index most_searches;  // for paths in a layer, where these are fewer than enough
};

// Splits one layer after the other. A sweep moves load over one expert only, and along chains of
// experts hundreds of sweeps are not enough: a few of them, then augmenting paths to the end.
// Every sum has one order: the same bytes everywhere.
class Splitter {
 public:
  Splitter(const Speeds& speeds, Effort effort) : speeds_(speeds), effort_(effort), paths_(speeds) {}

  // Writes each slot's share of its expert's tokens, [num_slots], and returns the largest level that
  // no split is below. `load` is finite and at least 0, [num_experts]; experts without a slot have
  // none. Copies on one GPU get equal parts; experts without load are split evenly.
  double split(const LayerRoutes& routes, std::span<const double> load, std::span<double> weights);

 private:
  double split_moderate(const LayerRoutes& routes, std::span<const double> load, double tokens);
  double highest_alone(const LayerRoutes& routes) const;
  void share_out(const LayerRoutes& routes, std::span<const double> load,
                 std::span<double> weights);

  const Speeds& speeds_;
  Effort effort_;
  Flow flow_;
  Paths paths_;
  std::vector<double> scaled_;
};

}  // namespace eplb::dispatch
