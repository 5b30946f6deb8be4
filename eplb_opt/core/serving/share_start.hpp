// A first plan for a rule by which GPUs send to replicas: counts with equal parts, placed by
// decreasing load.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "serving/share_layer.hpp"

namespace eplb::serving {

template <typename Rule>
class ShareStart {
 public:
  ShareStart(const Rule& rule, const ShareMachine& machine, Index num_experts)
      : rule_(&rule), machine_(machine), count_(num_experts), added_(num_experts), order_(num_experts), part_(num_experts) {
    const Index most = std::min(machine.num_slots - num_experts + 1, rule.most_copies());
    for (Index count = 1; count <= std::min(most, machine.num_gpus); ++count) {
      if (rule.is_level(count)) levels_.push_back(count);
    }
  }

  // The expert of every slot, and the largest load of a replica if all of an expert's are equal.
  // With `any` counts are those with which that is least, and parts need not be equal.
  std::int64_t make(std::span<const std::int64_t> weight, bool any, std::span<std::int64_t> slots) {
    any_ = any;
    choose_counts(weight);
    std::iota(order_.begin(), order_.end(), Index{0});
    // Replicas that want different places first, while there are places; then the others.
    std::ranges::sort(order_, [&](Index a, Index b) {
      const bool many_a = count_[a] > 1, many_b = count_[b] > 1;
      if (many_a != many_b) return many_a;
      return part_[a] != part_[b] ? part_[a] > part_[b] : a < b;
    });
    load_.assign(machine_.num_gpus, 0);
    used_.assign(machine_.num_gpus, 0);
    std::int64_t largest = 0;
    for (const Index expert : order_) {
      place(expert, part_[expert], slots);
      largest = std::max(largest, part_[expert]);
    }
    return largest;
  }

 private:
  void give(std::span<const std::int64_t> weight, Index expert, Index count) {
    count_[expert] = count;
    // Where parts are not equal, that of the most senders.
    part_[expert] = weight[expert] * ((rule_->num_senders() + count - 1) / count);
    added_[expert] = next(count) - count;
  }

  // The heaviest replicas are divided to the next number of equal parts while slots are left. What
  // is lighter than half a GPU's load only where that takes a single slot.
  void choose_counts(std::span<const std::int64_t> weight) {
    for (Index expert = 0; expert < std::ssize(count_); ++expert) give(weight, expert, 1);
    Index spare = machine_.num_slots - std::ssize(count_);
    const std::int64_t mean = std::reduce(weight.begin(), weight.end());
    for (const std::int64_t floor : {mean / 2, std::int64_t{-1}}) {
      while (spare > 0) {
        const Index most = floor < 0 ? 1 : spare;
        std::int64_t largest = floor;
        Index best = -1;
        for (Index expert = 0; expert < std::ssize(count_); ++expert) {
          if (part_[expert] <= largest || added_[expert] < 1 || added_[expert] > most) continue;
          largest = part_[expert];
          best = expert;
        }
        if (best < 0) break;
        spare -= added_[best];
        give(weight, best, count_[best] + added_[best]);
      }
    }
    // Slots that no number of equal parts takes.
    for (; spare > 0; --spare) {
      Index best = -1;
      for (Index expert = 0; expert < std::ssize(count_); ++expert) {
        if (count_[expert] >= rule_->most_copies()) continue;
        if (best < 0 || part_[expert] > part_[best]) best = expert;
      }
      give(weight, best, count_[best] + 1);
    }
  }

  Index next(Index count) const {
    if (any_) return std::min(count + 1, rule_->most_copies());
    const auto above = std::ranges::upper_bound(levels_, count);
    return above == levels_.end() ? count : *above;
  }

  // The lightest GPU with an open slot: of a node, or of nodes not yet `taken`; -1 is none.
  template <typename Allowed>
  Index lightest(const Allowed& allowed) const {
    Index best = -1;
    for (Index gpu = 0; gpu < machine_.num_gpus; ++gpu) {
      if (used_[gpu] == machine_.slots_per_gpu() || !allowed(gpu)) continue;
      if (best < 0 || load_[gpu] < load_[best]) best = gpu;
    }
    return best;
  }

  Index node(Index gpu) const { return rule_->node(gpu * machine_.slots_per_gpu()); }

  void place(Index expert, std::int64_t load, std::span<std::int64_t> slots) {
    chosen_.clear();
    const Index count = count_[expert], num_nodes = rule_->num_nodes();
    const bool apart_on_nodes = num_nodes > 1 && count <= num_nodes;
    const Index only = num_nodes > 1 && count > num_nodes ? roomiest(count) : -1;
    for (Index i = 0; i < count; ++i) {
      const auto is_new = [&](Index gpu) { return std::ranges::find(chosen_, gpu) == chosen_.end(); };
      Index gpu = lightest([&](Index g) {
        if (only >= 0) return node(g) == only && is_new(g);
        if (!apart_on_nodes) return is_new(g);
        return std::ranges::none_of(chosen_, [&](Index c) { return node(c) == node(g); });
      });
      if (gpu < 0) gpu = lightest(is_new);
      if (gpu < 0) gpu = lightest([](Index) { return true; });
      chosen_.push_back(gpu);
      slots[gpu * machine_.slots_per_gpu() + used_[gpu]++] = expert;
      load_[gpu] += load;
    }
  }

  // The node with the least load among those that have so many GPUs with an open slot; -1 is none.
  Index roomiest(Index count) const {
    Index best = -1;
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (Index begin = 0, end = 0; begin < machine_.num_gpus; begin = end) {
      Index open = 0;
      std::int64_t load = 0;
      for (; end < machine_.num_gpus && node(end) == node(begin); ++end) {
        open += used_[end] < machine_.slots_per_gpu() ? 1 : 0;
        load += load_[end];
      }
      if (open >= count && load / (end - begin) < least) {
        least = load / (end - begin);
        best = node(begin);
      }
    }
    return best;
  }

  const Rule* rule_;
  ShareMachine machine_;
  bool any_ = false;
  std::vector<Index> levels_;  // numbers of replicas that get equal parts, ascending
  std::vector<Index> count_, added_;  // replicas, and those that the next equal parts take
  std::vector<Index> order_, used_, chosen_;
  std::vector<std::int64_t> part_, load_;  // of a replica, of a GPU
};

}  // namespace eplb::serving
