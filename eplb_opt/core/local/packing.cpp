#include "local/packing.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>

namespace eplb::local {

std::vector<Index> by_descending(std::span<const std::int64_t> sizes) {
  std::vector<Index> order(sizes.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater<>(), [&](Index i) { return sizes[i]; });
  return order;
}

Counts::Counts(const Node& node)
    : node_(&node),
      count_(node.num_experts()),
      piece_(node.num_experts()),
      by_weight_(by_descending(node.weight)),
      order_(by_weight_) {}

Index Counts::keep_below(std::int64_t target) {
  Index spare = node_->num_slots();
  for (Index e = 0; e < node_->num_experts(); ++e) {
    const std::int64_t weight = node_->weight[e];
    count_[e] = weight <= target ? 1 : (weight + target - 1) / target;
    piece_[e] = count_[e] == 1 ? weight : weight / count_[e];
    spare -= count_[e];
  }
  // All but the few experts with several replicas are in order by their weight already.
  order_ = by_weight_;
  for (Index i = std::ssize(order_) - 2; i >= 0; --i) move_down(i);
  return spare;
}

void Counts::give_spare(std::int64_t ceiling) {
  const std::int64_t wanted = std::max(ceiling, piece_[order_.back()]);
  const auto first = std::ranges::partition_point(
      order_, [&](Index expert) { return piece_[expert] > wanted; });
  const Index expert = *first;
  ++count_[expert];
  piece_[expert] = node_->weight[expert] / count_[expert];
  move_down(first - order_.begin());
}

// The expert at a position goes to where it belongs among those after it, which are in order.
void Counts::move_down(Index position) {
  const Index expert = order_[position];
  for (; position + 1 < std::ssize(order_) && precedes(order_[position + 1], expert); ++position) {
    order_[position] = order_[position + 1];
  }
  order_[position] = expert;
}

LightestGpu::LightestGpu(Index num_gpus)
    : num_gpus_(num_gpus),
      num_leaves_(static_cast<Index>(std::bit_ceil(static_cast<std::uint64_t>(num_gpus)))),
      load_(num_leaves_, kClosed),
      winner_(2 * num_leaves_) {
  std::iota(winner_.begin() + num_leaves_, winner_.end(), 0);
  clear();
}

void LightestGpu::clear() {
  std::fill_n(load_.begin(), num_gpus_, 0);
  for (Index game = num_leaves_ - 1; game >= 1; --game) play(game);
}

void LightestGpu::set(Index gpu, std::int64_t load) {
  load_[gpu] = load;
  for (Index game = (num_leaves_ + gpu) / 2; game >= 1; game /= 2) play(game);
}

void LightestGpu::play(Index game) {
  const Index left = winner_[2 * game], right = winner_[2 * game + 1];
  winner_[game] = load_[right] < load_[left] ? right : left;
}

Packing::Packing(const Node& node)
    : slot(node.num_slots()),
      node_(&node),
      load_(node.num_gpus),
      filled_(node.num_gpus),
      lightest_(node.num_gpus) {}

bool Packing::pack(std::span<const std::int64_t> counts, std::span<const std::int64_t> pieces,
                   std::span<const Index> order, std::int64_t limit) {
  limit_ = limit;
  std::ranges::fill(load_, 0);
  std::ranges::fill(filled_, 0);
  lightest_.clear();
  for (const Index expert : order) {
    if (!place(expert, counts[expert], pieces[expert])) return false;
  }
  return true;
}

bool Packing::place(std::int64_t expert, std::int64_t count, std::int64_t piece) {
  taken_.clear();
  for (std::int64_t i = 0; i < count; ++i) {
    const Index gpu = lightest_.gpu();
    if (lightest_.all_closed()) return false;
    slot[gpu * node_->slots_per_gpu + filled_[gpu]++] = expert;
    load_[gpu] += piece;
    if (load_[gpu] >= limit_) return false;
    lightest_.set(gpu, node_->apart || is_full(gpu) ? LightestGpu::kClosed : load_[gpu]);
    if (node_->apart) taken_.push_back(gpu);
  }
  // What was closed to the twins alone is open again.
  for (const Index gpu : taken_) {
    if (!is_full(gpu)) lightest_.set(gpu, load_[gpu]);
  }
  return true;
}

std::int64_t Packing::peak() const { return *std::ranges::max_element(load_); }

}  // namespace eplb::local
