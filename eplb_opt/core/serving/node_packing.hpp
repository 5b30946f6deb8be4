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
    double load;
    std::int32_t gpu;
    bool is_before(const Gpu& other) const {
      return load != other.load ? load < other.load : gpu < other.gpu;
    }
  };

  void sink();

  const Locality locality_;
  const int expert_bits_;
  std::vector<std::uint64_t> keys_;  // of replicas
  std::vector<Gpu> lightest_;        // a heap of those with a free slot
  std::vector<Index> held_;          // slots of GPUs that are taken
};

}  // namespace eplb::serving
