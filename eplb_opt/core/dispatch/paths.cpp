#include "dispatch/paths.hpp"

#include <algorithm>

namespace eplb::dispatch {

namespace {

// GPUs above the target by no more than this share of it are at the target.
constexpr double kTolerance = 3e-14;
// Of a GPU at the target, a pair's share that is rounding: it has nothing to send on.
constexpr double kDust = 1e-17;

}  // namespace

Paths::Paths(const Speeds& speeds)
    : speeds_(speeds),
      reached_(speeds.size()),
      from_(speeds.size()),
      to_(speeds.size()),
      gpu_met_(speeds.size()) {}

double Paths::level_out(Flow& flow, const LayerRoutes& routes, double target,
                        Index most_searches) {
  flow_ = &flow;
  routes_ = &routes;
  target_ = target;
  search_ = 0;
  std::ranges::fill(gpu_met_, 0);
  expert_met_.assign(routes.many.size(), 0);
  for (Index i = 0; i < most_searches; ++i) {
    search();
    if (num_roots_ == 0) break;
    if (found_ > 0.0) {
      pull();
      continue;
    }
    const double mean = mean_level();
    if (mean <= target_) break;  // all that is left is rounding
    target_ = mean;
  }
  return target_;
}

// Ends early where there is room enough for all that is too much: then nothing is to be proven.
void Paths::search() {
  ++search_;
  add_roots();
  found_ = 0.0;
  for (Index head = 0; head < num_reached_ && found_ < surplus_; ++head) expand(reached_[head]);
}

void Paths::add_roots() {
  num_reached_ = 0;
  surplus_ = 0.0;
  const double highest = target_ * (1.0 + kTolerance);
  for (std::int32_t g = 0; g < routes_->num_gpus; ++g) {
    if (flow_->level[g] <= highest * speeds_[g]) continue;
    gpu_met_[g] = search_;
    reached_[num_reached_++] = g;
    surplus_ -= room(g);
  }
  num_roots_ = num_reached_;
}

void Paths::expand(Index gpu) {
  const double dust = target_ * speeds_[gpu] * kDust;
  for (Index i = routes_->gpu_begin[gpu]; i < routes_->gpu_begin[gpu + 1]; ++i) {
    const std::int32_t pair = routes_->gpu_pair[i], expert = routes_->owner[pair];
    if (flow_->pair[pair] <= dust || expert_met_[expert] == search_) continue;
    expert_met_[expert] = search_;
    for (std::int32_t other = routes_->first[expert]; other < routes_->first[expert + 1]; ++other) {
      const std::int32_t host = routes_->gpu[other];
      if (gpu_met_[host] == search_) continue;
      gpu_met_[host] = search_;
      from_[num_reached_] = pair;
      to_[num_reached_] = other;
      reached_[num_reached_++] = host;
      found_ += std::max(room(host), 0.0);
    }
  }
}

void Paths::pull() {
  for (Index i = num_reached_ - 1; i >= num_roots_; --i) {
    const Index gpu = reached_[i], from = from_[i];
    const double amount = std::min(room(gpu), flow_->pair[from]);
    if (amount <= 0.0) continue;
    flow_->level[gpu] += amount;
    flow_->level[routes_->gpu[from]] -= amount;
    flow_->pair[from] -= amount;
    flow_->pair[to_[i]] += amount;
  }
}

double Paths::mean_level() const {
  double tokens = 0.0, width = 0.0;
  for (Index i = 0; i < num_reached_; ++i) {
    tokens += flow_->level[reached_[i]];
    width += speeds_[reached_[i]];
  }
  return tokens / width;
}

}  // namespace eplb::dispatch
