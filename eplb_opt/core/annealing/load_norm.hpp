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

// A replica of expert a leaves GPU g for GPU h, and one of b comes back.
struct Exchange {
  Index g, h, a, b;
};

// Of its two GPUs.
struct SwapCosts {
  double g, h;
};

class LoadNorm {
 public:
  LoadNorm(const Placement& placement, const Scenarios& scenarios);

  // Replica loads and GPU loads anew from the placement: rounding errors grow with each move.
  EPLB_INLINE void refill();
  // Linearises the norm at the present loads, and takes the GPUs' costs anew; p is 2**doublings.
  EPLB_INLINE void linearise(int doublings);

  // What every GPU carries beside its replicas from now on, [num_scenarios]; nothing at first.
  EPLB_INLINE void set_beside(std::span<const double> beside);
  // What the linearised norm grows by with it.
  EPLB_INLINE double slope_beside(Index scenario) const;

  // The true objective.
  EPLB_INLINE double objective() const;
  // The largest GPU load of any scenario.
  double largest() const;

  std::span<const double> costs() const { return cost_; }
  double cost(Index gpu) const { return cost_[gpu]; }
  void set_cost(Index gpu, double cost) { cost_[gpu] = cost; }
  void set_gpu(Index gpu, const Lanes* load, double cost) {
    std::copy_n(load, width_, load_[gpu]);
    cost_[gpu] = cost;
  }
  // The loads of all GPUs, [num_gpus, num_scenarios]; the costs follow when it is linearised.
  void set_loads(const LaneTable& load) { load_ = load; }
  // Loads and costs as they were.
  void restore(const LaneTable& load, std::span<const double> cost) {
    load_ = load;
    std::ranges::copy(cost, cost_.begin());
  }

  // The costs of two GPUs after a swap.
  EPLB_INLINE SwapCosts costs_after(const Exchange& swap) const;
  // The cost of a GPU with these loads.
  EPLB_INLINE double cost_of(Index gpu, const Lanes* load) const;
  // The loads then.
  EPLB_INLINE void exchange(const Exchange& swap);

  // The replicas of an expert are as many as the placement has now.
  EPLB_INLINE void divide(Index expert) {
    const Lanes parts = all_lanes(static_cast<double>(placement_->count(expert)));
    for (Index i = 0; i < width_; ++i) replica_[expert][i] = weight_[expert][i] / parts;
  }

  const LaneTable& weight() const { return weight_; }
  const LaneTable& replica() const { return replica_; }
  const LaneTable& load() const { return load_; }

 private:
  double rate(Index gpu) const { return placement_->machine().rate(gpu); }
  // What becomes the costs of two GPUs: whole lanes added up, and the last one that is not full.
  struct SwapTerms {
    Lanes g{}, h{}, rest_g{}, rest_h{};
  };
  template <Index kWidth>
  EPLB_INLINE void add_terms(const Exchange& swap, Index from, SwapTerms& terms) const;
  // Scenarios are added up in four sums side by side, what is left over to the first.
  EPLB_INLINE double added_up(Lanes sums, Lanes rest) const;
  double slope_of(Index scenario, double total) const;

  const Placement* placement_;
  std::vector<double> share_;
  bool worst_;
  int doublings_ = 0;
  Index num_scenarios_, width_;
  LaneTable weight_, replica_;  // [num_experts, num_scenarios]
  LaneTable load_, power_;      // [num_gpus, num_scenarios]
  LaneTable slope_;             // [1, num_scenarios], what a p-th power is worth in the objective
  LaneTable beside_;            // [1, num_scenarios]
  std::vector<double> cost_;    // [num_gpus], the linearised norm's terms
};

EPLB_INLINE void LoadNorm::refill() {
  for (Index expert = 0; expert < weight_.rows(); ++expert) divide(expert);
  for (Index gpu = 0; gpu < load_.rows(); ++gpu) {
    const Lanes parts = all_lanes(rate(gpu));
    for (Index i = 0; i < width_; ++i) load_[gpu][i] = beside_[0][i] / parts;
  }
  for (Index slot = 0; slot < placement_->num_slots(); ++slot) {
    Lanes* load = load_[placement_->machine().gpu(slot)];
    const Lanes* replica = replica_[placement_->expert(slot)];
    for (Index i = 0; i < width_; ++i) load[i] += replica[i];
  }
}

