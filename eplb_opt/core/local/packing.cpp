#include "local/packing.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

namespace eplb::local {

Index Counts::keep_below(std::int64_t target, const Node& node) {
  Index spare = node.num_slots();
  for (Index e = 0; e < node.num_experts(); ++e) {
    count[e] = std::max<std::int64_t>((node.weight[e] + target - 1) / target, 1);
    piece[e] = node.weight[e] / count[e];
    spare -= count[e];
  }
  return spare;
}

void Counts::give_spare(std::int64_t ceiling, const Node& node) {
  Index chosen = -1, smallest = 0;
  std::int64_t best = -1;
  for (Index e = 0; e < node.num_experts(); ++e) {
    if (piece[e] > best && piece[e] <= ceiling) {
      chosen = e;
      best = piece[e];
    }
    if (piece[e] < piece[smallest]) smallest = e;
  }
  if (chosen < 0) chosen = smallest;
  ++count[chosen];
  piece[chosen] = node.weight[chosen] / count[chosen];
}

bool fit_counts(const Node& node, std::int64_t target, std::int64_t ceiling, Counts& counts) {
  const Index spare = counts.keep_below(target, node);
  for (Index i = 0; i < spare; ++i) counts.give_spare(ceiling, node);
  return spare >= 0;
}

std::vector<Index> by_descending_piece(const Counts& counts) {
  std::vector<Index> order(counts.piece.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater<>(), [&](Index e) { return counts.piece[e]; });
  return order;
}

bool Packing::pack(const Counts& counts, std::span<const Index> order) {
  std::ranges::fill(load, 0);
  std::ranges::fill(filled_, 0);
  for (const Index expert : order) {
    for (std::int64_t i = 0; i < counts.count[expert]; ++i) {
      const Index gpu = lightest_gpu(expert);
      if (gpu < 0) return false;
      slot[gpu * node_->slots_per_gpu + filled_[gpu]++] = expert;
      load[gpu] += counts.piece[expert];
    }
  }
  return true;
}

Index Packing::lightest_gpu(std::int64_t expert) const {
  Index lightest = -1;
  for (Index gpu = 0; gpu < node_->num_gpus; ++gpu) {
    if (filled_[gpu] == node_->slots_per_gpu) continue;
    if (lightest >= 0 && load[gpu] >= load[lightest]) continue;
    // The replicas of an expert are placed in a row: a twin is the last on its GPU.
    const Index next = gpu * node_->slots_per_gpu + filled_[gpu];
    if (node_->apart && filled_[gpu] > 0 && slot[next - 1] == expert) continue;
    lightest = gpu;
  }
  return lightest;
}

std::int64_t Packing::peak() const { return *std::ranges::max_element(load); }

}  // namespace eplb::local
