// The replicas of a node on its GPUs.
#pragma once

#include <span>
#include <vector>

#include "serving/node_shares.hpp"

namespace eplb::serving {

class NodePacking {
 public:
  explicit NodePacking(const Locality& locality);

  // Write the experts of a node's slots, GPU after GPU: the largest replica first to the lightest GPU
  // with a free slot; with two slots a GPU, the heaviest with the lightest.
  void pack(const NodeShares& shares, Index node, std::span<std::int64_t> placed);

 private:
  struct Gpu {
    float load;
    Index gpu;
  };

  void sort_gpus(Index num_gpus);

  const Locality locality_;
  std::vector<std::uint64_t> keys_;  // of replicas
  std::vector<Gpu> gpus_;
};

}  // namespace eplb::serving
