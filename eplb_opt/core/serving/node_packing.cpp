#include "serving/node_packing.hpp"

#include <algorithm>
#include <bit>

namespace eplb::serving {

NodePacking::NodePacking(const Locality& locality)
    : locality_(locality),
      expert_bits_(static_cast<int>(std::bit_width(static_cast<std::uint64_t>(locality.num_experts)))),
      gpu_bits_(static_cast<int>(std::bit_width(static_cast<std::uint64_t>(locality.gpus_per_node())))),
      load_(locality.gpus_per_node()),
      rank_((locality.gpus_per_node() + kBlock - 1) / kBlock * kBlock),
      held_(locality.gpus_per_node()) {
  keys_.reserve(locality.slots_per_node());

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
  std::ranges::fill(rank_, kFull);
  for (Index gpu = 0; gpu < num_gpus; ++gpu) {
    load_[gpu] = shares.size(placed[gpu * slots_per_gpu]);
    rank_[gpu] = rank(gpu);
  }
  std::ranges::fill(held_, 1);
  for (Index i = num_gpus; i < std::ssize(keys_); ++i) {
    const std::int64_t expert = expert_of(keys_[i]);
    const Index gpu = lightest(), held = held_[gpu]++;
    placed[gpu * slots_per_gpu + held] = expert;
    load_[gpu] += shares.size(expert);
    rank_[gpu] = held + 1 < slots_per_gpu ? rank(gpu) : kFull;
  }
}

// Loads are ordered as their bits are; the lowest ones give way to the GPU.
std::int64_t NodePacking::rank(Index gpu) const {
  const std::int64_t mask = (std::int64_t{1} << gpu_bits_) - 1;
  return (std::bit_cast<std::int64_t>(load_[gpu]) & ~mask) | gpu;
}

Index NodePacking::lightest() const {
  std::int64_t least[kBlock];
  std::copy_n(rank_.begin(), kBlock, least);
  for (Index first = kBlock; first < std::ssize(rank_); first += kBlock) {
    for (Index i = 0; i < kBlock; ++i) least[i] = std::min(least[i], rank_[first + i]);
  }
  for (Index half = kBlock / 2; half > 0; half /= 2) {
    for (Index i = 0; i < half; ++i) least[i] = std::min(least[i], least[i + half]);
  }
  return least[0] & ((std::int64_t{1} << gpu_bits_) - 1);
}

}  // namespace eplb::serving
