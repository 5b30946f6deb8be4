#include "annealing/scenario_search.hpp"

#include "annealing/annealer.hpp"
#include "annealing/mended_transfers.hpp"
#include "annealing/swap_effect.hpp"

namespace eplb::annealing {

namespace {

// Proposals between two looks at the true objective; the norm's slopes are renewed with them.
constexpr Index kSlice = 256;
// Slices after which loads are added up anew.
constexpr Index kRefresh = 16;

// Swaps and transfers, each for itself.
class SwapsAndTransfers {
 public:
  SwapsAndTransfers(ScenarioState& state, const Stretch& stretch)
      : state_(state), stretch_(stretch) {}

  EPLB_INLINE const Placement& placement() const { return state_.placement; }

  EPLB_INLINE Proposal propose() {
    limit_ = stretch_.temperature * state_.proposer.threshold();
    return state_.proposer.by_cost(state_.norm.costs(), stretch_.transfers);
  }

  EPLB_INLINE bool accepts(const Proposal& proposal) {
    if (stretch_.price > 0.0) {
      limit_ -= stretch_.price * state_.in_force.added_by(placement(), proposal);
    }
    if (proposal.is_transfer) {
      return state_.effect.measure(placement(), state_.norm, proposal) < limit_;
    }
    limit_ += cost_at(proposal.p) + cost_at(proposal.q);
    return swap_.is_below(limit_, placement(), state_.norm, proposal);
  }

  EPLB_INLINE void keep(const Proposal& proposal) {
    if (proposal.is_transfer) {
      state_.effect.make(state_.placement, state_.norm, proposal);
    } else {
      swap_.make(state_.placement, state_.norm, proposal);
    }
  }

  EPLB_INLINE void undo(const Proposal&) {}

 private:
  EPLB_INLINE double cost_at(Index slot) const {
    return state_.norm.cost(state_.machine.gpu(slot));
  }

  ScenarioState& state_;
  Stretch stretch_;
  SwapEffect swap_;
  double limit_ = 0.0;
};

}  // namespace

void ScenarioSearch::restart(std::span<const Index> slots) {
  state_.placement.reset(slots);
  state_.norm.refill();
  slices_ = 0;
}

void ScenarioSearch::anneal(const Stretch& stretch, Index slices, Deadline deadline) {
  SwapsAndTransfers policy(state_, stretch);
  for (; slices > 0 && !deadline.expired(); --slices) {
    if (slices_ % kRefresh == 0) state_.norm.refill();
    if (slices_ == 0) state_.keep_best();
    ++slices_;
    state_.norm.linearise(stretch.doublings);
    annealing::anneal(policy, kSlice);
    state_.keep_best();
  }
}

void ScenarioSearch::anneal_mended(int doublings, double temperature, Index proposals,
                                   Deadline deadline) {
  state_.norm.refill();
  state_.norm.linearise(doublings);
  MendedTransfers policy(state_, temperature);
  for (; proposals > 0 && !deadline.expired(); --proposals) annealing::anneal(policy, 1);
}

}  // namespace eplb::annealing
