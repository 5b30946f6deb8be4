// The replicas of a node on its GPUs.
#pragma once

#include <limits>
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
  static constexpr Index kBlock = 8;  // GPUs whose loads are compared side by side
  static constexpr std::int64_t kFull = std::numeric_limits<std::int64_t>::max();

  std::int64_t rank(Index gpu) const;
  Index lightest() const;

  const Locality locality_;
  const int expert_bits_, gpu_bits_;
  std::vector<std::uint64_t> keys_;  // of replicas
  std::vector<double> load_;         // of GPUs
  std::vector<std::int64_t> rank_;   // of GPUs by load, the last where no slot is free
  std::vector<Index> held_;          // slots that are taken
};

}  // namespace eplb::serving
