// The replicas of a node on its GPUs.
#pragma once

#include <span>

#include "serving/node_shares.hpp"

namespace eplb::serving {

// Write the experts of a node's slots, GPU after GPU: the largest replica first to the lightest GPU
// with a free slot; with two slots a GPU, the heaviest with the lightest.
void pack_node(const NodeShares& shares, const Locality& locality, Index node,
               std::span<std::int64_t> placed);

}  // namespace eplb::serving
