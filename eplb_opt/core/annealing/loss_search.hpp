// Annealing of one layer for the least largest load after any single loss.
#pragma once

#include "annealing/best_plans.hpp"
#include "annealing/loss_loads.hpp"
#include "annealing/proposal.hpp"
#include "common/clock.hpp"

namespace eplb::annealing {

// How a stretch of the search goes.
struct LossStretch {
  double most;         // tokens that a loss may take for good, in units of the weights
  int doublings;       // the norm's p is 2**doublings
  double temperature;  // in units of the norm
};

class LossSearch {
 public:
  LossSearch(const Machine& machine, const Losses& losses, std::span<const Index> slots,
             Chance chance);
  LossSearch(const LossSearch&) = delete;
  LossSearch& operator=(const LossSearch&) = delete;

  // Goes on from the best plan.
  void restart();
  // So many proposals, fewer where the time is over.
  void anneal(const LossStretch& stretch, Index proposals, Deadline deadline);

  double best() const { return best_.values()[0]; }
  std::span<const Index> best_slots() const { return best_.slots(0); }
  // The largest load after any loss, of the plan that the last stretch ended with.
  double largest_load() const { return loads_.peak(); }
  double most_taken() { return loads_.most_taken(); }

 private:
  Machine machine_;
  Placement placement_;
  LossLoads loads_;
  BestPlans best_;
  Proposer proposer_;
};

}  // namespace eplb::annealing
