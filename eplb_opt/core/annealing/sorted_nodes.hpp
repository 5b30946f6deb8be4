// What stands on each node, its replicas in order of their loads, and what its GPUs carry at least.
#pragma once

#include <cmath>
#include <numeric>
#include <vector>

#include "annealing/placement.hpp"
#include "annealing/traffic.hpp"
#include "common/lanes.hpp"

namespace eplb::annealing {

// The GPUs of a node have two slots: the heaviest replica goes with the lightest, the next with the
// next, and so on. No other pairs have a smaller sum of any convex function of the GPU loads, so
// what is left to decide is which replicas a node has, and not on which of its GPUs they stand.
class Pairs {
 public:
  // What each GPU carries, where a node's replicas ascend; returns the number of GPUs.
  EPLB_INLINE Index fill(const double* row, Index num, double* load) const {
    for (Index i = 0; 2 * i < num; ++i) load[i] = row[i] + row[num - 1 - i];
    return num / 2;
  }

  EPLB_INLINE double excess(double) const { return 0.0; }

  // Such pairs, for slots in the order of their replicas.
  void arrange(std::span<const Index> order, std::span<const double>, std::span<Index> found) const {
    const Index num = std::ssize(order);
    for (Index i = 0; 2 * i < num; ++i) {
      found[2 * i] = order[i];
      found[2 * i + 1] = order[num - 1 - i];
    }
  }
};

// The GPUs of a node have more slots: they are packed when the node's replicas are chosen. Until
// then its j heaviest replicas, of which no two fit on a GPU, are taken to share j GPUs with the
// lightest ones: these carry no less. Packings come near that where no replica is heavy.
class Packs {
 public:
  // A replica above `heavy` has a GPU without another such one; what it has above `ceiling` counts.
  Packs(Index slots_per_gpu, double heavy, double ceiling)
      : slots_per_gpu_(slots_per_gpu), heavy_(heavy), ceiling_(ceiling) {}

  // What the j heaviest GPUs carry at least on average, or all of them.
  EPLB_INLINE Index fill(const double* row, Index num, double* load) const {
    const Index gpus = num / slots_per_gpu_;
    double total = 0.0, highest = 0.0;
    for (Index i = 0; i < num; ++i) total += row[i];
    const double mean = total / static_cast<double>(gpus);
    Index j = 0, lightest = 0;
    for (; j < gpus && row[num - 1 - j] > heavy_; ++j) {
      highest += row[num - 1 - j];
      for (Index i = 1; i < slots_per_gpu_; ++i) highest += row[lightest++];
      load[j] = std::max(highest / static_cast<double>(j + 1), mean);
    }
    for (; j < gpus; ++j) load[j] = mean;
    return gpus;
  }

  EPLB_INLINE double excess(double size) const { return std::max(size - ceiling_, 0.0); }

  // The heaviest first, each to the lightest GPU with room; its slots come one after another.
  void arrange(std::span<const Index> order, std::span<const double> size,
               std::span<Index> found) const {
    const Index gpus = std::ssize(order) / slots_per_gpu_;
    std::vector<double> load(gpus);
    std::vector<Index> held(gpus);
    for (Index i = std::ssize(order) - 1; i >= 0; --i) {
      Index best = -1;
      for (Index gpu = 0; gpu < gpus; ++gpu) {
        if (held[gpu] < slots_per_gpu_ && (best < 0 || load[gpu] < load[best])) best = gpu;
      }
      found[best * slots_per_gpu_ + held[best]++] = order[i];
      load[best] += size[i];
    }
  }

