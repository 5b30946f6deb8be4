#include "serving/node_packing.hpp"

#include <algorithm>
#include <vector>

namespace eplb::serving {

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
      for (Index g = 0; g < num_gpus; ++g) {
        if (held[g] < slots_per_gpu && (gpu < 0 || load[g] < load[gpu])) gpu = g;
      }
    }
    placed[gpu * slots_per_gpu + held[gpu]++] = all[i].expert;
    load[gpu] += all[i].size;
  }
}

}  // namespace eplb::serving
