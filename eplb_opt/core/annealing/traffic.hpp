// What a layer's replicas serve away from their experts' home nodes.
//
// Every replica of an expert serves the same part of its tokens, so the part that is served away
// from home is that of the replicas on other nodes. A swap or a transfer changes it for two experts.
#pragma once

#include <vector>

#include "annealing/placement.hpp"
#include "annealing/proposal.hpp"

namespace eplb::annealing {

// Where experts are at home, and what the rules say of it.
struct Homes {
  std::span<const double> share;  // of each expert among all tokens
  std::span<const Index> home;    // node of each expert
  std::span<const Index> node;    // node of each GPU, ascending; every node has one
  double price;                   // of all tokens served away from home, in mean GPU loads
  double most;                    // the largest part that may be
  bool anchored;                  // whether every expert keeps a replica at home
};

class Traffic {
 public:
  Traffic(const Placement& placement, const Homes& homes)
      : placement_(&placement),
        price_(homes.price),
        most_(homes.most),
        anchored_(homes.anchored),
        share_(homes.share.begin(), homes.share.end()),
        home_(homes.home.begin(), homes.home.end()),
        at_home_(homes.home.size()) {
    const Machine& machine = placement.machine();
    for (Index slot = 0; slot < machine.num_slots(); ++slot) {
      node_.push_back(homes.node[machine.gpu(slot)]);
      if (node_.back() == std::ssize(begin_)) begin_.push_back(slot);
    }
    begin_.push_back(machine.num_slots());
    refill();
  }

  // Everything anew from the placement: rounding errors grow with each move.
  void refill() {
    std::ranges::fill(at_home_, 0);
    for (Index slot = 0; slot < placement_->num_slots(); ++slot) {
      at_home_[placement_->expert(slot)] += is_home(placement_->expert(slot), slot);
    }
    away_ = 0.0;
    for (Index expert = 0; expert < std::ssize(share_); ++expert) {
      away_ += part_away(expert, placement_->count(expert), at_home_[expert]);
    }
  }

  // Other homes, for the placement as it is.
  void rehome(std::span<const Index> home) {
    home_.assign(home.begin(), home.end());
    refill();
  }

  // Other shares of the experts among all tokens.
  void reshare(std::span<const double> share) {
    share_.assign(share.begin(), share.end());
    refill();
  }

  // The part of an expert's tokens that is served away from home.
  EPLB_INLINE double part_off(Index expert) const {
    const auto count = static_cast<double>(placement_->count(expert));
    return (count - static_cast<double>(at_home_[expert])) / count;
  }

  double price() const { return price_; }
  // The part of all tokens that is served away from home.
  double away() const { return away_; }
  Index home(Index expert) const { return home_[expert]; }
  Index node(Index slot) const { return node_[slot]; }
  Index node_begin(Index node) const { return begin_[node]; }
  Index node_size(Index node) const { return begin_[node + 1] - begin_[node]; }
  Index num_nodes() const { return std::ssize(begin_) - 1; }

  // What a proposal that changes something adds to the part away from home.
  EPLB_INLINE double added_by(const Proposal& proposal) const {
    const Change change = change_of(proposal);
    return change.a.away + change.b.away;
  }

  // Whether the rules on homes allow a proposal that adds so much.
  EPLB_INLINE bool allows(const Proposal& proposal, double added) const {
    if (added > 0.0 && away_ + added > most_) return false;
    if (!anchored_) return true;
    const Change change = change_of(proposal);
    return at_home_[change.a.expert] + change.a.at_home > 0 &&
           at_home_[change.b.expert] + change.b.at_home > 0;
  }

  // To be called before the placement makes the proposal.
  EPLB_INLINE void follow(const Proposal& proposal) {
    const Change change = change_of(proposal);
    at_home_[change.a.expert] += change.a.at_home;
    at_home_[change.b.expert] += change.b.at_home;
    away_ += change.a.away + change.b.away;
  }

 private:
  // What a proposal adds to an expert's replicas at home, and to its part away from it.
  struct Side {
    Index expert, at_home;
    double away;
  };
  struct Change {
    Side a, b;
  };

  EPLB_INLINE Index is_home(Index expert, Index slot) const {
    return home_[expert] == node_[slot] ? 1 : 0;
  }

  EPLB_INLINE double part_away(Index expert, Index count, Index at_home) const {
    return share_[expert] * static_cast<double>(count - at_home) / static_cast<double>(count);
  }

  EPLB_INLINE Side side(Index expert, Index more, Index at_home) const {
    const Index count = placement_->count(expert), now = at_home_[expert];
    const double away = part_away(expert, count + more, now + at_home) - part_away(expert, count, now);
    return {expert, at_home, away};
  }

  EPLB_INLINE Change change_of(const Proposal& proposal) const {
    const Index p = proposal.p, q = proposal.q;
    const Index a = placement_->expert(p), b = placement_->expert(q);
    if (proposal.is_transfer) return {side(a, 1, is_home(a, q)), side(b, -1, -is_home(b, q))};
    return {side(a, 0, is_home(a, q) - is_home(a, p)), side(b, 0, is_home(b, p) - is_home(b, q))};
  }

  const Placement* placement_;
  double price_, most_;
  bool anchored_;
  std::vector<double> share_;
  std::vector<Index> home_, at_home_;
  std::vector<Index> node_, begin_;  // node of each slot; first slot of each node, and the end
  double away_ = 0.0;
};

}  // namespace eplb::annealing
