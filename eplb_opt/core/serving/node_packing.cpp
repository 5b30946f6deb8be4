#include "serving/node_packing.hpp"

#include <algorithm>
#include <bit>

namespace eplb::serving {

NodePacking::NodePacking(const Locality& locality)
    : locality_(locality),
      expert_bits_(static_cast<int>(std::bit_width(static_cast<std::uint64_t>(locality.num_experts)))),
      held_(locality.gpus_per_node()) {
  keys_.reserve(locality.slots_per_node());
  lightest_.reserve(locality.gpus_per_node());
}

void NodePacking::pack(const NodeShares& shares, Index node, std::span<std::int64_t> placed) {
  const Index num_gpus = locality_.gpus_of(node), slots_per_gpu = locality_.slots_per_gpu();
  // Sizes are ordered as their bits are; the lowest ones give way to the expert, from the last one.
  const std::uint64_t mask = (std::uint64_t{1} << expert_bits_) - 1;
  keys_.clear();
  for (const std::int32_t expert : shares.members(node)) {
    const std::uint64_t key = (std::bit_cast<std::uint64_t>(shares.size(expert)) & ~mask) |
                              (mask - static_cast<std::uint64_t>(expert));
    for (Index i = 0; i < shares.on(expert, node); ++i) keys_.push_back(key);
  }
  std::ranges::sort(keys_, std::ranges::greater{});
  const auto expert_of = [&](std::uint64_t key) {
    return static_cast<std::int64_t>(mask - (key & mask));
  };
  // One for each GPU; where there are two, the heaviest with the lightest.
  for (Index gpu = 0; gpu < num_gpus; ++gpu) placed[gpu * slots_per_gpu] = expert_of(keys_[gpu]);
  if (slots_per_gpu == 2) {
    for (Index gpu = 0; gpu < num_gpus; ++gpu) {
      placed[2 * gpu + 1] = expert_of(keys_[2 * num_gpus - 1 - gpu]);
    }
    return;
  }
  // The last GPU has the lightest one: in that order they are a heap.
  lightest_.clear();
  for (Index gpu = num_gpus - 1; gpu >= 0; --gpu) {
    lightest_.push_back({shares.size(placed[gpu * slots_per_gpu]), static_cast<std::int32_t>(gpu)});
  }
  std::ranges::fill(held_, 1);
  for (Index i = num_gpus; i < std::ssize(keys_); ++i) {
    const std::int64_t expert = expert_of(keys_[i]);
    Gpu& first = lightest_.front();
    const Index held = held_[first.gpu]++;
    placed[first.gpu * slots_per_gpu + held] = expert;
    first.load += shares.size(expert);
    if (held + 1 == slots_per_gpu) {
      first = lightest_.back();
      lightest_.pop_back();
    }
    sink();
  }
}

// The first GPU of the heap is not in its place.
void NodePacking::sink() {
  const Index num = std::ssize(lightest_);
  if (num == 0) return;
  const Gpu moved = lightest_.front();
  Index hole = 0;
  for (Index next = 1; next < num; next = 2 * hole + 1) {
    if (next + 1 < num && lightest_[next + 1].is_before(lightest_[next])) ++next;
    if (!lightest_[next].is_before(moved)) break;
    lightest_[hole] = lightest_[next];
    hole = next;
  }
  lightest_[hole] = moved;
}

}  // namespace eplb::serving
