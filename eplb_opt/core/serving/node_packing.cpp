#include "serving/node_packing.hpp"

#include <algorithm>
#include <limits>
#include <vector>

namespace eplb::serving {

// Above any load: of a GPU whose slots are taken.
constexpr std::int64_t kFull = std::numeric_limits<std::int64_t>::max();

void pack_node(const NodeShares& shares, const Locality& locality, Index node,
               std::span<std::int64_t> placed) {
  const Index num_gpus = locality.gpus_of(node), slots_per_gpu = locality.slots_per_gpu();
  struct Replica {
    std::int64_t size;
    Index expert;
  };
  std::vector<Replica> all;
  all.reserve(placed.size());
  for (const Index expert : shares.members(node)) {
    for (Index i = 0; i < shares.on(expert, node); ++i) all.push_back({shares.size(expert), expert});
  }
  std::ranges::sort(all, [](const Replica& a, const Replica& b) {
    return a.size != b.size ? a.size > b.size : a.expert < b.expert;
  });
  std::vector<std::int64_t> load(num_gpus);
  std::vector<Index> held(num_gpus);
  for (Index i = 0; i < std::ssize(all); ++i) {
    Index gpu = -1;
    if (slots_per_gpu == 2) {
      gpu = i < num_gpus ? i : 2 * num_gpus - 1 - i;
    } else {
      gpu = std::ranges::min_element(load) - load.begin();
    }
    placed[gpu * slots_per_gpu + held[gpu]++] = all[i].expert;
    load[gpu] = held[gpu] < slots_per_gpu ? load[gpu] + all[i].size : kFull;
  }
}

}  // namespace eplb::serving
