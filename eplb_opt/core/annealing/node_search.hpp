// Annealing of one layer for the largest GPU load plus a price on what is served away from home,
// that decides which replicas a node has, and not on which of its GPUs they stand.
#pragma once

#include "annealing/best_plans.hpp"
#include "annealing/sorted_nodes.hpp"
#include "annealing/topology_search.hpp"

namespace eplb::annealing {

// `Pairs` for GPUs of two slots, where the objective is the plan's; with `Packs` it is that of plans
// whose nodes could be packed perfectly, and the plan is packed greedily.
template <typename Fill>
class NodeSearch {
 public:
  NodeSearch(const Machine& machine, Table<const double> weight, const Homes& homes,
             std::span<const Index> slots, Chance chance, Fill fill);
  NodeSearch(const NodeSearch&) = delete;
  NodeSearch& operator=(const NodeSearch&) = delete;

  // Goes on from another plan with other homes; the best plan is kept.
  void restart(std::span<const Index> slots, std::span<const Index> home);
  // So many slices of proposals, fewer where the time is over.
  void anneal(const TopologyStretch& stretch, Index slices, Deadline deadline);

  const Placement& placement() const { return placement_; }
  const Traffic& traffic() const { return traffic_; }
  double best() const { return best_.values()[0]; }
  std::span<const Index> best_slots() const { return best_.slots(0); }
  double largest_load() { return nodes_.largest(); }
  double away() const { return traffic_.away(); }

 private:
  template <typename>
  friend class NodeMoves;
  template <typename>
  friend struct NodeSlices;

  double objective() {
    return nodes_.largest() + traffic_.price() * traffic_.away() + nodes_.excess();
  }

  Machine machine_;
  Placement placement_;
  Traffic traffic_;
  SortedNodes<Fill> nodes_;
  BestPlans best_;
  Proposer proposer_;
  Index slices_ = 0;  // since the last restart
};

using PairedSearch = NodeSearch<Pairs>;
using PackedSearch = NodeSearch<Packs>;

}  // namespace eplb::annealing
