#include "annealing/topology_search.hpp"

#include <limits>

#include "annealing/annealer.hpp"
#include "annealing/swap_effect.hpp"

namespace eplb::annealing {

namespace {

// Proposals between two looks at the true objective; the norm's slopes are renewed with them.
constexpr Index kSlice = 256;
// Slices after which loads and traffic are added up anew.
constexpr Index kRefresh = 16;
// No limit on what is away: it is looked at elsewhere.
constexpr double kAny = std::numeric_limits<double>::infinity();

// Where the worst load counts, experts' shares are in units of the objective already.
Homes homes_for(const Homes& homes, bool worst) {
  Homes found = homes;
  if (worst) found.price = 1.0, found.most = kAny;
  return found;
}

}  // namespace

// Swaps and transfers, judged by the linearised norm and the price of what links cost.
class TopologyMoves {
 public:
  TopologyMoves(TopologySearch& search, const TopologyStretch& stretch)
      : search_(search), stretch_(stretch) {}

  EPLB_INLINE const Placement& placement() const { return search_.placement_; }

  EPLB_INLINE Proposal propose() {
    Proposer& proposer = search_.proposer_;
    const Traffic& traffic = search_.traffic_;
    limit_ = stretch_.temperature * proposer.threshold();
    Proposal proposal = proposer.by_cost(search_.norm_.costs(), stretch_.transfers);
    // The slot that `by_cost` has chosen among all, on one node now.
    Index& partner = proposal.is_transfer ? proposal.p : proposal.q;
    if (proposal.is_transfer) {
      if (proposer.happens(stretch_.settling)) proposal.q = at_little_cost(partner);
    } else if (proposer.happens(stretch_.near)) {
      partner = in_range(traffic.nodes(), traffic.nodes().of(proposal.p));
    } else if (proposer.happens(stretch_.homeward)) {
      proposal.p = proposer.slot();
      partner = at_little_cost(proposal.p);
    }
    return proposal;
  }

  EPLB_INLINE bool accepts(const Proposal& proposal) {
    const double added = search_.traffic_.added_by(proposal);
    if (!search_.traffic_.allows(proposal, added)) return false;
    limit_ -= search_.traffic_.price() * added;
    if (proposal.is_transfer) {
      return search_.effect_.measure(placement(), search_.norm_, proposal) < limit_;
    }
    limit_ += cost_at(proposal.p) + cost_at(proposal.q);
    // What GPUs cost afterwards is above 0, and takes the longest to tell.
    return limit_ > 0.0 && swap_.measure(placement(), search_.norm_, proposal) < limit_;
  }

  EPLB_INLINE void keep(const Proposal& proposal) {
    search_.traffic_.follow(proposal);
    if (proposal.is_transfer) {
      search_.effect_.make(search_.placement_, search_.norm_, proposal);
    } else {
      swap_.make(search_.placement_, search_.norm_, proposal);
    }
  }

  EPLB_INLINE void undo(const Proposal&) {}

 private:
  // A slot where an assignment of another slot's expert costs little.
  EPLB_INLINE Index at_little_cost(Index slot) {
    const Traffic& traffic = search_.traffic_;
    const std::span<const Index> places = traffic.cheap_places(placement().expert(slot));
    const Index num = std::ssize(places);
    return in_range(traffic.places(), places[num > 1 ? search_.proposer_.within(0, num) : 0]);
  }

  EPLB_INLINE Index in_range(const SlotRanges& ranges, Index range) {
    return search_.proposer_.within(ranges.begin(range), ranges.size(range));
  }

  EPLB_INLINE double cost_at(Index slot) const {
    return search_.norm_.cost(search_.machine_.gpu(slot));
  }

  TopologySearch& search_;
  TopologyStretch stretch_;
  SwapEffect swap_;
  double limit_ = 0.0;
};

// Slices of them: after each the plan is looked at, and the norm linearised anew.
struct TopologySlices {
  TopologySearch& search;
  TopologyStretch stretch;
  Index num;
  Deadline deadline;

  EPLB_INLINE void run() {
    TopologyMoves moves(search, stretch);
    for (; num > 0 && !deadline.expired(); --num) {
      if (search.slices_ % kRefresh == 0) {
        search.norm_.refill();
        search.traffic_.refill();
      }
      if (search.slices_ == 0) offer();
      ++search.slices_;
      search.norm_.linearise(stretch.doublings);
      if (search.worst_) search.scenario_away_.weigh(search.traffic_, search.norm_);
      anneal(moves, kSlice);
      offer();
    }
  }

  EPLB_INLINE void offer() {
    if (search.worst_) {
      search.scenario_away_.look(search.traffic_, search.norm_);
      if (!search.scenario_away_.is_allowed()) return;
    }
    search.best_.offer(search.objective(), 0, search.placement_.slots());
  }
};

TopologySearch::TopologySearch(const Machine& machine, const Scenarios& scenarios,
                               Table<const double> part, const Homes& homes,
                               std::span<const Index> slots, Chance chance)
    : machine_(machine),
      worst_(scenarios.worst),
      placement_(machine_, scenarios.weight.rows(), slots),
      norm_(placement_, scenarios),
      effect_(norm_),
      traffic_(placement_, homes_for(homes, scenarios.worst)),
      scenario_away_(part, homes.price, homes.most),
      best_(1, slots),
      proposer_(machine_, std::move(chance)) {}

void TopologySearch::restart(std::span<const Index> slots, std::span<const Index> home) {
  placement_.reset(slots);
  norm_.refill();
  traffic_.rehome(home);
  slices_ = 0;
}

void TopologySearch::anneal(const TopologyStretch& stretch, Index slices, Deadline deadline) {
  TopologySlices body{*this, stretch, slices, deadline};
  with_widest_vectors(body);
}

}  // namespace eplb::annealing
