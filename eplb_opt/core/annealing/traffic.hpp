// What a layer's assignments cost on the links that they take.
//
// Every replica of an expert serves the same part of its tokens, so an expert's assignments cost its
// share times the mean of the costs at its replicas' places: by default 0 on the node where it is at
// home and 1 elsewhere. A swap or a transfer changes it for two experts.
#pragma once

#include <algorithm>
#include <vector>

#include "annealing/placement.hpp"
#include "annealing/proposal.hpp"

namespace eplb::annealing {

// Where experts are at home, what an assignment costs where, and what the rules say of it.
struct Homes {
  std::span<const double> share;  // of each expert among all tokens
  std::span<const Index> home;    // node of each expert
  std::span<const Index> node;    // node of each GPU, ascending; every node has one
  std::span<const Index> place;   // place of each GPU, likewise: its node, or a part of it
  Table<const double> cost;       // of an assignment; a row for each home node, or each expert
  bool by_home;                   // whether rows are home nodes
  double price;                   // of a mean cost of 1, in mean GPU loads
  double most;                    // the largest mean cost that may be
  bool anchored;                  // whether every expert keeps a replica at home
};

// The slots of every node, or of every place: those of one after those of another.
class SlotRanges {
 public:
  SlotRanges(const Machine& machine, std::span<const Index> range_of_gpu) {
    for (Index slot = 0; slot < machine.num_slots(); ++slot) {
      range_.push_back(range_of_gpu[machine.gpu(slot)]);
      if (range_.back() == std::ssize(begin_)) begin_.push_back(slot);
    }
    begin_.push_back(machine.num_slots());
  }

  Index of(Index slot) const { return range_[slot]; }
  Index begin(Index range) const { return begin_[range]; }
  Index size(Index range) const { return begin_[range + 1] - begin_[range]; }
  Index num() const { return std::ssize(begin_) - 1; }

 private:
  std::vector<Index> range_, begin_;  // of each slot; first slot of each range, and the end
};

class Traffic {
 public:
  Traffic(const Placement& placement, const Homes& homes)
      : placement_(&placement),
        price_(homes.price),
        most_(homes.most),
        anchored_(homes.anchored),
        by_home_(homes.by_home),
        share_(homes.share.begin(), homes.share.end()),
        home_(homes.home.begin(), homes.home.end()),
        at_home_(homes.home.size()),
        row_(homes.home.size()),
        sum_(homes.home.size()),
        nodes_(placement.machine(), homes.node),
        places_(placement.machine(), homes.place) {
    for (Index row = 0; row < homes.cost.rows(); ++row) add_row(homes.cost[row]);
    for (Index expert = 0; expert < std::ssize(row_); ++expert) row_[expert] = expert;
    rehome(homes.home);
  }

  // Everything anew from the placement: rounding errors grow with each move.
  void refill() {
    std::ranges::fill(at_home_, 0);
    std::ranges::fill(sum_, 0.0);
    for (Index slot = 0; slot < placement_->num_slots(); ++slot) {
      const Index expert = placement_->expert(slot);
      at_home_[expert] += is_home(expert, slot);
      sum_[expert] += cost(expert, slot);
    }
    away_ = 0.0;
    for (Index expert = 0; expert < std::ssize(share_); ++expert) {
      away_ += mean_cost(expert, placement_->count(expert), sum_[expert]);
    }
  }

  // Other homes, for the placement as it is.
  void rehome(std::span<const Index> home) {
    home_.assign(home.begin(), home.end());
    if (by_home_) row_ = home_;
    refill();
  }

  // Other shares of the experts among all tokens.
  void reshare(std::span<const double> share) {
    share_.assign(share.begin(), share.end());
    refill();
  }

  // The mean cost of an expert's assignments: by default the part served away from home.
  EPLB_INLINE double part_off(Index expert) const {
    return sum_[expert] / static_cast<double>(placement_->count(expert));
  }

  double price() const { return price_; }
  // The mean cost of an assignment; by default the part of all tokens served away from home.
  double away() const { return away_; }
  Index home(Index expert) const { return home_[expert]; }
  // Nodes, and the places whose costs are told apart.
  const SlotRanges& nodes() const { return nodes_; }
  const SlotRanges& places() const { return places_; }
  // The places where an assignment of an expert costs little.
  EPLB_INLINE std::span<const Index> cheap_places(Index expert) const {
    const Index row = row_[expert];
    return std::span(cheap_).subspan(cheap_begin_[row], cheap_begin_[row + 1] - cheap_begin_[row]);
  }

