#include "local/plan.hpp"

#include <algorithm>
#include <numeric>

namespace eplb::local {

std::vector<std::int64_t> fixed_point(std::span<const std::int64_t> loads) {
  using Wide [[gnu::mode(TI)]] = unsigned;  // 128 bits
  const auto total = static_cast<Wide>(std::accumulate(loads.begin(), loads.end(), std::int64_t{0}));
  std::vector<std::int64_t> weight;
  weight.reserve(loads.size());
  for (const std::int64_t load : loads) {
    weight.push_back(static_cast<std::int64_t>(static_cast<Wide>(load) * kTotal / total));
  }
  return weight;
}

Plan::Plan(const Node& node, Experts slots)
    : node_(&node),
      expert_(slots.size()),
      size_(slots.size()),
      load_(node.num_gpus),
      count_(node.weight.size()),
      is_changed_(node.num_gpus) {
  assign(slots);
}

void Plan::assign(Experts slots) {
  std::ranges::copy(slots, expert_.begin());
  std::ranges::fill(count_, 0);
  for (const std::int64_t expert : expert_) ++count_[expert];
  for (Index gpu = 0; gpu < node_->num_gpus; ++gpu) {
    mark(gpu);
    load_[gpu] = 0;
    for (Index slot = first_slot(gpu); slot < first_slot(gpu + 1); ++slot) {
      size_[slot] = node_->weight[expert_[slot]] / count_[expert_[slot]];
      load_[gpu] += size_[slot];
    }
  }
}

void Plan::mark(Index gpu) {
  if (is_changed_[gpu]) return;
  is_changed_[gpu] = true;
  changed_.push_back(gpu);
}

void Plan::forget_changes() {
  for (const Index gpu : changed_) is_changed_[gpu] = false;
  changed_.clear();
}

bool Plan::holds(Index gpu, std::int64_t expert) const {
  const Experts held = slots().subspan(first_slot(gpu), node_->slots_per_gpu);
  return std::ranges::find(held, expert) != held.end();
}

Index Plan::heaviest() const { return std::ranges::max_element(load_) - load_.begin(); }

void Plan::swap(Index slot, Index other) {
  const std::int64_t moved = size_[slot] - size_[other];
  std::swap(expert_[slot], expert_[other]);
  std::swap(size_[slot], size_[other]);
  const Index gpu = gpu_of(slot), other_gpu = gpu_of(other);
  load_[gpu] -= moved;
  load_[other_gpu] += moved;
  mark(gpu);
  mark(other_gpu);
}

void Plan::put(Index slot, std::int64_t expert, std::int64_t size) {
  const Index gpu = gpu_of(slot);
  load_[gpu] += size - size_[slot];
  mark(gpu);
  expert_[slot] = expert;
  size_[slot] = size;
}

void Plan::give(Index slot, std::int64_t expert) {
  const std::int64_t old = expert_[slot];
  expert_[slot] = expert;
  --count_[old];
  ++count_[expert];
  for (Index other = 0; other < std::ssize(expert_); ++other) {
    const std::int64_t held = expert_[other];
    if (held == old || held == expert) put(other, held, node_->weight[held] / count_[held]);
  }
}

void Plan::rearrange(std::span<const Index> from, std::span<const Index> to) {
  std::vector<std::int64_t> experts(from.size()), sizes(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    experts[i] = expert_[from[i]];
    sizes[i] = size_[from[i]];
  }
  for (std::size_t i = 0; i < to.size(); ++i) put(to[i], experts[i], sizes[i]);
}

}  // namespace eplb::local
