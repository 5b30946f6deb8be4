// What stands on each node where GPUs have two slots, with the best pairs of every node.
//
// The heaviest replica of a node with the lightest, the next with the next, and so on: no other
// pairs have a smaller sum of any convex function of the GPU loads, so what is left to decide is
// which replicas a node has, and not on which of its GPUs they stand.
#pragma once

#include <cmath>
#include <numeric>
#include <vector>

#include "annealing/placement.hpp"
#include "annealing/traffic.hpp"
#include "common/lanes.hpp"

namespace eplb::annealing {

class PairedNodes {
 public:
  PairedNodes(const Placement& placement, const Traffic& traffic, std::span<const double> weight)
      : placement_(&placement),
        traffic_(&traffic),
        weight_(weight.begin(), weight.end()),
        power_(traffic.nodes().num()),
        mark_(traffic.nodes().num(), -1) {
    for (Index node = 0; node < traffic.nodes().num(); ++node) {
      most_slots_ = std::max(most_slots_, traffic.nodes().size(node));
    }
    // Rows of whole lanes of pairs, and a place of their own for the nodes that a proposal touches.
    stride_ = (most_slots_ / 2 + kLanes - 1) / kLanes * kLanes * 2;
    sorted_.resize(traffic.nodes().num() * stride_);
    fresh_.resize(traffic.nodes().num() * stride_);
    refill();
  }

  // What one replica of an expert weighs, where it has so many.
  EPLB_INLINE double size(Index expert, Index count) const {
    return weight_[expert] / static_cast<double>(count);
  }

  // Everything anew from the placement.
  EPLB_INLINE void refill() {
    for (Index node = 0; node < traffic_->nodes().num(); ++node) {
      double* row = sorted_.data() + node * stride_;
      const Index size_of_node = traffic_->nodes().size(node);
      for (Index i = 0; i < size_of_node; ++i) {
        const Index expert = placement_->expert(traffic_->nodes().begin(node) + i);
        row[i] = size(expert, placement_->count(expert));
      }
      std::sort(row, row + size_of_node);
    }
  }

  // The norm's p is 2**doublings from now on; its slope is taken at the present loads.
  EPLB_INLINE void linearise(int doublings) {
    doublings_ = doublings;
    double total = 0.0;
    for (Index node = 0; node < traffic_->nodes().num(); ++node) {
      power_[node] = powers(node, sorted_.data() + node * stride_);
      total += power_[node];
    }
    double root = total;
    for (int i = 0; i < doublings; ++i) root = std::sqrt(root);
    slope_ = root / total / static_cast<double>(Index{1} << doublings);
  }

  // The largest load of a pair.
  EPLB_INLINE double largest() const {
    double highest = 0.0;
    for (Index node = 0; node < traffic_->nodes().num(); ++node) {
      const double* row = sorted_.data() + node * stride_;
      const Index last = traffic_->nodes().size(node) - 1;
      for (Index i = 0; 2 * i < last; ++i) highest = std::max(highest, row[i] + row[last - i]);
    }
    return highest;
  }

  // What the norm grows by with a proposal, by its slope; `keep` makes the last one that was asked.
  EPLB_INLINE double added_by(const Proposal& proposal) {
    num_touched_ = 0;
    const Index a = placement_->expert(proposal.p), b = placement_->expert(proposal.q);
    const Index many = placement_->count(a), few = placement_->count(b);
    const double of_a = size(a, many), of_b = size(b, few);
    const Index at_q = traffic_->nodes().of(proposal.q);
    if (proposal.is_transfer) {
      const double less_a = size(a, many + 1), more_b = size(b, few - 1);
      for (const Index slot : placement_->copies(a)) replace(traffic_->nodes().of(slot), of_a, less_a);
      for (const Index slot : placement_->copies(b)) {
        if (slot != proposal.q) replace(traffic_->nodes().of(slot), of_b, more_b);
      }
      replace(at_q, of_b, less_a);
    } else {
      replace(traffic_->nodes().of(proposal.p), of_a, of_b);
      replace(at_q, of_b, of_a);
    }
    double added = 0.0;
    for (Index i = 0; i < num_touched_; ++i) {
      const Index node = touched(i);
      fresh_power(i) = powers(node, fresh_.data() + i * stride_);
      added += fresh_power(i) - power_[node];
    }
    for (Index i = 0; i < num_touched_; ++i) mark_[touched(i)] = -1;
    return slope_ * added;
  }

  EPLB_INLINE void keep() {
    for (Index i = 0; i < num_touched_; ++i) {
      std::copy_n(fresh_.data() + i * stride_, stride_, sorted_.data() + touched(i) * stride_);
      power_[touched(i)] = fresh_power(i);
    }
  }

  // The experts of all slots, pair by pair.
  std::vector<Index> slots() const {
    std::vector<Index> found(placement_->num_slots());
    std::vector<Index> order;
    for (Index node = 0; node < traffic_->nodes().num(); ++node) {
      const Index begin = traffic_->nodes().begin(node), num = traffic_->nodes().size(node);
      order.resize(num);
      std::iota(order.begin(), order.end(), begin);
      std::ranges::stable_sort(order, {}, [&](Index slot) {
        const Index expert = placement_->expert(slot);
        return size(expert, placement_->count(expert));
      });
      for (Index i = 0; 2 * i < num; ++i) {
        found[begin + 2 * i] = placement_->expert(order[i]);
        found[begin + 2 * i + 1] = placement_->expert(order[num - 1 - i]);
      }
    }
    return found;
  }

 private:
  struct Touched {
    Index node;
    double power;
  };

  Index touched(Index i) const { return touched_[i].node; }
  double& fresh_power(Index i) { return touched_[i].power; }

  // The sizes of a node as the proposal leaves them, ascending.
  EPLB_INLINE double* row_of(Index node) {
    if (mark_[node] < 0) {
      mark_[node] = num_touched_;
      if (num_touched_ == std::ssize(touched_)) touched_.push_back({});
      touched_[num_touched_].node = node;
      std::copy_n(sorted_.data() + node * stride_, stride_, fresh_.data() + num_touched_ * stride_);
      ++num_touched_;
    }
    return fresh_.data() + mark_[node] * stride_;
  }

  // One size in the place of another, which the node has.
  EPLB_INLINE void replace(Index node, double old, double fresh) {
    double* row = row_of(node);
    const Index num = traffic_->nodes().size(node);
    Index at = 0;
    while (at + 1 < num && row[at] < old) ++at;
    for (; at + 1 < num && row[at + 1] < fresh; ++at) row[at] = row[at + 1];
    for (; at > 0 && row[at - 1] > fresh; --at) row[at] = row[at - 1];
    row[at] = fresh;
  }

  // The sum of the p-th powers of the loads of a node's pairs.
  EPLB_INLINE double powers(Index node, const double* row) const {
    const Index last = traffic_->nodes().size(node) - 1, pairs = (last + 1) / 2;
    Lanes sum{};
    for (Index i = 0; i < pairs; i += kLanes) {
      Lanes load{};
      for (Index lane = 0; lane < kLanes && i + lane < pairs; ++lane) {
        load[lane] = row[i + lane] + row[last - i - lane];
      }
      sum += power(load, doublings_);
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
  }

  const Placement* placement_;
  const Traffic* traffic_;
  std::vector<double> weight_, sorted_, fresh_, power_;
  std::vector<Index> mark_;
  std::vector<Touched> touched_;
  Index most_slots_ = 0, stride_ = 0, num_touched_ = 0;
  int doublings_ = 0;
  double slope_ = 0.0;
};

}  // namespace eplb::annealing
