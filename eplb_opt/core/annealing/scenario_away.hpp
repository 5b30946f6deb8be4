// What is served away from home where the worst of several scenarios counts.
//
// The objective is then the largest, over scenarios, of the largest GPU load plus the price of what
// is away. So that what is away counts on every GPU's load of its scenario, and the norm over GPUs
// and scenarios sees both. Between two looks at it the norm is taken as linear in what is away: an
// expert's share is that of all scenarios, each by what the norm grows with it.
#pragma once

#include <vector>

#include "annealing/load_norm.hpp"
#include "annealing/traffic.hpp"

namespace eplb::annealing {

class ScenarioAway {
 public:
  // `part` is each expert's part of all tokens in each scenario, [num_experts, num_scenarios].
  ScenarioAway(Table<const double> part, double price, double most)
      : price_(price),
        most_(most),
        part_(part.all().begin(), part.all().end()),
        away_(part.columns()),
        beside_(part.columns()),
        weight_(part.columns()),
        share_(part.rows()) {}

  // What is away now, told to the norm.
  EPLB_INLINE void look(const Traffic& traffic, LoadNorm& norm) {
    std::ranges::fill(away_, 0.0);
    auto part = part_.begin();
    for (Index expert = 0; expert < std::ssize(share_); ++expert) {
      const double off = traffic.part_off(expert);
      for (double& away : away_) away += *part++ * off;
    }
    for (std::size_t r = 0; r < away_.size(); ++r) beside_[r] = price_ * away_[r];
    norm.set_beside(beside_);
  }

  // Whether no scenario has more away than is allowed.
  EPLB_INLINE bool is_allowed() const {
    return std::ranges::all_of(away_, [&](double away) { return away <= most_; });
  }

  // Experts' shares as the linearised norm weighs the scenarios; those above the limit weigh most.
  EPLB_INLINE void weigh(Traffic& traffic, const LoadNorm& norm) {
    for (std::size_t r = 0; r < away_.size(); ++r) {
      const double excess = away_[r] > most_ ? kExcess : 0.0;
      weight_[r] = price_ * norm.slope_beside(static_cast<Index>(r)) + excess;
    }
    auto part = part_.begin();
    for (double& share : share_) {
      share = 0.0;
      for (const double weight : weight_) share += *part++ * weight;
    }
    traffic.reshare(share_);
  }

 private:
  // The price of what is above the limit, in mean GPU loads.
  static constexpr double kExcess = 10.0;

  double price_, most_;
  std::vector<double> part_;
  std::vector<double> away_, beside_, weight_;  // of scenarios
  std::vector<double> share_;                   // of experts
};

}  // namespace eplb::annealing
