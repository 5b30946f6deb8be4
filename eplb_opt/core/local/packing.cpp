#include "local/packing.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

namespace eplb::local {

namespace {

std::int64_t least_of(std::span<const std::int64_t> values) {
  std::int64_t least = values[0];
  for (const std::int64_t value : values) least = std::min(least, value);
  return least;
}

}  // namespace

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
  // In two loops, of which the first has no branch.
  std::int64_t wanted = -1;
  for (const std::int64_t size : piece) wanted = std::max(wanted, size <= ceiling ? size : -1);
  if (wanted < 0) wanted = least_of(piece);
  const Index chosen = std::ranges::find(piece, wanted) - piece.begin();
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
  std::ranges::fill(open_load_, 0);
  std::ranges::fill(filled_, 0);
  for (const Index expert : order) {
    if (!place(expert, counts.count[expert], counts.piece[expert])) return false;
  }
  return true;
}

bool Packing::place(std::int64_t expert, std::int64_t count, std::int64_t piece) {
  taken_.clear();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t lightest = least_of(open_load_);
    if (lightest == kClosed) return false;
    const Index gpu = std::ranges::find(open_load_, lightest) - open_load_.begin();
    slot[gpu * node_->slots_per_gpu + filled_[gpu]++] = expert;
    load[gpu] += piece;
    open_load_[gpu] = node_->apart || is_full(gpu) ? kClosed : load[gpu];
    if (node_->apart) taken_.push_back(gpu);
  }
  // What was closed to the twins alone is open again.
  for (const Index gpu : taken_) {
    if (!is_full(gpu)) open_load_[gpu] = load[gpu];
  }
  return true;
}

std::int64_t Packing::peak() const { return *std::ranges::max_element(load); }

}  // namespace eplb::local
