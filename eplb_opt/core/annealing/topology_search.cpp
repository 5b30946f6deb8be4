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
// Swaps of which two are made at once, of the same two GPUs, as parts of kFine. Loads that are many
// numbers, and costs of every GPU for itself, leave a single swap little to gain.
constexpr Index kDoubles = 500;
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
      : search_(search),
        stretch_(stretch),
        after_(2, search.norm_.load().columns()) {}

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
    is_double_ = !proposal.is_transfer && search_.doubles_ && proposer.happens(kDoubles);
    if (is_double_) second_ = {false, on_gpu_of(proposal.p), on_gpu_of(proposal.q)};
    return proposal;
  }

  EPLB_INLINE bool accepts(const Proposal& proposal) {
    double added = search_.traffic_.added_by(proposal);
    is_double_ = is_double_ && go_together(proposal);
    if (is_double_) {
      added += search_.traffic_.added_by(second_);
      if (!search_.traffic_.allows(second_, added)) return false;
    }
    if (!search_.traffic_.allows(proposal, added)) return false;
    limit_ -= search_.traffic_.price() * added;
    if (proposal.is_transfer) {
      return search_.effect_.measure(placement(), search_.norm_, proposal) < limit_;
    }
    limit_ += cost_at(proposal.p) + cost_at(proposal.q);
    // What GPUs cost afterwards is above 0, and takes the longest to tell.
    if (limit_ <= 0.0) return false;
    return (is_double_ ? measure_both(proposal)
                       : swap_.measure(placement(), search_.norm_, proposal)) < limit_;
  }

  EPLB_INLINE void keep(const Proposal& proposal) {
    search_.traffic_.follow(proposal);
    if (is_double_) {
      search_.traffic_.follow(second_);
      for (const Proposal& swap : {proposal, second_}) search_.placement_.swap(swap.p, swap.q);
      search_.norm_.set_gpu(search_.machine_.gpu(proposal.p), after_[0], costs_.g);
      search_.norm_.set_gpu(search_.machine_.gpu(proposal.q), after_[1], costs_.h);
      return;
    }
    if (proposal.is_transfer) {
      search_.effect_.make(search_.placement_, search_.norm_, proposal);
    } else {
      swap_.make(search_.placement_, search_.norm_, proposal);
    }
  }

  EPLB_INLINE void undo(const Proposal&) {}

 private:
  EPLB_INLINE Index on_gpu_of(Index slot) {
    const Index gpu = search_.machine_.gpu(slot), begin = search_.machine_.begin(gpu);
    return search_.proposer_.within(begin, search_.machine_.end(gpu) - begin);
  }

  // Whether the second swap can be made with the first: then all four experts differ.
  EPLB_INLINE bool go_together(const Proposal& first) const {
    const Placement& at = placement();
    const Index a = at.expert(first.p), b = at.expert(first.q);
    const Index c = at.expert(second_.p), d = at.expert(second_.q);
    return a != c && a != d && b != c && b != d && is_allowed(at, second_);
  }

  // What the two GPUs of both swaps cost together afterwards.
  EPLB_INLINE double measure_both(const Proposal& first) {
    const Placement& at = placement();
    const LoadNorm& norm = search_.norm_;
    const Index g = search_.machine_.gpu(first.p), h = search_.machine_.gpu(first.q);
    const Lanes *a = norm.replica()[at.expert(first.p)], *b = norm.replica()[at.expert(first.q)];
    const Lanes *c = norm.replica()[at.expert(second_.p)], *d = norm.replica()[at.expert(second_.q)];
    for (Index i = 0; i < after_.width(); ++i) {
      const Lanes moved = (a[i] - b[i]) + (c[i] - d[i]);
      after_[0][i] = norm.load()[g][i] - moved;
      after_[1][i] = norm.load()[h][i] + moved;
    }
    costs_ = {norm.cost_of(g, after_[0]), norm.cost_of(h, after_[1])};
    return costs_.g + costs_.h;
  }

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
  bool is_double_ = false;
  Proposal second_{};  // the other swap of the same two GPUs
  LaneTable after_;  // loads of the two GPUs, [2, num_scenarios]
  SwapCosts costs_{};
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
      doubles_(scenarios.weight.columns() > 1 || !homes.by_home),
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
