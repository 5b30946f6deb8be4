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
    return swap_.measure(placement(), state_.norm, proposal) < limit_;
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

// Slices of them: before and after each the plan is looked at, and the norm linearised anew.
struct Slices {
  ScenarioState& state;
  Stretch stretch;
  Index num, *done;
  Deadline deadline;

  EPLB_INLINE void run() {
    SwapsAndTransfers policy(state, stretch);
    for (; num > 0 && !deadline.expired(); --num) {
      if (*done % kRefresh == 0) state.norm.refill();
      if (*done == 0) state.keep_best();
      ++*done;
      state.norm.linearise(stretch.doublings);
      anneal(policy, kSlice);
      state.keep_best();
    }
  }
};

struct Mends {
  ScenarioState& state;
  int doublings;
  double temperature;
  Index num;
  Deadline deadline;

  EPLB_INLINE void run() {
    state.norm.refill();
    state.norm.linearise(doublings);
    MendedTransfers policy(state, temperature);
    for (; num > 0 && !deadline.expired(); --num) anneal(policy, 1);
  }
};

}  // namespace

void ScenarioSearch::restart(std::span<const Index> slots) {
  state_.placement.reset(slots);
  state_.norm.refill();
  slices_ = 0;
}

void ScenarioSearch::anneal(const Stretch& stretch, Index slices, Deadline deadline) {
  Slices body{state_, stretch, slices, &slices_, deadline};
  with_widest_vectors(body);
}

void ScenarioSearch::anneal_mended(int doublings, double temperature, Index proposals,
                                   Deadline deadline) {
  Mends body{state_, doublings, temperature, proposals, deadline};
  with_widest_vectors(body);
}

}  // namespace eplb::annealing
