// The loads of all GPUs under several scenarios, and the p-norm by which moves are judged.
//
// The objective, a weighted sum over scenarios of the largest GPU load, does not see a swap that
// leaves the largest alone. So moves are judged by the p-norm of the GPU loads instead, linearised
// in its p-th powers: then a GPU has a cost of its own, and a swap changes two of them. The norm is
// concave in the powers, so a gain by the linearised cost is one by the norm.
//
// Everything is additions, multiplications, divisions and square roots of float64 in a fixed order,
// so that the plan after a number of moves is the same on every machine.
#pragma once

#include <vector>

#include "annealing/placement.hpp"
#include "common/lanes.hpp"

namespace eplb::annealing {

// What a layer is planned for.
struct Scenarios {
  Table<const double> weight;     // of each expert in each scenario, over the mean GPU load there
  std::span<const double> share;  // what each scenario counts
  bool worst;                     // whether the worst one counts instead of the weighted sum
};

EPLB_INLINE Lanes power(Lanes value, int doublings) {
  for (; doublings > 0; --doublings) value *= value;
  return value;
}

class LoadNorm {
 public:
  LoadNorm(const Placement& placement, const Scenarios& scenarios);

  // Replica loads and GPU loads anew from the placement: rounding errors grow with each move.
  void refill();
  // Linearises the norm at the present loads, and takes the GPUs' costs anew; p is 2**doublings.
  void linearise(int doublings);

  // The true objective.
  double objective() const;
  // The largest GPU load of any scenario.
  double largest() const;

  std::span<const double> costs() const { return cost_; }
  double cost(Index gpu) const { return cost_[gpu]; }
  void set_cost(Index gpu, double cost) { cost_[gpu] = cost; }
  void set_gpu(Index gpu, const Lanes* load, double cost) {
    std::copy_n(load, width_, load_[gpu]);
    cost_[gpu] = cost;
  }
  // Loads and costs as they were.
  void restore(const LaneTable& load, std::span<const double> cost) {
    load_ = load;
    std::ranges::copy(cost, cost_.begin());
  }

  // The cost of a GPU with a replica of `out` replaced by one of `in`.
  EPLB_INLINE double cost_after(Index gpu, Index out, Index in) const;
  // The cost of a GPU with these loads.
  EPLB_INLINE double cost_of(Index gpu, const Lanes* load) const;
  // A replica of a leaves GPU g for GPU h, and one of b comes back.
  EPLB_INLINE void exchange(Index g, Index h, Index a, Index b);

  // The replicas of an expert are as many as the placement has now.
  void divide(Index expert) { divide(expert, placement_->count(expert)); }

  const LaneTable& weight() const { return weight_; }
  const LaneTable& replica() const { return replica_; }
  const LaneTable& load() const { return load_; }

 private:
  void divide(Index expert, Index count) {
    const Lanes parts = all_lanes(static_cast<double>(count));
    for (Index i = 0; i < width_; ++i) replica_[expert][i] = weight_[expert][i] / parts;
  }
  double slope_of(Index scenario, double total) const;

  const Placement* placement_;
  std::vector<double> share_;
  bool worst_;
  int doublings_ = 0;
  Index num_scenarios_, width_;
  LaneTable weight_, replica_;  // [num_experts, num_scenarios]
  LaneTable load_, power_;      // [num_gpus, num_scenarios]
  LaneTable slope_;             // [1, num_scenarios], what a p-th power is worth in the objective
  std::vector<double> cost_;    // [num_gpus], the linearised norm's terms
};

EPLB_INLINE double LoadNorm::cost_after(Index gpu, Index out, Index in) const {
  const Lanes *load = load_[gpu], *less = replica_[out], *more = replica_[in], *slope = slope_[0];
  const Lanes rate = all_lanes(placement_->machine().rate(gpu));
  const auto term = [&](Index i) __attribute__((always_inline)) {
    return slope[i] * power((load[i] - less[i] + more[i]) * rate, doublings_);
  };
  // Four sums side by side: one chain of additions would take several times as long.
  Lanes sum{};
  const Index whole = num_scenarios_ / kLanes;
  for (Index i = 0; i < whole; ++i) sum += term(i);
  double first = sum[0];
  if (whole < width_) {
    const Lanes rest = term(whole);
    for (Index r = 0; r < num_scenarios_ % kLanes; ++r) first += rest[r];
  }
  return (first + sum[1]) + (sum[2] + sum[3]);
}

EPLB_INLINE double LoadNorm::cost_of(Index gpu, const Lanes* load) const {
  const Lanes rate = all_lanes(placement_->machine().rate(gpu));
  double total = 0.0;
  for (Index i = 0; i < width_; ++i) {
    const Lanes term = slope_[0][i] * power(load[i] * rate, doublings_);
    for (Index r = 0; r < std::min(kLanes, num_scenarios_ - i * kLanes); ++r) total += term[r];
  }
  return total;
}

EPLB_INLINE void LoadNorm::exchange(Index g, Index h, Index a, Index b) {
  for (Index i = 0; i < width_; ++i) {
    const Lanes moved = replica_[a][i] - replica_[b][i];
    load_[g][i] -= moved;
    load_[h][i] += moved;
  }
}

}  // namespace eplb::annealing
