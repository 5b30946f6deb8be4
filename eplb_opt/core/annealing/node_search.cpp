#include "annealing/node_search.hpp"

#include "annealing/annealer.hpp"

namespace eplb::annealing {

namespace {

// Proposals between two looks at the true objective; the norm's slope is renewed with them.
constexpr Index kSlice = 256;
// Slices after which traffic is added up anew.
constexpr Index kRefresh = 16;
// Draws of a slot that is not at home, before one that is will do.
constexpr int kDraws = 4;

}  // namespace

// Swaps between nodes and transfers, judged by the linearised norm and the price of what is away.
template <typename Fill>
class NodeMoves {
 public:
  NodeMoves(NodeSearch<Fill>& search, const TopologyStretch& stretch)
      : search_(search), stretch_(stretch) {}

  EPLB_INLINE const Placement& placement() const { return search_.placement_; }

  EPLB_INLINE Proposal propose() {
    Proposer& proposer = search_.proposer_;
    const Traffic& traffic = search_.traffic_;
    limit_ = stretch_.temperature * proposer.threshold();
    Index p = proposer.slot();
    if (proposer.happens(stretch_.transfers)) {
      const Index q = proposer.happens(stretch_.settling)
                          ? on_node(traffic.home(placement().expert(p)))
                          : proposer.slot();
      return {true, p, q};
    }
    if (!proposer.happens(stretch_.homeward)) return {false, p, proposer.slot()};
    for (int i = 0; i < kDraws && home_of(p) == traffic.nodes().of(p); ++i) p = proposer.slot();
    return {false, p, on_node(home_of(p))};
  }

  EPLB_INLINE bool accepts(const Proposal& proposal) {
    const Traffic& traffic = search_.traffic_;
    if (!proposal.is_transfer && traffic.nodes().of(proposal.p) == traffic.nodes().of(proposal.q)) return false;
    const double added = traffic.added_by(proposal);
    if (!traffic.allows(proposal, added)) return false;
    return search_.nodes_.added_by(proposal) + traffic.price() * added < limit_;
  }

  EPLB_INLINE void keep(const Proposal& proposal) {
    search_.traffic_.follow(proposal);
    search_.nodes_.keep();
    if (proposal.is_transfer) {
      search_.placement_.transfer(proposal.q, placement().expert(proposal.p));
    } else {
      search_.placement_.swap(proposal.p, proposal.q);
    }
  }

  EPLB_INLINE void undo(const Proposal&) {}

 private:
  EPLB_INLINE Index home_of(Index slot) const {
    return search_.traffic_.home(placement().expert(slot));
  }

  EPLB_INLINE Index on_node(Index node) {
    const Traffic& traffic = search_.traffic_;
    return search_.proposer_.within(traffic.nodes().begin(node), traffic.nodes().size(node));
  }

  NodeSearch<Fill>& search_;
  TopologyStretch stretch_;
  double limit_ = 0.0;
};

// Slices of them: after each the plan is looked at, and the norm linearised anew.
template <typename Fill>
struct NodeSlices {
  NodeSearch<Fill>& search;
  TopologyStretch stretch;
  Index num;
  Deadline deadline;

  EPLB_INLINE void run() {
    NodeMoves<Fill> moves(search, stretch);
    for (; num > 0 && !deadline.expired(); --num) {
      if (search.slices_ % kRefresh == 0) search.traffic_.refill();
      if (search.slices_ == 0) {
        search.nodes_.refill();
        offer();
      }
      ++search.slices_;
      search.nodes_.linearise(stretch.doublings);
      anneal(moves, kSlice);
      offer();
    }
  }

  EPLB_INLINE void offer() {
    const double value = search.objective();
    if (value < search.best()) search.best_.offer(value, 0, search.nodes_.slots());
  }
};

template <typename Fill>
NodeSearch<Fill>::NodeSearch(const Machine& machine, Table<const double> weight, const Homes& homes,
                             std::span<const Index> slots, Chance chance, Fill fill)
    : machine_(machine),
      placement_(machine_, weight.rows(), slots),
      traffic_(placement_, homes),
      nodes_(placement_, traffic_, weight.all(), std::move(fill)),
      best_(1, slots),
      proposer_(machine_, std::move(chance)) {}

template <typename Fill>
void NodeSearch<Fill>::restart(std::span<const Index> slots, std::span<const Index> home) {
  placement_.reset(slots);
  traffic_.rehome(home);
  nodes_.refill();
  slices_ = 0;
}

template <typename Fill>
void NodeSearch<Fill>::anneal(const TopologyStretch& stretch, Index slices, Deadline deadline) {
  NodeSlices<Fill> body{*this, stretch, slices, deadline};
  with_widest_vectors(body);
}

template class NodeSearch<Pairs>;
template class NodeSearch<Packs>;

}  // namespace eplb::annealing
