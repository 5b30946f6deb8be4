// The loads that any single loss leaves.
//
// When a unit (a GPU or a node) is lost, the tokens of its replicas go evenly to those that are
// left. So a GPU then carries, for each of its slots, the expert's load over the replicas that the
// unit did not take along. A plan is judged by the p-norm of these loads over all units and all
// GPUs that are left.
#pragma once

#include <vector>

#include "annealing/placement.hpp"
#include "common/lanes.hpp"

namespace eplb::annealing {

// What is asked of a plan that is to bear a loss.
struct Losses {
  std::span<const double> weight;  // of each expert, over the mean that the largest loss leaves
  std::span<const Index> unit;     // of each GPU: those of one unit are lost together
  std::span<const bool> guarded;   // experts that stand in two units and are to stay so
};

// What is known of one GPU.
struct LossRow {
  double powers = 0.0;  // its part of the norm's p-th power
  double peak = 0.0;    // its largest load after any loss
  double alone = 0.0;   // its part of the tokens that the loss of its unit takes for good
};

class LossLoads {
 public:
  LossLoads(const Placement& placement, const Losses& losses)
      : placement_(&placement),
        num_units_(1 + *std::ranges::max_element(losses.unit)),
        weight_(losses.weight.begin(), losses.weight.end()),
        unit_(losses.unit.begin(), losses.unit.end()),
        guarded_(losses.guarded.begin(), losses.guarded.end()),
        taken_(placement.num_experts() * num_units_),
        part_(placement.num_experts(), num_units_),
        gpu_(placement.machine().num_gpus()),
        unit_sum_(num_units_) {}

  // Everything anew from the placement, the GPUs left out.
  void refill() {
    std::ranges::fill(taken_, 0);
    for (Index slot = 0; slot < placement_->num_slots(); ++slot) {
      ++taken(placement_->expert(slot), unit_of(slot));
    }
    for (Index expert = 0; expert < placement_->num_experts(); ++expert) divide(expert);
  }

  // A slot has changed its expert.
  EPLB_INLINE void replace(Index slot, Index old, Index fresh) {
    --taken(old, unit_of(slot));
    ++taken(fresh, unit_of(slot));
  }

  // Whether an expert stands in two units, where it must or has two replicas.
  EPLB_INLINE bool is_safe(Index expert) const {
    if (!guarded_[expert] && placement_->count(expert) == 1) return true;
    Index units = 0;
    for (Index unit = 0; unit < num_units_; ++unit) units += taken(expert, unit) > 0 ? 1 : 0;
    return units > 1;
  }

  // What a replica of the expert carries after each loss.
  EPLB_INLINE void divide(Index expert) {
    const Index count = placement_->count(expert);
    for (Index unit = 0; unit < num_units_; ++unit) {
      const Index left = count - taken(expert, unit);
      part_(expert, unit) = left > 0 ? weight_[expert] / static_cast<double>(left) : 0.0;
    }
  }

  // A GPU anew; the norm's p is 2**doublings.
  EPLB_INLINE void look_at(Index gpu, int doublings);

  LossRow& gpu(Index gpu) { return gpu_[gpu]; }
  LaneTable& part() { return part_; }
  Index num_units() const { return num_units_; }

  // The sum of the GPUs' powers.
  double powers() const {
    double total = 0.0;
    for (const LossRow& row : gpu_) total += row.powers;
    return total;
  }
  double peak() const {
    double highest = 0.0;
    for (const LossRow& row : gpu_) highest = std::max(highest, row.peak);
    return highest;
  }
  // The most tokens that the loss of one unit takes for good.
  double most_taken() {
    std::ranges::fill(unit_sum_, 0.0);
    for (std::size_t gpu = 0; gpu < gpu_.size(); ++gpu) unit_sum_[unit_[gpu]] += gpu_[gpu].alone;
    return *std::ranges::max_element(unit_sum_);
  }

 private:
  Index unit_of(Index slot) const { return unit_[placement_->machine().gpu(slot)]; }
  Index& taken(Index expert, Index unit) { return taken_[expert * num_units_ + unit]; }
  Index taken(Index expert, Index unit) const { return taken_[expert * num_units_ + unit]; }

  const Placement* placement_;
  Index num_units_;
  std::vector<double> weight_;
  std::vector<Index> unit_;
  std::vector<bool> guarded_;
  std::vector<Index> taken_;  // [num_experts, num_units], the replicas that a loss takes along
  LaneTable part_;            // [num_experts, num_units], what one that is left carries then
  std::vector<LossRow> gpu_;
  std::vector<double> unit_sum_;
};

EPLB_INLINE void LossLoads::look_at(Index gpu, int doublings) {
  const Machine& machine = placement_->machine();
  const Index home = unit_[gpu];
  const Lanes rate = all_lanes(machine.rate(gpu));
  LossRow row;
  for (Index i = 0; i < part_.width(); ++i) {
    Lanes load{};
    for (Index slot = machine.begin(gpu); slot < machine.end(gpu); ++slot) {
      load += part_[placement_->expert(slot)][i];
    }
    load *= rate;
    const Lanes powers = power(load, doublings);
    for (Index lane = 0; lane < kLanes; ++lane) {
      const Index unit = i * kLanes + lane;
      if (unit == home || unit >= num_units_) continue;
      row.peak = std::max(row.peak, load[lane]);
      row.powers += powers[lane];
    }
  }
  for (Index slot = machine.begin(gpu); slot < machine.end(gpu); ++slot) {
    const Index expert = placement_->expert(slot), count = placement_->count(expert);
    if (count == taken(expert, home)) row.alone += weight_[expert] / static_cast<double>(count);
  }
  gpu_[gpu] = row;
}

}  // namespace eplb::annealing
