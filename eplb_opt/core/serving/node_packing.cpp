#include "serving/node_packing.hpp"

#include <algorithm>
#include <bit>

#include "common/lanes.hpp"

namespace eplb::serving {

NodePacking::NodePacking(const Locality& locality)
    : locality_(locality),
      gpus_(locality.gpus_per_node()) {
  keys_.reserve(locality.slots_per_node());
}

void NodePacking::pack(const NodeShares& shares, Index node, std::span<std::int64_t> placed) {
  const Index num_gpus = locality_.gpus_of(node), slots_per_gpu = locality_.slots_per_gpu();
  // Sizes are ordered as their bits are; of equals the first expert comes first.
  constexpr std::uint64_t kLow = 0xFFFFFFFF;
  keys_.clear();
  for (const std::int32_t expert : shares.members(node)) {
    const std::uint64_t key =
        (std::uint64_t{std::bit_cast<std::uint32_t>(shares.size(expert))} << 32) |
        (kLow - static_cast<std::uint64_t>(expert));
    for (Index i = 0; i < shares.on(expert, node); ++i) keys_.push_back(key);
  }
  std::ranges::sort(keys_, std::ranges::greater{});
  const auto expert_of = [&](std::uint64_t key) {
    return static_cast<std::int64_t>(kLow - (key & kLow));
  };
  // One for each GPU; where there are two, the heaviest with the lightest.
  for (Index gpu = 0; gpu < num_gpus; ++gpu) placed[gpu * slots_per_gpu] = expert_of(keys_[gpu]);
  if (slots_per_gpu == 2) {
    for (Index gpu = 0; gpu < num_gpus; ++gpu) {
      placed[2 * gpu + 1] = expert_of(keys_[2 * num_gpus - 1 - gpu]);
    }
    return;
  }
  // Round by round, the larger ones to the lighter GPUs.
  for (Index gpu = 0; gpu < num_gpus; ++gpu) {
    gpus_[gpu] = {shares.size(placed[gpu * slots_per_gpu]), gpu};
  }
  for (Index round = 1; round < slots_per_gpu; ++round) {
    sort_gpus(num_gpus);
    for (Index i = 0; i < num_gpus; ++i) {
      const std::int64_t expert = expert_of(keys_[round * num_gpus + i]);
      placed[gpus_[i].gpu * slots_per_gpu + round] = expert;
      gpus_[i].load += shares.size(expert);
    }
  }
}

// Mostly they lie the other way round.
void NodePacking::sort_gpus(Index num_gpus) {
  std::reverse(gpus_.begin(), gpus_.begin() + num_gpus);
  for (Index i = 1; i < num_gpus; ++i) {
    const Gpu held = gpus_[i];
    Index at = i;
    for (; at > 0 && held.load < gpus_[at - 1].load; --at) gpus_[at] = gpus_[at - 1];
    gpus_[at] = held;
  }
}

}  // namespace eplb::serving
