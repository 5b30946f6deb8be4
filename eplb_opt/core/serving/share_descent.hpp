// Exchanges of the heaviest GPU, one after the other, under a rule by which GPUs send to replicas.
#pragma once

#include <limits>
#include <optional>
#include <vector>

#include "common/clock.hpp"
#include "common/random.hpp"
#include "serving/share_layer.hpp"

namespace eplb::serving {

// What a descent may do.
struct ShareBudget {
  Index steps;
  std::optional<Deadline> deadline;
  bool kicks;         // whether a plan that no exchange betters is left for another one
  std::int64_t seed;  // of the kicks, not 0

  // The same with half of the time that is left.
  ShareBudget half() const {
    if (!deadline) return *this;
    return {steps, deadline->middle(), kicks, seed};
  }
  bool is_over() const { return deadline && deadline->expired(); }
};

template <typename Rule>
class ShareDescent {
 public:
  explicit ShareDescent(ShareLayer<Rule>& layer) : layer_(&layer) {}

  // Until the largest load is at most the target, or steps or time are over; ends at the best plan.
  void run(std::span<const std::int64_t> weight, std::int64_t target, const ShareBudget& budget) {
    Random random(budget.seed);
    best_.assign(layer_->slots().begin(), layer_->slots().end());
    best_load_ = layer_->largest();
    Index idle = 0;
    for (Index step = 0; step < budget.steps && !budget.is_over(); ++step) {
      const Index heavy = layer_->heaviest();
      if (layer_->load(heavy) <= target) break;
      // Where replicas have been made for equal parts, other counts are no gain close to the bound.
      const bool counts_may_change = !budget.kicks || layer_->load(heavy) - target > target / kWide;
      if (swap(heavy) || (counts_may_change && transfer(heavy))) continue;
      if (!budget.kicks) break;
      if (note()) {
        idle = 0;
      } else if (++idle >= kIdle) {
        layer_->reset(weight, best_);
        idle = 0;
      }
      kick(layer_->heaviest(), random);
    }
    if (!note() && layer_->largest() > best_load_) layer_->reset(weight, best_);
  }

 private:
  static constexpr std::size_t kLooks = 8;  // candidates that are looked at exactly
  static constexpr int kDraws = 8;          // random exchanges of which the mildest is made
  static constexpr Index kIdle = 4;         // kicks in vain after which the best plan comes back

  static constexpr std::int64_t kWide = 1000;

  // A move, and what it leaves of the largest load if no other part changes.
  struct Candidate {
    std::int64_t reached;
    Index p, q;
  };

  bool note() {
    if (layer_->largest() >= best_load_) return false;
    best_load_ = layer_->largest();
    best_.assign(layer_->slots().begin(), layer_->slots().end());
    return true;
  }

  void consider(std::int64_t reached, Index p, Index q) {
    std::size_t at = candidates_.size();
    if (at == kLooks) {
      if (reached >= candidates_.back().reached) return;
      --at;
    } else {
      candidates_.push_back({});
    }
    for (; at > 0 && candidates_[at - 1].reached > reached; --at) {
      candidates_[at] = candidates_[at - 1];
    }
    candidates_[at] = {reached, p, q};
  }

  // What a candidate must stay below.
  std::int64_t limit(std::int64_t load) const {
    return candidates_.size() == kLooks ? candidates_.back().reached : load;
  }

  bool may_swap(Index p, Index q) const {
    const Index a = layer_->expert(p), b = layer_->expert(q);
    return a != b && layer_->may_exchange(p, q) && !layer_->is_on(a, layer_->gpu(q)) &&
           !layer_->is_on(b, layer_->gpu(p)) && keeps(p, q) && keeps(q, p);
  }

  bool keeps(Index from, Index to) const {
    return layer_->rule().likely_keeps(layer_->count(layer_->expert(from)), from, to);
  }

  // The exchange that leaves least on the heaviest GPU and its partner, if that is below its load.
  bool swap(Index heavy) {
    const Index size = layer_->machine().slots_per_gpu(), begin = heavy * size;
    const std::int64_t load = layer_->load(heavy);
    const std::int64_t* value = layer_->values().data();
    candidates_.clear();
    for (Index gpu = 0; gpu < layer_->machine().num_gpus; ++gpu) {
      const std::int64_t other = layer_->load(gpu);
      // Half of the difference is the best that an exchange can bring over.
      std::int64_t least = limit(load);
      if ((load + other + 1) / 2 >= least || !layer_->may_exchange(begin, gpu * size)) continue;
      for (Index q = gpu * size; q < (gpu + 1) * size; ++q) {
        const std::int64_t down = load + value[q], up = other - value[q];
        for (Index p = begin; p < begin + size; ++p) {
          const std::int64_t reached = std::max(down - value[p], up + value[p]);
          if (reached >= least || !may_swap(p, q)) continue;
          consider(reached, p, q);
          least = limit(load);
        }
      }
    }
    for (const Candidate& found : candidates_) {
      if (layer_->look_swap(found.p, found.q) < load) {
        layer_->make();
        return true;
      }
    }
    return false;
  }

  // A further replica of an expert of the heaviest GPU, in the place of one that has others.
  bool transfer(Index heavy) {
    const Index size = layer_->machine().slots_per_gpu(), begin = heavy * size;
    const std::int64_t load = layer_->load(heavy);
    candidates_.clear();
    for (Index p = begin; p < begin + size; ++p) {
      const Index a = layer_->expert(p), count = layer_->count(a);
      if (count >= layer_->rule().most_copies()) continue;
      const std::int64_t part = layer_->weight(a) * layer_->rule().num_senders() / (count + 1);
      if (part >= layer_->value(p)) continue;
      for (Index q = 0; q < layer_->machine().num_slots; ++q) {
        const Index b = layer_->expert(q), gpu = layer_->gpu(q);
        if (gpu == heavy || layer_->count(b) < 2 || a == b || !layer_->may_exchange(p, q)) continue;
        const std::int64_t there = layer_->load(gpu) - layer_->value(q) + part;
        const std::int64_t reached = std::max(load - layer_->value(p) + part, there);
        if (reached < limit(load) && !layer_->is_on(a, gpu)) consider(reached, p, q);
      }
    }
    for (const Candidate& found : candidates_) {
      if (layer_->look_transfer(found.q, layer_->expert(found.p)) < load) {
        layer_->make();
        return true;
      }
    }
    return false;
  }

  // An exchange of the heaviest GPU that moves the excess elsewhere: the mildest of some.
  void kick(Index heavy, Random& random) {
    const Index size = layer_->machine().slots_per_gpu();
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    Index from = -1, to = -1;
    for (int i = 0; i < kDraws; ++i) {
      const Index p = heavy * size + random.draw(size), q = random.draw(layer_->machine().num_slots);
      const std::int64_t less = layer_->value(p) - layer_->value(q);
      if (layer_->gpu(q) == heavy || less <= 0) continue;
      const std::int64_t reached = layer_->load(layer_->gpu(q)) + less;
      if (reached < least && may_swap(p, q)) least = reached, from = p, to = q;
    }
    if (from < 0) return;
    layer_->look_swap(from, to);
    layer_->make();
  }

  ShareLayer<Rule>* layer_;
  std::vector<Candidate> candidates_;
  std::vector<std::int64_t> best_;
  std::int64_t best_load_ = 0;
};

}  // namespace eplb::serving