  // What a proposal that changes something adds to the mean cost.
  EPLB_INLINE double added_by(const Proposal& proposal) const {
    const Change change = change_of(proposal);
    return change.a.away + change.b.away;
  }

  // Whether the rules on homes allow a proposal that adds so much.
  EPLB_INLINE bool allows(const Proposal& proposal, double added) const {
    if (added > 0.0 && away_ + added > most_) return false;
    if (!anchored_) return true;
    const Index p = proposal.p, q = proposal.q;
    const Index a = placement_->expert(p), b = placement_->expert(q);
    return at_home_[a] + came_home(a, p, q, proposal.is_transfer) > 0 &&
           at_home_[b] - went_away(b, p, q, proposal.is_transfer) > 0;
  }

  // To be called before the placement makes the proposal.
  EPLB_INLINE void follow(const Proposal& proposal) {
    const Change change = change_of(proposal);
    const Index p = proposal.p, q = proposal.q;
    const Index a = placement_->expert(p), b = placement_->expert(q);
    sum_[a] += change.a.cost;
    sum_[b] += change.b.cost;
    away_ += change.a.away + change.b.away;
    if (!anchored_) return;
    at_home_[a] += came_home(a, p, q, proposal.is_transfer);
    at_home_[b] -= went_away(b, p, q, proposal.is_transfer);
  }

 private:
  // What a proposal adds to the costs at an expert's replicas, and to the mean cost of all tokens.
  struct Side {
    double cost, away;
  };
  struct Change {
    Side a, b;
  };

  // A cost below half way from the least to the mean is little; by default that is home alone.
  void add_row(std::span<const double> costs) {
    double least = costs[0], mean = 0.0;
    for (const double one : costs) {
      least = std::min(least, one);
      mean += one / static_cast<double>(std::ssize(costs));
    }
    for (Index place = 0; place < std::ssize(costs); ++place) {
      if (costs[place] <= (least + mean) / 2) cheap_.push_back(place);
    }
    cheap_begin_.push_back(std::ssize(cheap_));
    cost_.insert(cost_.end(), costs.begin(), costs.end());
  }

  EPLB_INLINE Index is_home(Index expert, Index slot) const {
    return home_[expert] == nodes_.of(slot) ? 1 : 0;
  }

  // Replicas at home that expert a gains in slot q, which it had in p where it is a swap.
  EPLB_INLINE Index came_home(Index a, Index p, Index q, bool is_transfer) const {
    return is_home(a, q) - (is_transfer ? 0 : is_home(a, p));
  }

  // Replicas at home that expert b loses with slot q, for p where it is a swap.
  EPLB_INLINE Index went_away(Index b, Index p, Index q, bool is_transfer) const {
    return is_home(b, q) - (is_transfer ? 0 : is_home(b, p));
  }

  EPLB_INLINE double cost(Index expert, Index slot) const {
    return cost_[row_[expert] * places_.num() + places_.of(slot)];
  }

  EPLB_INLINE double mean_cost(Index expert, Index count, double sum) const {
    return share_[expert] * sum / static_cast<double>(count);
  }

  EPLB_INLINE Side side(Index expert, Index more, double added) const {
    const Index count = placement_->count(expert);
    const double now = sum_[expert];
    return {added, mean_cost(expert, count + more, now + added) - mean_cost(expert, count, now)};
  }

  EPLB_INLINE Change change_of(const Proposal& proposal) const {
    const Index p = proposal.p, q = proposal.q;
    const Index a = placement_->expert(p), b = placement_->expert(q);
    if (proposal.is_transfer) return {side(a, 1, cost(a, q)), side(b, -1, -cost(b, q))};
    return {side(a, 0, cost(a, q) - cost(a, p)), side(b, 0, cost(b, p) - cost(b, q))};
  }

  const Placement* placement_;
  double price_, most_;
  bool anchored_, by_home_;
  std::vector<double> share_;
  std::vector<Index> home_, at_home_;
  std::vector<Index> row_;    // of each expert, in the table of costs
  std::vector<double> sum_;   // of the costs at each expert's replicas
  std::vector<double> cost_;  // [rows, places]
  std::vector<Index> cheap_, cheap_begin_ = {0};  // cheap places of each row, one after another
  SlotRanges nodes_, places_;
  double away_ = 0.0;
};

}  // namespace eplb::annealing
