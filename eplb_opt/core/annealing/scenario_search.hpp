// Annealing of one layer under several loads.
#pragma once

#include "annealing/scenario_state.hpp"
#include "common/clock.hpp"

namespace eplb::annealing {

// How a stretch of annealing goes.
struct Stretch {
  int doublings;       // the norm's p is 2**doublings
  double temperature;  // in units of the objective
  double price;        // what a moved slot costs, likewise
  Index transfers;     // transfers among kFine proposals
};

class ScenarioSearch {
 public:
  ScenarioSearch(const Machine& machine, const Scenarios& scenarios, const Start& start,
                 Chance chance)
      : state_(machine, scenarios, start, std::move(chance)) {}

  // Goes on from another plan; the best ones are kept.
  void restart(std::span<const Index> slots);
  // So many slices of swaps and transfers, fewer where the time is over.
  void anneal(const Stretch& stretch, Index slices, Deadline deadline);
  // So many transfers, each with the swaps that mend what it spoils.
  void anneal_mended(int doublings, double temperature, Index proposals, Deadline deadline);

  const BestPlans& best() const { return state_.best; }
  double least() const { return std::ranges::min(state_.best.values()); }
  const Placement& placement() const { return state_.placement; }
  double largest_load() const { return state_.norm.largest(); }

 private:
  ScenarioState state_;
  Index slices_ = 0;  // since the last restart
};

}  // namespace eplb::annealing
