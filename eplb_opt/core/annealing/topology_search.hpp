// Annealing of one layer for the largest GPU load plus a price on what links cost.
#pragma once

#include "annealing/best_plans.hpp"
#include "annealing/load_norm.hpp"
#include "annealing/proposal.hpp"
#include "annealing/scenario_away.hpp"
#include "annealing/traffic.hpp"
#include "annealing/transfer_effect.hpp"
#include "common/clock.hpp"

namespace eplb::annealing {

// How a stretch of annealing goes; chances are parts of kFine.
struct TopologyStretch {
  int doublings;       // the norm's p is 2**doublings
  double temperature;  // in units of the objective
  Index transfers;     // proposals that are transfers
  Index near;          // swaps with both slots on one node
  Index homeward;      // other swaps that bring an expert where it costs little: home
  Index settling;      // transfers whose further replica comes to such a place
};

// With several loads `homes.share` are the experts' weighted shares. Where the worst of the loads
// counts, `part` are their shares in each, and the limit on what is away holds for each; else it
// has no columns.
class TopologySearch {
 public:
  TopologySearch(const Machine& machine, const Scenarios& scenarios, Table<const double> part,
                 const Homes& homes, std::span<const Index> slots, Chance chance);
  TopologySearch(const TopologySearch&) = delete;
  TopologySearch& operator=(const TopologySearch&) = delete;

  // Goes on from another plan with other homes; the best plan is kept.
  void restart(std::span<const Index> slots, std::span<const Index> home);
  // So many slices of proposals, fewer where the time is over.
  void anneal(const TopologyStretch& stretch, Index slices, Deadline deadline);

  const Placement& placement() const { return placement_; }
  const Traffic& traffic() const { return traffic_; }
  double best() const { return best_.values()[0]; }
  std::span<const Index> best_slots() const { return best_.slots(0); }
  double largest_load() const { return norm_.largest(); }
  double away() const { return traffic_.away(); }

 private:
  friend class TopologyMoves;
  friend struct TopologySlices;

  double objective() const {
    return norm_.objective() + (worst_ ? 0.0 : traffic_.price() * traffic_.away());
  }

  Machine machine_;
  bool worst_, doubles_;
  Placement placement_;
  LoadNorm norm_;
  TransferEffect effect_;
  Traffic traffic_;
  ScenarioAway scenario_away_;
  BestPlans best_;
  Proposer proposer_;
  Index slices_ = 0;  // since the last restart
};

}  // namespace eplb::annealing