EPLB_INLINE void LoadNorm::set_beside(std::span<const double> beside) {
  for (Index r = 0; r < num_scenarios_; ++r) {
    const double more = beside[r] - beside_(0, r);
    for (Index gpu = 0; gpu < load_.rows(); ++gpu) load_(gpu, r) += more / rate(gpu);
    beside_(0, r) = beside[r];
  }
}

EPLB_INLINE double LoadNorm::slope_beside(Index scenario) const {
  double sum = 0.0;
  for (Index gpu = 0; gpu < load_.rows(); ++gpu) {
    const double held = load_(gpu, scenario) * rate(gpu);
    if (held > 0.0) sum += power_(gpu, scenario) / held;
  }
  return slope_(0, scenario) * sum * static_cast<double>(Index{1} << doublings_);
}

EPLB_INLINE void LoadNorm::linearise(int doublings) {
  doublings_ = doublings;
  Lanes* slope = slope_[0];
  slope_.clear();
  for (Index gpu = 0; gpu < load_.rows(); ++gpu) {
    const Lanes factor = all_lanes(rate(gpu));
    for (Index i = 0; i < width_; ++i) {
      power_[gpu][i] = power(load_[gpu][i] * factor, doublings);
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

EPLB_INLINE double LoadNorm::objective() const {
  double total = 0.0, highest = 0.0;
  for (Index r = 0; r < num_scenarios_; ++r) {
    double peak = 0.0;
    for (Index gpu = 0; gpu < load_.rows(); ++gpu) {
      peak = std::max(peak, load_(gpu, r) * rate(gpu));
    }
    total += share_[r] * peak;
    highest = std::max(highest, peak);
  }
  return worst_ ? highest : total;
}

EPLB_INLINE double LoadNorm::added_up(Lanes sums, Lanes rest) const {
  double first = sums[0];
  for (Index r = 0; r < num_scenarios_ % kLanes; ++r) first += rest[r];
  return (first + sums[1]) + (sums[2] + sums[3]);
}

template <Index kWidth>
EPLB_INLINE void LoadNorm::add_terms(const Exchange& swap, Index from, SwapTerms& terms) const {
  const Lanes *on_g = load_[swap.g] + from, *on_h = load_[swap.h] + from;
  const Lanes *of_a = replica_[swap.a] + from, *of_b = replica_[swap.b] + from;
  const Lanes rate_g = all_lanes(rate(swap.g)), rate_h = all_lanes(rate(swap.h));
  Lanes power_g[kWidth], power_h[kWidth];
  for (Index i = 0; i < kWidth; ++i) {
    power_g[i] = (on_g[i] - of_a[i] + of_b[i]) * rate_g;
    power_h[i] = (on_h[i] - of_b[i] + of_a[i]) * rate_h;
  }
  // All side by side: one by itself is a chain in which every product waits for the one before.
  for (int doubling = 0; doubling < doublings_; ++doubling) {
    for (Index i = 0; i < kWidth; ++i) {
      power_g[i] *= power_g[i];
      power_h[i] *= power_h[i];
    }
  }
  for (Index i = 0; i < kWidth; ++i) {
    const bool is_whole = from + i < num_scenarios_ / kLanes;
    (is_whole ? terms.g : terms.rest_g) += slope_[0][from + i] * power_g[i];
    (is_whole ? terms.h : terms.rest_h) += slope_[0][from + i] * power_h[i];
  }
}

EPLB_INLINE SwapCosts LoadNorm::costs_after(const Exchange& swap) const {
  SwapTerms terms;
  Index from = 0;
  for (; from + 2 <= width_; from += 2) add_terms<2>(swap, from, terms);
  if (from < width_) add_terms<1>(swap, from, terms);
  return {added_up(terms.g, terms.rest_g), added_up(terms.h, terms.rest_h)};
}

EPLB_INLINE double LoadNorm::cost_of(Index gpu, const Lanes* load) const {
  const Lanes factor = all_lanes(rate(gpu));
  double total = 0.0;
  for (Index i = 0; i < width_; ++i) {
    const Lanes term = slope_[0][i] * power(load[i] * factor, doublings_);
    for (Index r = 0; r < std::min(kLanes, num_scenarios_ - i * kLanes); ++r) total += term[r];
  }
  return total;
}

EPLB_INLINE void LoadNorm::exchange(const Exchange& swap) {
  const auto [g, h, a, b] = swap;
  for (Index i = 0; i < width_; ++i) {
    const Lanes moved = replica_[a][i] - replica_[b][i];
    load_[g][i] -= moved;
    load_[h][i] += moved;
  }
}

}  // namespace eplb::annealing
