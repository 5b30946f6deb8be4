#include "annealing/design_flows.hpp"

namespace eplb::annealing {

DesignFlows::DesignFlows(const Placement& placement, Table<const double> weight)
    : placement_(placement),
      weight_(weight.rows(), weight.columns()),
      flow_(placement.num_slots(), weight.columns()),
      load_(placement.machine().num_gpus(), weight.columns()),
      flow_log_(placement.num_slots(), weight.columns()),
      load_log_(placement.machine().num_gpus(), weight.columns()),
      near_mark_(weight.rows()) {
  for (Index expert = 0; expert < weight.rows(); ++expert) {
    for (Index r = 0; r < weight.columns(); ++r) weight_(expert, r) = weight(expert, r);
  }
  refill();
}

void DesignFlows::refill() {
  for (Index slot = 0; slot < placement_.num_slots(); ++slot) {
    const Index expert = placement_.expert(slot);
    const auto count = static_cast<double>(placement_.count(expert));
    for (Index r = 0; r < num_loads(); ++r) flow_(slot, r) = weight_(expert, r) / count;
  }
  add_up();
}

void DesignFlows::add_up() {
  load_.clear();
  for (Index slot = 0; slot < placement_.num_slots(); ++slot) {
    for (Index r = 0; r < num_loads(); ++r) load_(gpu(slot), r) += flow_(slot, r) * rate(slot);
  }
}

void DesignFlows::change_loads(Table<const double> fresh) {
  for (Index expert = 0; expert < weight_.rows(); ++expert) {
    const std::span<const Index> copies = placement_.copies(expert);
    for (Index r = 0; r < num_loads(); ++r) {
      double old = 0.0;
      for (const Index slot : copies) old += flow_(slot, r);
      for (const Index slot : copies) {
        const double part =
            old > 0.0 ? flow_(slot, r) / old : 1.0 / static_cast<double>(copies.size());
        flow_(slot, r) = part * fresh(expert, r);
      }
      weight_(expert, r) = fresh(expert, r);
    }
  }
}

// All experts with several replicas, compiled for the widest vectors.
struct DesignFlows::Sweeps {
  DesignFlows& flows;
  std::span<const Index> experts;
  Index times;

  EPLB_INLINE void run() {
    for (; times > 0; --times) flows.level_to_and_fro(experts);
  }
};

void DesignFlows::settle_all(Index times) {
  add_up();
  std::vector<Index> several;
  for (Index expert = 0; expert < placement_.num_experts(); ++expert) {
    if (placement_.count(expert) > 1) several.push_back(expert);
  }
  Sweeps sweeps{*this, several, times};
  with_widest_vectors(sweeps);
}

}  // namespace eplb::annealing
