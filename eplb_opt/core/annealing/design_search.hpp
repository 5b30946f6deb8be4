// Annealing of a placement that is split freely: every proposal lets the tokens flow anew.
//
// A swap or copy transfer changes what two GPUs hold; the experts with several replicas around them
// then level what they can, under all loads at once, and the p-norm of the GPU loads says what the
// move was worth. Moves are undone from a log: that is what makes a proposal cost microseconds. The
// flows of the whole placement are settled only at every look.
#pragma once

#include "annealing/best_plans.hpp"
#include "annealing/design_flows.hpp"
#include "annealing/design_norm.hpp"
#include "annealing/scenario_search.hpp"

namespace eplb::annealing {

// What a design is made for.
struct DesignTask {
  Table<const double> weight;        // loads over the load's mean GPU load, by expert and load
  bool worst;                        // whether the worst load counts instead of the weighted mean
  std::span<const double> heaviest;  // the largest known load of each expert
  double slack;  // a copy goes from one expert to another only where the former's replicas are then
                 // at most so many times as heavy as the latter's are now
};

class DesignSearch {
 public:
  DesignSearch(const Machine& machine, const DesignTask& task, const Start& start, Chance chance);
  DesignSearch(const DesignSearch&) = delete;  // its parts refer to each other
  DesignSearch& operator=(const DesignSearch&) = delete;

  // What each load counts.
  void set_shares(std::span<const double> share) { norm_.set_shares(share); }
  // Other loads on the same placement.
  void change_loads(Table<const double> weight) { flows_.change_loads(weight); }
  // Goes on from another plan; the best ones are kept.
  void restart(std::span<const Index> slots);
  // So many proposals, fewer where the time is over, between two looks at the whole placement.
  void anneal(const Stretch& stretch, Index proposals, Deadline deadline);
  // Values under other loads, or other shares of them, do not compare.
  void forget_best() { best_.forget(); }

  const BestPlans& best() const { return best_; }
  const Placement& placement() const { return placement_; }
  const DesignFlows& flows() const { return flows_; }
  Index num_loads() const { return flows_.num_loads(); }
  // Of each load, the largest GPU load now.
  std::vector<double> peaks() const;

 private:
  class Policy;
  struct Part;

  void look();
  double worth() const;

  Machine machine_;
  Placement placement_;
  DesignFlows flows_;
  DesignNorm norm_;
  PlanInForce in_force_;
  BestPlans best_;
  Proposer proposer_;
  std::vector<double> heaviest_;
  double slack_;
};

}  // namespace eplb::annealing
