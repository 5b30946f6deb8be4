// What is above the least level goes along shortest paths of experts to GPUs below it.
#pragma once

#include <cstdint>
#include <vector>

#include "dispatch/pour.hpp"

namespace eplb::dispatch {

// Augmenting paths, and Newton's method on the level (as for parametric flows: Radzik, "Newton's
// method for fractional combinatorial optimization", 1992). A breadth-first search from the GPUs
// above the target finds a forest of shortest paths along experts whose tokens can go elsewhere.
// GPUs below the target that it reaches take what they have room for, each by way of its parent in
// the forest, leaves first. Where it reaches none, the experts of the GPUs that it did reach live on
// these alone: no split is below their mean level, which is the next target.
class Paths {
 public:
  explicit Paths(const Speeds& speeds);

  // Changes the flow until no GPU is above a target that no split is below, and returns that one;
  // `target` is a first such level. Ends after so many searches at the latest.
  double level_out(Flow& flow, const LayerRoutes& routes, double target, Index most_searches);

 private:
  void search();
  void add_roots();
  void expand(Index gpu);
  void pull();
  double mean_level() const;
  double room(Index gpu) const { return target_ * speeds_[gpu] - flow_->level[gpu]; }

  const Speeds& speeds_;
  Flow* flow_ = nullptr;
  const LayerRoutes* routes_ = nullptr;
  double target_ = 0.0;
  double surplus_ = 0.0, found_ = 0.0;   // what roots have above the target; room that was reached
  std::vector<std::int32_t> reached_;    // GPUs, roots first
  Index num_roots_ = 0, num_reached_ = 0;
  std::vector<std::int32_t> from_, to_;  // by reached GPU: its parent's pair, and its own
  std::int32_t search_ = 0;              // its number: what bears it was met in this search
  std::vector<std::int32_t> gpu_met_;    // by GPU
  std::vector<std::int32_t> expert_met_;  // by expert with several hosts
};

}  // namespace eplb::dispatch
