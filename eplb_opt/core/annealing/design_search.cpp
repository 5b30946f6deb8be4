#include "annealing/design_search.hpp"

#include <algorithm>

#include "annealing/annealer.hpp"

namespace eplb::annealing {

namespace {

// Proposals between two looks at the clock.
constexpr Index kSlice = 512;
// Sweeps to and fro at each look at the whole placement.
constexpr Index kSweeps = 6;

}  // namespace

// Makes every proposal, lets the tokens flow, and undoes what was not worth it.
class DesignSearch::Policy {
 public:
  Policy(DesignSearch& search, const Stretch& stretch) : search_(search), stretch_(stretch) {}

  EPLB_INLINE const Placement& placement() const { return search_.placement_; }

  EPLB_INLINE Proposal propose() {
    const Proposal drawn = search_.proposer_.by_cost(search_.norm_.costs(), stretch_.transfers);
    if (drawn.is_transfer && takes_from_heavy(drawn)) return {true, drawn.p, drawn.p};  // nothing
    return drawn;
  }

  EPLB_INLINE bool accepts(const Proposal& proposal) {
    double limit =
        search_.norm_.value() + stretch_.temperature * search_.proposer_.threshold();
    if (stretch_.price > 0.0) {
      limit -= stretch_.price * search_.in_force_.added_by(placement(), proposal);
    }
    make(proposal);
    return search_.norm_.try_loads(search_.flows_.load(), search_.flows_.touched()) <= limit;
  }

  EPLB_INLINE void keep(const Proposal&) { search_.norm_.keep(search_.flows_.touched()); }

  EPLB_INLINE void undo(const Proposal& proposal) {
    search_.norm_.undo(search_.flows_.touched());
    search_.flows_.undo();
    if (proposal.is_transfer) {
      search_.placement_.transfer_back(proposal.q, old_);
    } else {
      search_.placement_.swap(proposal.p, proposal.q);
    }
  }

 private:
  // A heavy expert keeps its copies: alone on a GPU it could overload that by itself.
  EPLB_INLINE bool takes_from_heavy(const Proposal& proposal) const {
    const Index a = placement().expert(proposal.p), b = placement().expert(proposal.q);
    return search_.heaviest_[a] * search_.slack_ * static_cast<double>(placement().count(b) - 1) <
           search_.heaviest_[b] * static_cast<double>(placement().count(a));
  }

  EPLB_INLINE void make(const Proposal& proposal) {
    DesignFlows& flows = search_.flows_;
    flows.begin_move();
    if (!proposal.is_transfer) {
      search_.placement_.swap(proposal.p, proposal.q);
      flows.swap(proposal.p, proposal.q);
      flows.settle_around(-1);
      return;
    }
    const Index fresh = placement().expert(proposal.p);
    old_ = placement().expert(proposal.q);
    flows.note_transfer(proposal.q);
    search_.placement_.transfer(proposal.q, fresh);
    flows.transfer(proposal.q, old_);
    flows.settle_around(fresh);
  }

  DesignSearch& search_;
  Stretch stretch_;
  Index old_ = -1;  // what slot q of a transfer had
};

// Some proposals, compiled for the widest vectors.
struct DesignSearch::Part {
  Policy& policy;
  Index num_proposals;

  EPLB_INLINE void run() { annealing::anneal(policy, num_proposals); }
};

DesignSearch::DesignSearch(const Machine& machine, const DesignTask& task, const Start& start,
                           Chance chance)
    : machine_(machine),
      placement_(machine_, task.weight.rows(), start.slots),
      flows_(placement_, task.weight),
      norm_(machine_.num_gpus(), task.weight.columns(), task.worst),
      in_force_(start.held),
      best_(in_force_.exists() ? placement_.num_slots() + 1 : 1, start.slots),
      proposer_(machine_, std::move(chance)),
      heaviest_(task.heaviest.begin(), task.heaviest.end()),
      slack_(task.slack) {}

void DesignSearch::restart(std::span<const Index> slots) {
  placement_.reset(slots);
  flows_.refill();
}

void DesignSearch::anneal(const Stretch& stretch, Index proposals, Deadline deadline) {
  look();
  norm_.renew(flows_.load(), stretch.doublings);
  Policy policy(*this, stretch);
  while (proposals > 0 && !deadline.expired()) {
    Part part{policy, std::min(proposals, kSlice)};
    with_widest_vectors(part);
    proposals -= kSlice;
  }
  look();
}

void DesignSearch::look() {
  flows_.settle_all(kSweeps);
  best_.offer(worth(), in_force_.num_moves(placement_), placement_.slots());
}

std::vector<double> DesignSearch::peaks() const {
  std::vector<double> peak(num_loads());
  for (Index gpu = 0; gpu < machine_.num_gpus(); ++gpu) {
    for (Index r = 0; r < num_loads(); ++r) peak[r] = std::max(peak[r], flows_.load()(gpu, r));
  }
  return peak;
}

// The largest GPU load, of the worst load or the weighted mean of all.
double DesignSearch::worth() const {
  double total = 0.0, highest = 0.0;
  const std::vector<double> peak = peaks();
  for (Index r = 0; r < num_loads(); ++r) {
    total += norm_.share(r) * peak[r];
    highest = std::max(highest, peak[r]);
  }
  return norm_.worst() ? highest : total;
}

}  // namespace eplb::annealing
