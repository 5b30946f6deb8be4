// All that an annealing under several loads works on.
#pragma once

#include "annealing/best_plans.hpp"
#include "annealing/load_norm.hpp"
#include "annealing/proposal.hpp"
#include "annealing/transfer_effect.hpp"

namespace eplb::annealing {

// What a search starts from.
struct Start {
  std::span<const Index> slots;
  Table<const bool> held;  // see PlanInForce
};

struct ScenarioState {
  ScenarioState(const Machine& gpus, const Scenarios& scenarios, const Start& start, Chance chance)
      : machine(gpus),
        placement(machine, scenarios.weight.rows(), start.slots),
        norm(placement, scenarios),
        effect(norm),
        in_force(start.held),
        best(in_force.exists() ? placement.num_slots() + 1 : 1, start.slots),
        proposer(machine, std::move(chance)) {}
  ScenarioState(const ScenarioState&) = delete;  // its parts refer to each other
  ScenarioState& operator=(const ScenarioState&) = delete;

  EPLB_INLINE void keep_best() {
    best.offer(norm.objective(), in_force.num_moves(placement), placement.slots());
  }

  Machine machine;
  Placement placement;
  LoadNorm norm;
  TransferEffect effect;
  PlanInForce in_force;
  BestPlans best;
  Proposer proposer;
};

}  // namespace eplb::annealing
