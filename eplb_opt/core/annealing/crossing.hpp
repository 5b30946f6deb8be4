// What crosses nodes where every GPU sends an expert's tokens to one replica.
//
// An expert's part depends on how many of its replicas stand on each node, and on nothing else:
// under nearest copy a node with a replica serves its own GPUs; under rank modulo GPU r sends to
// replica r mod n, and replicas are numbered by their slots, node after node. A swap or a transfer
// changes the numbers of two experts.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "annealing/placement.hpp"
#include "annealing/proposal.hpp"
#include "shares/rules.hpp"

namespace eplb::annealing {

// What a price on it is about, and how proposals look for less; chances are parts of kFine.
struct CrossingTerms {
  std::vector<double> share;  // of each expert among all tokens
  std::vector<Index> node;    // node of each GPU, ascending; every node has one
  double price;               // of all tokens crossing, in mean GPU loads
  double most;                // the largest part that may
  Index near;                 // swaps with both slots on one node
  Index settling;             // transfers to a node without the expert
};

class Crossing {
 public:
  Crossing(const Placement& placement, const CrossingTerms& terms, bool is_nearest)
      : placement_(&placement), terms_(terms), is_nearest_(is_nearest), part_(terms.share.size()) {
    const Machine& machine = placement.machine();
    for (Index gpu = 0; gpu < machine.num_gpus(); ++gpu) {
      if (terms.node[gpu] == std::ssize(begin_)) {
        begin_.push_back(machine.begin(gpu));
        sender_.push_back(gpu);
      }
    }
    begin_.push_back(machine.num_slots());
    sender_.push_back(machine.num_gpus());
    for (Index slot = 0; slot < machine.num_slots(); ++slot) {
      node_.push_back(terms.node[machine.gpu(slot)]);
    }
    on_node_.resize(part_.size() * num_nodes());
    refill();
  }

  // Everything anew from the placement: rounding errors grow with each move.
  void refill() {
    std::ranges::fill(on_node_, 0);
    for (Index slot = 0; slot < placement_->num_slots(); ++slot) {
      ++row(placement_->expert(slot))[node_[slot]];
    }
    away_ = 0.0;
    for (Index expert = 0; expert < std::ssize(part_); ++expert) {
      part_[expert] = part(expert, placement_->count(expert));
      away_ += part_[expert];
    }
  }

  double price() const { return terms_.price; }
  // The part of all tokens that crosses nodes.
  double away() const { return away_; }
  Index near() const { return terms_.near; }
  Index settling() const { return terms_.settling; }
  Index num_nodes() const { return std::ssize(begin_) - 1; }
  Index node(Index slot) const { return node_[slot]; }
  Index node_begin(Index node) const { return begin_[node]; }
  Index node_size(Index node) const { return begin_[node + 1] - begin_[node]; }
  bool stands_on(Index expert, Index node) const {
    return on_node_[expert * num_nodes() + node] > 0;
  }

  // Looks at a proposal that changes something; what it adds to the part that crosses.
  EPLB_INLINE double measure(const Proposal& proposal) {
    const Index p = proposal.p, q = proposal.q;
    const Index a = placement_->expert(p), b = placement_->expert(q);
    if (proposal.is_transfer) {
      sides_[0] = side(a, placement_->count(a) + 1, -1, node_[q]);
      sides_[1] = side(b, placement_->count(b) - 1, node_[q], -1);
    } else {
      sides_[0] = side(a, placement_->count(a), node_[p], node_[q]);
      sides_[1] = side(b, placement_->count(b), node_[q], node_[p]);
    }
    return sides_[0].part - part_[a] + (sides_[1].part - part_[b]);
  }

  // Whether so much more may cross.
  bool allows(double added) const { return !(added > 0.0 && away_ + added > terms_.most); }

  // Makes the move that was looked at last.
  EPLB_INLINE void make() {
    for (const Side& side : sides_) {
      if (side.left >= 0) --row(side.expert)[side.left];
      if (side.entered >= 0) ++row(side.expert)[side.entered];
      away_ += side.part - part_[side.expert];
      part_[side.expert] = side.part;
    }
  }

 private:
  // An expert after a move: the nodes that a replica leaves and enters, and the part that crosses.
  struct Side {
    Index expert = 0, left = -1, entered = -1;
    double part = 0.0;
  };

  Index* row(Index expert) { return on_node_.data() + expert * num_nodes(); }
  Index size(Index node) const { return sender_[node + 1] - sender_[node]; }

  EPLB_INLINE Side side(Index expert, Index count, Index left, Index entered) {
    if (left == entered) return {expert, -1, -1, part_[expert]};
    Index* held = row(expert);
    if (left >= 0) --held[left];
    if (entered >= 0) ++held[entered];
    const double part = this->part(expert, count);
    if (left >= 0) ++held[left];
    if (entered >= 0) --held[entered];
    return {expert, left, entered, part};
  }

  EPLB_INLINE double part(Index expert, Index count) const {
    const Index* held = on_node_.data() + expert * num_nodes();
    Index served = 0, rank = 0;
    for (Index node = 0; node < num_nodes(); ++node) {
      if (is_nearest_) {
        served += held[node] > 0 ? size(node) : 0;
        continue;
      }
      for (const Index end = rank + held[node]; rank < end; ++rank) {
        served += turns(sender_[node + 1], rank, count) - turns(sender_[node], rank, count);
      }
    }
    const Index all = sender_.back();
    return terms_.share[expert] * static_cast<double>(all - served) / static_cast<double>(all);
  }

  // How many of the senders below `end` have a number that leaves `rank` over `count`.
  static Index turns(Index end, Index rank, Index count) {
    return end <= rank ? 0 : (end - rank - 1) / count + 1;
  }

  const Placement* placement_;
  CrossingTerms terms_;
  bool is_nearest_;
  std::vector<double> part_;           // of all tokens, what crosses of each expert
  std::vector<Index> on_node_;         // replicas of each expert on each node
  std::vector<Index> node_, begin_;    // node of each slot; first slot of each node, and the end
  std::vector<Index> sender_;          // first GPU of each node, and the end
  std::array<Side, 2> sides_;
  double away_ = 0.0;
};

}  // namespace eplb::annealing
