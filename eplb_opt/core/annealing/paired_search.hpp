// Annealing of one layer for the largest GPU load plus a price on what is served away from home,
// where GPUs have two slots: it decides which replicas a node has, and the pairs follow.
#pragma once

#include "annealing/best_plans.hpp"
#include "annealing/paired_nodes.hpp"
#include "annealing/topology_search.hpp"

namespace eplb::annealing {

class PairedSearch {
 public:
  PairedSearch(const Machine& machine, Table<const double> weight, const Homes& homes,
               std::span<const Index> slots, Chance chance);
  PairedSearch(const PairedSearch&) = delete;
  PairedSearch& operator=(const PairedSearch&) = delete;

  // Goes on from another plan with other homes; the best plan is kept.
  void restart(std::span<const Index> slots, std::span<const Index> home);
  // So many slices of proposals, fewer where the time is over.
  void anneal(const TopologyStretch& stretch, Index slices, Deadline deadline);

  const Placement& placement() const { return placement_; }
  const Traffic& traffic() const { return traffic_; }
  double best() const { return best_.values()[0]; }
  std::span<const Index> best_slots() const { return best_.slots(0); }
  double largest_load() const { return nodes_.largest(); }
  double away() const { return traffic_.away(); }

 private:
  friend class PairedMoves;
  friend struct PairedSlices;

  double objective() const { return nodes_.largest() + traffic_.price() * traffic_.away(); }

  Machine machine_;
  Placement placement_;
  Traffic traffic_;
  PairedNodes nodes_;
  BestPlans best_;
  Proposer proposer_;
  Index slices_ = 0;  // since the last restart
};

}  // namespace eplb::annealing