 private:
  Index slots_per_gpu_;
  double heavy_, ceiling_;
};

template <typename Fill>
class SortedNodes {
 public:
  SortedNodes(const Placement& placement, const Traffic& traffic, std::span<const double> weight,
              Fill fill)
      : fill_(fill),
        placement_(&placement),
        traffic_(&traffic),
        weight_(weight.begin(), weight.end()),
        power_(traffic.nodes().num()),
        mark_(traffic.nodes().num(), -1) {
    Index most_slots = 0;
    for (Index node = 0; node < traffic.nodes().num(); ++node) {
      most_slots = std::max(most_slots, traffic.nodes().size(node));
    }
    // Rows of whole lanes, and a place of their own for the nodes that a proposal touches.
    stride_ = (most_slots + kLanes - 1) / kLanes * kLanes;
    sorted_.resize(traffic.nodes().num() * stride_);
    fresh_.resize(traffic.nodes().num() * stride_);
    load_.resize(stride_);
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
    excess_ = 0.0;
    for (Index expert = 0; expert < std::ssize(weight_); ++expert) {
      excess_ += fill_.excess(size(expert, placement_->count(expert)));
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

  // The largest load of a GPU.
  EPLB_INLINE double largest() {
    double highest = 0.0;
    for (Index node = 0; node < traffic_->nodes().num(); ++node) {
      const double* row = sorted_.data() + node * stride_;
      const Index gpus = fill_.fill(row, traffic_->nodes().size(node), load_.data());
      for (Index gpu = 0; gpu < gpus; ++gpu) highest = std::max(highest, load_[gpu]);
    }
    return highest;
  }

  // What replicas have above what they should, together.
  EPLB_INLINE double excess() const { return excess_; }

  // What the norm grows by with a proposal, by its slope; `keep` makes the last one that was asked.
  EPLB_INLINE double added_by(const Proposal& proposal) {
    num_touched_ = 0;
    more_excess_ = 0.0;
    const Index a = placement_->expert(proposal.p), b = placement_->expert(proposal.q);
    const Index many = placement_->count(a), few = placement_->count(b);
    const double of_a = size(a, many), of_b = size(b, few);
    const Index at_q = traffic_->nodes().of(proposal.q);
    if (proposal.is_transfer) {
      const double less_a = size(a, many + 1), more_b = size(b, few - 1);
      more_excess_ = (fill_.excess(less_a) - fill_.excess(of_a)) +
                     (fill_.excess(more_b) - fill_.excess(of_b));
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
    return slope_ * added + more_excess_;
  }

  EPLB_INLINE void keep() {
    excess_ += more_excess_;
    for (Index i = 0; i < num_touched_; ++i) {
      std::copy_n(fresh_.data() + i * stride_, stride_, sorted_.data() + touched(i) * stride_);
      power_[touched(i)] = fresh_power(i);
    }
  }

  // The experts of all slots, with those of a GPU side by side.
  std::vector<Index> slots() const {
    std::vector<Index> found(placement_->num_slots()), order;
    std::vector<double> sizes;
    for (Index node = 0; node < traffic_->nodes().num(); ++node) {
      const Index begin = traffic_->nodes().begin(node), num = traffic_->nodes().size(node);
      const auto size_at = [&](Index slot) {
        const Index expert = placement_->expert(slot);
        return size(expert, placement_->count(expert));
      };
      order.resize(num);
      std::iota(order.begin(), order.end(), begin);
      std::ranges::stable_sort(order, {}, size_at);
      sizes.clear();
      for (const Index slot : order) sizes.push_back(size_at(slot));
      fill_.arrange(order, sizes, std::span(found).subspan(begin, num));
    }
    for (Index& slot : found) slot = placement_->expert(slot);
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

  // The sum of the p-th powers of the loads of a node's GPUs.
  EPLB_INLINE double powers(Index node, const double* row) {
    const Index gpus = fill_.fill(row, traffic_->nodes().size(node), load_.data());
    for (Index gpu = gpus; gpu % kLanes != 0; ++gpu) load_[gpu] = 0.0;
    Lanes sum{};
    for (Index i = 0; i < gpus; i += kLanes) {
      const Lanes load{load_[i], load_[i + 1], load_[i + 2], load_[i + 3]};
      sum += power(load, doublings_);
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
  }

  Fill fill_;
  const Placement* placement_;
  const Traffic* traffic_;
  std::vector<double> weight_, sorted_, fresh_, power_, load_;
  std::vector<Index> mark_;
  std::vector<Touched> touched_;
  Index stride_ = 0, num_touched_ = 0;
  int doublings_ = 0;
  double slope_ = 0.0, excess_ = 0.0, more_excess_ = 0.0;
};

}  // namespace eplb::annealing
