// A copy transfer together with the swaps that mend what it spoils, judged as one move.
//
// With few slots a GPU a transfer alone hardly ever lowers the norm: each GPU that loses its share
// of an expert wants another partner first. So the GPUs that it makes costlier are paired anew, the
// one that rose most first, by the best swap with any slot; then the whole is kept or taken back.
#pragma once

#include <vector>

#include "annealing/scenario_state.hpp"
#include "annealing/swap_effect.hpp"

namespace eplb::annealing {

class MendedTransfers {
 public:
  MendedTransfers(ScenarioState& state, double temperature)
      : state_(state),
        temperature_(temperature),
        old_cost_(state.norm.costs().begin(), state.norm.costs().end()),
        old_load_(state.norm.load()),
        old_total_(sum(old_cost_)) {}

  EPLB_INLINE const Placement& placement() const { return state_.placement; }

  EPLB_INLINE Proposal propose() {
    Proposer& proposer = state_.proposer;
    limit_ = temperature_ * proposer.threshold();
    const Index q = proposer.slot();
    // The expert that gets more stands on the costlier of two GPUs.
    const Index p = proposer.neighbour(q), other = proposer.neighbour(q);
    return {true, cost_at(other) > cost_at(p) ? other : p, q};
  }

  EPLB_INLINE bool accepts(const Proposal& transfer) {
    old_expert_ = placement().expert(transfer.q);
    mends_.clear();
    state_.effect.measure(placement(), state_.norm, transfer);
    state_.effect.make(state_.placement, state_.norm, transfer);
    while (std::ssize(mends_) < kMends && mend()) continue;
    total_ = sum(state_.norm.costs());
    return total_ - old_total_ < limit_;
  }

  EPLB_INLINE void keep(const Proposal&) {
    state_.keep_best();
    std::ranges::copy(state_.norm.costs(), old_cost_.begin());
    old_load_ = state_.norm.load();
    old_total_ = total_;
  }

  EPLB_INLINE void undo(const Proposal& transfer) {
    for (; !mends_.empty(); mends_.pop_back()) {
      state_.placement.swap(mends_.back().p, mends_.back().q);
    }
    const Index fresh = placement().expert(transfer.q);
    state_.placement.transfer_back(transfer.q, old_expert_);
    state_.norm.divide(fresh);
    state_.norm.divide(old_expert_);
    state_.norm.restore(old_load_, old_cost_);
  }

 private:
  // Swaps after a transfer, at most.
  static constexpr Index kMends = 6;
  // What counts as a gain: above the rounding errors of a cost.
  static constexpr double kLeastGain = 1e-12;

  static double sum(std::span<const double> costs) {
    double total = 0.0;
    for (const double cost : costs) total += cost;
    return total;
  }

  EPLB_INLINE double cost_at(Index slot) const {
    return state_.norm.cost(state_.machine.gpu(slot));
  }

  // The GPU whose cost rose most, -1 where none did.
  EPLB_INLINE Index most_risen() const {
    Index worst = -1;
    double most = kLeastGain;
    for (Index gpu = 0; gpu < std::ssize(old_cost_); ++gpu) {
      const double rise = state_.norm.cost(gpu) - old_cost_[gpu];
      if (rise > most) {
        worst = gpu;
        most = rise;
      }
    }
    return worst;
  }

  // Makes the best swap for the GPU that rose most; whether there is one that gains.
  EPLB_INLINE bool mend() {
    const Index gpu = most_risen();
    if (gpu < 0) return false;
    const Machine& machine = state_.machine;
    const Index low = machine.node_begin(machine.begin(gpu));
    Proposal best{false, -1, -1};
    SwapEffect best_effect, effect;
    double gain = kLeastGain;
    for (Index p = machine.begin(gpu); p < machine.end(gpu); ++p) {
      for (Index q = low; q < low + machine.node_size(); ++q) {
        const Proposal swap{false, p, q};
        if (machine.gpu(q) == gpu || placement().expert(p) == placement().expert(q)) continue;
        const double now = state_.norm.cost(gpu) + cost_at(q);
        if (!(effect.measure(placement(), state_.norm, swap) < now - gain)) continue;
        if (!is_allowed(placement(), swap)) continue;
        best = swap;
        best_effect = effect;
        gain = now - effect.costs().g - effect.costs().h;
      }
    }
    if (best.p < 0) return false;
    best_effect.make(state_.placement, state_.norm, best);
    mends_.push_back(best);
    return true;
  }

  ScenarioState& state_;
  double temperature_;
  std::vector<double> old_cost_;  // as it was before the transfer, like the next ones
  LaneTable old_load_;
  double old_total_;
  double limit_ = 0.0, total_ = 0.0;
  Index old_expert_ = -1;
  std::vector<Proposal> mends_;
};

}  // namespace eplb::annealing
